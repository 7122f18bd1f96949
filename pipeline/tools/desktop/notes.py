"""Notes: Markdown files `notes/<folder>/<name>.md` whose first line is the title, `# name`.

Names and folders are found without regard to case and accents, by some of their words if by nothing better; a
name without a folder is searched in all. Creating never overwrites and appending never creates: a misheard
name must not become a second list.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

from pipeline.tools.arguments import one_line, paragraphs, required_line
from pipeline.tools.context import Ambiguous, InvalidArgument, NotFound, ToolContext, Unavailable
from pipeline.tools.desktop import names, store


class Named(Protocol):
    """What a note is found by; as text, it is what tells it apart from others."""

    @property
    def title(self) -> str:
        """Its name."""
        ...

    @property
    def folder(self) -> str:
        """The folder it is in, or ""."""
        ...

    @property
    def labels(self) -> tuple[str, ...]:
        """All names by which it may be asked for."""
        ...


_N = TypeVar("_N", bound=Named)


@dataclass(frozen=True, slots=True)
class Note:
    """Where a note lies and what it is called."""

    path: Path
    title: str
    folder: str  # "" for notes that are in none

    @property
    def labels(self) -> tuple[str, ...]:
        """All names by which it may be asked for."""
        return self.title, store.title_of(self.path.stem), str(self)

    def __str__(self) -> str:
        return f"{self.folder}/{self.title}" if self.folder else self.title


def create_note(ctx: ToolContext, /, *, name: str, content: str, folder: str) -> str:
    """Make a note and return a status line. The folder is made when missing; "" is none.

    Raises:
        InvalidArgument: It has no name, or the folder has a note of that name.
        Unavailable: The notes cannot be written.
    """
    title, text = required_line(name, "name"), paragraphs(content)
    with store.locked(ctx.data_dir):
        notes = _notes(ctx.data_dir)
        place, parent = _folder(ctx.data_dir, one_line(folder), notes)
        path = parent / f"{store.stem_of(title)}.md"
        note = Note(path, title, place)
        twins = [n for n in notes if n.folder == place and names.fold(n.title) == names.fold(title)]
        try:
            if not twins:
                store.create(path, (f"# {title}\n\n{text}".rstrip("\n") + "\n").encode())
        except store.NameTaken:  # by a note with another title on its first line
            twins = [note]
    if twins:
        raise InvalidArgument(f"there is a note {twins[0]} already", fix="append to it, or choose another name")
    return f"Created the note {str(note)!r}."


def open_note(ctx: ToolContext, /, *, name: str, folder: str) -> str:
    """Return the content of the note, without the line of its title.

    Raises:
        NotFound: There is no such note, or no such folder.
        Ambiguous: Several fit, or several folders have one.
        Unavailable: It cannot be read.
    """
    note = find(_notes(ctx.data_dir), name, folder)
    first, _, rest = _text(note.path).partition("\n")
    return (rest if first.strip() == f"# {note.title}" else f"{first}\n{rest}").strip()


def append_note_content(ctx: ToolContext, /, *, name: str, content: str, folder: str) -> str:
    """Add `content` at the end of a note and return a status line.

    Raises:
        NotFound: There is no such note, or no such folder; none is made.
        Ambiguous: Several fit, or several folders have one.
        InvalidArgument: There is nothing to add.
        Unavailable: It cannot be read or written.
    """
    addition = paragraphs(content)
    if not addition.strip():
        raise InvalidArgument("there is nothing to append", fix="say what to add to the note")
    with store.locked(ctx.data_dir):
        note = find(_notes(ctx.data_dir), name, folder)
        before = store.read_bytes(note.path)
        _text(note.path)  # appending UTF-8 to another encoding would make the file unreadable
        gap = b"" if not before or before.endswith(b"\n") else b"\n"
        store.replace(note.path, before + gap + addition.encode() + b"\n")
    return f"Appended to the note {str(note)!r}."


def _root(data_dir: Path) -> Path:
    return data_dir / "notes"


def _notes(data_dir: Path) -> list[Note]:
    root = _root(data_dir)
    paths = store.files_in(root, "**/*.md")
    folders = (path.relative_to(root).parts[:-1] for path in paths)
    return [
        Note(path, _title(path), "/".join(store.title_of(part) for part in parts))
        for path, parts in zip(paths, folders, strict=True)
    ]


def _title(path: Path) -> str:
    """Return the heading on the first line, else what the file's name stands for."""
    try:
        with path.open(encoding="utf-8-sig", errors="replace") as file:
            first = file.readline().strip()
    except OSError:  # it is found by its name all the same, and opening it will tell
        first = ""
    return first.removeprefix("# ") if first.startswith("# ") else store.title_of(path.stem)


def _folder(data_dir: Path, asked: str, notes: list[Note]) -> tuple[str, Path]:
    """Return the folder as the notes in it spell it, and where it lies; where there is none, as it is asked for."""
    found = next((note for note in notes if names.fold(note.folder) == names.fold(asked)), None)
    return (found.folder, found.path.parent) if found else (asked, _root(data_dir) / store.stem_of(asked))


def find(notes: Sequence[_N], name: str, folder: str) -> _N:
    """Return the note that a name and a folder ("" for any) mean.

    Raises:
        NotFound: There is no such note, or no such folder.
        Ambiguous: Several fit, or several folders have one.
        InvalidArgument: The name is empty.
    """
    wanted, place = required_line(name, "name"), one_line(folder)
    if place:
        folders = sorted({note.folder for note in notes if note.folder})
        within = names.best(place, [(note.folder, note) for note in notes])
        if not within:
            raise NotFound(f"there is no folder {place!r} in the notes", fix=names.did_you_mean(place, folders))
        notes = within
    found = list(dict.fromkeys(names.best(wanted, [(label, note) for note in notes for label in note.labels])))
    if not found:
        raise NotFound(
            f"there is no note {wanted!r}{f' in {place}' if place else ''}",
            fix=names.did_you_mean(wanted, (note.title for note in notes)) or "make one with create_note",
        )
    if len(found) > 1:
        candidates = [str(note) for note in found]
        raise Ambiguous(
            f"{wanted!r} may be the note {names.listed(candidates)}",
            candidates=candidates,
            fix="say which one, and its folder",
        )
    return found[0]


def _text(path: Path) -> str:
    try:
        return store.read_bytes(path).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise Unavailable(f"{path} is not UTF-8 text", fix="save it as UTF-8") from None
