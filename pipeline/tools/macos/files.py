"""Files: the desktop's search, over Documents, Desktop and Downloads unless the setting `files.folders` says where, opened on the screen.

What would run when it is opened (an app, a script, an installer) is shown in its folder instead. Nothing is opened if the
setting `files.open` is false.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from pipeline.tools.context import ToolContext
from pipeline.tools.desktop import files as desktop
from pipeline.tools.macos.osascript import Script, ask

APP = "Finder"
_OPEN = Script("open_file", APP)
_FOLDERS = ("~/Documents", "~/Desktop", "~/Downloads")
_RUNS = frozenset(
    ".action .app .applescript .command .dmg .inetloc .jar .mobileconfig .mpkg .pkg .scpt .scptd .sh .terminal .tool .webloc "
    ".workflow".split()
)


def open_and_get_file_path(ctx: ToolContext, /, *, file_name: str) -> str:
    """Return the absolute path of the file that `file_name` means, and open it.

    Raises:
        NotFound: No file is called that.
        Ambiguous: Several are.
        Unavailable: It cannot be opened.
    """
    path = find_file(ctx, file_name)
    if ctx.settings.get("files", {}).get("open", True):
        ask(ctx, _OPEN, [str(path), "reveal" if _runs(path) else "open"])
    return str(path)


def find_file(ctx: ToolContext, file_name: str) -> Path:
    """Return the file that `file_name` means, as on the desktop.

    Raises:
        NotFound: No file is called that.
        Ambiguous: Several are.
    """
    return desktop.find_file(with_folders(ctx), file_name)


def with_folders(ctx: ToolContext) -> ToolContext:
    """Return the context with the folders that a Mac's user keeps files in, where the settings name none."""
    settings = ctx.settings.get("files", {})
    return replace(ctx, settings={**ctx.settings, "files": {"folders": _FOLDERS, **settings}})


def _runs(path: Path) -> bool:
    """Return whether opening a file would run it."""
    return path.suffix.casefold() in _RUNS or os.access(path, os.X_OK)
