"""Takes back what a call changed in the user's files or made in their accounts, and nothing else.

A new file is removed if it still is as it was made. In a file that was there before, the very bytes that were put in are taken out
again, wherever they stand by now, so that what was added later stays. What is at a server is removed if it is unchanged there. Where
that is not possible, nothing is changed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.tools.context import CONTEXT, Change, ToolError
from pipeline.tools.desktop import store


class CannotUndo(ToolError):
    """The file, or what is at a server, is not as the call left it."""


def take_back(change: Change, data_dir: Path, settings: Mapping[str, Mapping[str, Any]]) -> str:
    """Undo a change and return what was done, in words.

    Args:
        change: As a tool reported it.
        data_dir: The folder under which the file is.
        settings: By app, with the accounts at servers.

    Raises:
        CannotUndo: It has been changed, moved or removed since, or is in an account that the settings do not name any more.
        Unavailable: The file cannot be written, or the server refuses or cannot be reached.
    """
    if change.account:
        return _take_back_at_server(change, settings)
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


def _take_back_at_server(change: Change, settings: Mapping[str, Mapping[str, Any]]) -> str:
    from pipeline.tools.desktop import accounts

    if change.account == "mail" and (mail := accounts.mail_account(settings)) and mail.imap:
        from pipeline.tools.desktop import imap

        with imap.opened(mail) as mailbox:
            mailbox.remove(change)
        return f"removed the draft from {change.place}"
    if change.account != "mail" and (account := accounts.calendar_account(settings, change.account)):
        from pipeline.tools.desktop import caldav

        caldav.remove(account, change)
        return f"removed {change.place}"
    raise CannotUndo(
        f"it was made in an account for {change.account} that the settings do not name any more",
        fix="name the account again, or take it back by hand",
    )


def _changed(path: Path) -> CannotUndo:
    return CannotUndo(f"{path} has been changed since", fix="take it back by hand")
