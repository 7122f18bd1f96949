"""The text of a note → the HTML that Notes.app keeps notes in, and back.

Plain text becomes a block a line, escaped, so that what looks like a tag stays text. A content that is HTML as a whole keeps its
headings, lists, links and emphasis and nothing else: no script, style or picture that a page would fetch.
"""

from __future__ import annotations

import re
from html import escape
from html.parser import HTMLParser

from pipeline.tools.arguments import paragraphs

_BLOCKS = frozenset("blockquote div h1 h2 h3 h4 li ol p pre table tbody td th thead tr ul".split())
_INLINE = frozenset("a b code em i s strike strong sub sup tt u".split())
_VOID = frozenset({"br", "hr"})
_KEPT = _BLOCKS | _INLINE | _VOID
_HIDDEN = frozenset({"head", "script", "style", "title"})
_LINKS = ("http://", "https://", "mailto:", "tel:")
_WHOLE = re.compile(
    rf"<({'|'.join(sorted(_BLOCKS | _INLINE))})\b[^<>]*>.*</({'|'.join(sorted(_BLOCKS | _INLINE))})>", re.DOTALL
)
_BLANKS = re.compile(r"^ +| {2,}")


def to_html(text: str) -> str:
    """Return a content, plain text or HTML, as HTML for a note."""
    if _WHOLE.fullmatch(text.strip()):
        cleaner = _Cleaner()
        cleaner.feed(text.strip())
        cleaner.close()
        return cleaner.result()
    return "".join(f"<div>{_line(line) or '<br>'}</div>" for line in text.split("\n")) if text else ""


def titled(title: str, text: str) -> str:
    """Return the HTML of a new note: its first line is what Notes calls it."""
    return f"<div><h1>{_line(title)}</h1></div>{to_html(text)}"


def to_text(plain: str, title: str) -> str:
    """Return the plain text that Notes gives of a note, without the line of its title."""
    text = paragraphs(plain.replace("\ufffc", "").replace("\xa0", " "))  # attachments; blanks that HTML would swallow
    first, _, rest = text.partition("\n")
    return (rest if first.strip() == title else text).strip()


def _line(text: str) -> str:
    return _BLANKS.sub(lambda blanks: "&nbsp;" * len(blanks[0]), escape(text, quote=False))


class _Cleaner(HTMLParser):
    """Writes HTML anew with the tags that are kept, all of them closed."""

    def __init__(self) -> None:
        super().__init__()
        self._parts: list[str] = []
        self._open: list[str] = []
        self._hidden = 0

    def result(self) -> str:
        """Return what was kept."""
        return "".join(self._parts) + "".join(f"</{tag}>" for tag in reversed(self._open))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._hidden += tag in _HIDDEN
        if tag not in _KEPT or self._hidden:
            return
        target = next((value for name, value in attrs if name == "href" and value), "") if tag == "a" else ""
        linked = target.casefold().startswith(_LINKS)
        self._parts.append(f'<a href="{escape(target)}">' if linked else f"<{tag}>")
        if tag not in _VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        self._hidden = max(0, self._hidden - (tag in _HIDDEN))
        if tag in self._open and not self._hidden:
            while (last := self._open.pop()) != tag:
                self._parts.append(f"</{last}>")
            self._parts.append(f"</{tag}>")

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self._parts.append(escape(data, quote=False))
