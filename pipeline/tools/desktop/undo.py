"""Takes back what a call changed in the user's files, and nothing else.

A new file is removed if it still is as it was made. In a file that was there before, the very bytes that were put in are taken out
again, wherever they stand by now, so that what was added later stays. Where that is not possible, nothing is changed.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from pipeline.tools.context import CONTEXT, Change, ToolError
from pipeline.tools.desktop import store


class CannotUndo(ToolError):
    """The file is not as the call left it."""


def take_back(change: Change, data_dir: Path) -> str:
    """Undo a change and return what was done, in words.

    Raises:
        CannotUndo: The file has been changed, moved or removed since.
        Unavailable: The file cannot be written.
    """
    with store.locked(data_dir):
        if not store.is_file(change.path):
            raise CannotUndo(f"{change.path} is not there any more", fix="nothing is left to take back there")
        now = store.read_bytes(change.path)
        if change.created:
            if hashlib.sha256(now).hexdigest() != change.digest:
                raise _changed(change.path)
            with store.refusals(change.path, "remove"):
                change.path.unlink()
            return f"removed {change.path}"
        # A few bytes may well stand elsewhere too, so what stands before them must be the same; a long insertion is known by itself.
        known = change.inserted if len(change.inserted) > CONTEXT else change.before + change.inserted
        if not change.inserted or now.count(known) != 1:
            raise _changed(change.path)
        at = now.index(known) + len(known) - len(change.inserted)
        store.replace(change.path, now[:at] + change.removed + now[at + len(change.inserted) :])
        return f"took it out of {change.path}"


def _changed(path: Path) -> CannotUndo:
    return CannotUndo(f"{path} has been changed since", fix="take it back by hand")
