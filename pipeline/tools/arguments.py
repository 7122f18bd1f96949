"""Checks the arguments of a tool: text as planned → a value that is safe to write.

What every tool needs alike: one line of text without control characters, an email address that is one, a
phone number that is one, a date and time. A wrong value is an `InvalidArgument` that names the argument.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from datetime import date, datetime

from pipeline.tools.context import InvalidArgument

_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_ADDRESS = re.compile(rf"{_ATOM}(?:\.{_ATOM})*@{_LABEL}(?:\.{_LABEL})+")
_PHONE_SEPARATORS = frozenset(" .-/()\u00a0\u2010\u2011\u2012\u2013\u202f")
_REORDERING = frozenset({"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"})  # UAX 9
_PHONE_DIGITS = range(3, 16)  # from a short code to the most that E.164 allows


def one_line(text: str) -> str:
    """Return `text` on one line: runs of white space become one blank.

    Control characters go, and the marks that make a name be shown in another order than it is.
    """
    shown = (c for c in _printable(" ".join(text.split())) if unicodedata.bidirectional(c) not in _REORDERING)
    return " ".join("".join(shown).split())


def paragraphs(text: str) -> str:
    """Return `text` with plain line feeds and without other control characters.

    A bare carriage return would be a line break to some readers of iCalendar and mail and text to others.
    """
    return "\n".join(_printable(line).rstrip() for line in text.splitlines()).strip("\n")


def header_line(text: str) -> str:
    """Return `text` on one line, as a mail's header may hold it.

    What looks like an encoded word (RFC 2047, `=?utf-8?q?…?=`) is decoded when it is put into a header, line breaks and
    all, so that others' words could begin a header of their own; it is taken apart.
    """
    return one_line(text).replace("=?", "= ?")


def required_line(text: str, argument: str) -> str:
    """Return `text` on one line.

    Raises:
        InvalidArgument: Nothing is left of it.
    """
    line = one_line(text)
    if not line:
        raise InvalidArgument(f"the {argument} is empty", fix=f"say which {argument}")
    return line


def email_address(text: str) -> str:
    """Return the bare address (`local@domain`) of `text`, which may be written `Name <local@domain>`.

    What HTML takes as a valid email address (WHATWG, "valid e-mail address"), less stray dots, and with a dot
    in the domain, which is given in its ASCII form (IDNA).

    Raises:
        InvalidArgument: It is not exactly one address.
    """
    name, bracket, rest = text.strip().rpartition("<")
    local, _, domain = (rest.removesuffix(">") if bracket else rest).rpartition("@")
    try:
        address = f"{local}@{domain.encode('idna').decode('ascii')}"
    except UnicodeError:  # an empty or over-long part of the domain
        address = ""
    # "=?" would begin an encoded word in a header, which may stand for several addresses
    if "@" in name or "=?" in address or not _ADDRESS.fullmatch(address):
        raise InvalidArgument(
            f"{one_line(text)!r} is not an email address",
            fix="give one such as name@example.org, or look it up with get_email_address",
        )
    return address


def email_addresses(texts: Sequence[str]) -> list[str]:
    """Return the addresses of `texts`, each once, in order (`email_address` says what is one)."""
    return list(dict.fromkeys(email_address(text) for text in texts))


def phone_number(text: str) -> str:
    """Return `text` as digits with an optional leading `+` (E.164 where it is international).

    Raises:
        InvalidArgument: It has other characters than digits and separators, or too few or too many digits.
    """
    bare = ungrouped(text)
    digits = bare.removeprefix("+")
    if not (digits.isascii() and digits.isdigit() and len(digits) in _PHONE_DIGITS):
        raise InvalidArgument(
            f"{one_line(text)!r} is not a phone number",
            fix="give a number such as +34 600 112 233 or 555-0134, or look it up with get_phone_number",
        )
    return bare


def ungrouped(text: str) -> str:
    """Return `text`, a phone number, without `tel:` and without what groups its digits."""
    return "".join(c for c in text.strip().removeprefix("tel:") if c not in _PHONE_SEPARATORS)


def moment(text: str, argument: str) -> datetime:
    """Return the local date and time that `text` (`YYYY-MM-DD HH:MM:SS`) names.

    Raises:
        InvalidArgument: It is no such date.
    """
    try:
        value = datetime.fromisoformat(text.strip())
    except ValueError:
        value = None
    if value is None or value.tzinfo is not None:
        raise InvalidArgument(
            f"the {argument} {text!r} is not a date and time",
            fix="write it as YYYY-MM-DD HH:MM:SS, local time",
        )
    return value


def day(text: str, argument: str) -> date:
    """Return the date that `text` (`YYYY-MM-DD`, with or without a time) names.

    Raises:
        InvalidArgument: It is no such date.
    """
    return moment(text, argument).date()


def _printable(text: str) -> str:
    """Drop lone surrogates and control characters but tabs. What formats stays: scripts need it."""
    return "".join(c for c in text if c == "\t" or unicodedata.category(c) not in {"Cc", "Cs"})
