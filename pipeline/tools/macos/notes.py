"""Notes: in Notes.app, of all its accounts, found by the rules of the desktop's notes.

Creating never overwrites and appending never creates. A note in the default folder is called by its title alone, others "folder/title".
Notes in the folders of deleted ones are not there; the setting `notes.deleted` names those folders where Notes is in a
language that is not listed here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pipeline.tools.arguments import one_line, paragraphs, required_line
from pipeline.tools.context import Ambiguous, InvalidArgument, ToolContext, Unavailable
from pipeline.tools.desktop import names
from pipeline.tools.desktop.notes import find
from pipeline.tools.macos.markup import titled, to_html, to_text
from pipeline.tools.macos.osascript import Script, ask, flag

APP = "Notes"
_LIST = Script("notes", APP)
_CREATE = Script("create_note", APP, effect=True)
_OPEN = Script("open_note", APP)
_APPEND = Script("append_note_content", APP, effect=True)

#: What Notes calls the folder of deleted notes, which no script can tell from others.
_DELETED = (
    "Recently Deleted",
    "Zuletzt gelöscht",
    "Suppressions récentes",
    "Eliminati di recente",
    "最近删除",
    "最近削除した項目",
)


@dataclass(frozen=True, slots=True)
class _Folder:
    id: str  # "" for one that is to be made
    path: str  # with the names of the folders around it, and of its account where that is needed to tell it apart
    name: str
    default: bool = False


@dataclass(frozen=True, slots=True)
class _Note:
    id: str
    title: str
    place: _Folder

    @property
    def folder(self) -> str:
        return self.place.path

    @property
    def labels(self) -> tuple[str, ...]:
        return self.title, str(self), f"{self.folder}/{self.title}"

    def __str__(self) -> str:
        return self.title if self.place.default else f"{self.folder}/{self.title}"


def create_note(ctx: ToolContext, /, *, name: str, content: str, folder: str) -> str:
    """Make a note, of plain text or HTML, and return a status line. The folder is made when missing; "" is the default one.

    Raises:
        InvalidArgument: It has no name, or the folder has a note of that name.
        Ambiguous: Several folders have the name.
        Unavailable: Notes cannot be used.
        InDoubt: It broke off where the note may have been made.
    """
    title, text = required_line(name, "name"), paragraphs(content)
    folders, notes = _all(ctx)
    place = _folder(one_line(folder), folders)
    note = _Note("", title, place)
    if twin := next((n for n in notes if n.place == place and names.fold(n.title) == names.fold(title)), None):
        raise InvalidArgument(f"there is a note {twin} already", fix="append to it, or choose another name")
    ask(ctx, _CREATE, [place.id, "" if place.default else place.name, titled(title, text)])
    return f"Created the note {str(note)!r}."


def open_note(ctx: ToolContext, /, *, name: str, folder: str) -> str:
    """Show the note, unless the setting `notes.open` is false, and return its text without the line of its title.

    Raises:
        NotFound: There is no such note, or no such folder.
        Ambiguous: Several fit, or several folders have one.
        Unavailable: It is locked, or Notes cannot be used.
    """
    note = find(_all(ctx)[1], name, folder)
    shows = flag(bool(ctx.settings.get("notes", {}).get("open", True)))
    return to_text(ask(ctx, _OPEN, [note.id, shows], refusals=_refusals(note)).text, note.title)


def append_note_content(ctx: ToolContext, /, *, name: str, content: str, folder: str) -> str:
    """Add `content`, plain text or HTML, at the end of a note and return a status line.

    Raises:
        NotFound: There is no such note, or no such folder; none is made.
        Ambiguous: Several fit, or several folders have one.
        InvalidArgument: There is nothing to add.
        Unavailable: It is locked, has attachments that would be lost, or Notes cannot be used.
        InDoubt: It broke off where it may have been added.
    """
    addition = paragraphs(content)
    if not addition.strip():
        raise InvalidArgument("there is nothing to append", fix="say what to add to the note")
    note = find(_all(ctx)[1], name, folder)
    ask(ctx, _APPEND, [note.id, to_html(addition)], refusals=_refusals(note))
    return f"Appended to the note {str(note)!r}."


def _refusals(note: _Note) -> Mapping[str, Unavailable]:
    return {
        "locked": Unavailable(f"the note {note} is locked", fix="unlock it in Notes, and take its password off"),
        "attachments": Unavailable(
            f"the note {note} has attachments, which Notes would lose",
            fix="add to it by hand, or make a note beside it",
        ),
    }


# Each line tells of a folder (id, name, id of what it is in, account, whether it is the default one) or a note (id, name, folder's id).
_FIELDS = 6


def _all(ctx: ToolContext) -> tuple[list[_Folder], list[_Note]]:
    """Return all folders and notes but the deleted ones."""
    rows = ask(ctx, _LIST).rows(_FIELDS)
    deleted = {names.fold(str(name)) for name in ctx.settings.get("notes", {}).get("deleted", _DELETED)}
    kept = {row[1]: row[2:] for row in rows if row[0] == "folder" and names.fold(row[2]) not in deleted}
    folders = {folder_id: _placed(folder_id, kept) for folder_id in kept}
    notes = [
        _Note(note_id, one_line(title), folders[folder_id])
        for what, note_id, title, folder_id, *_ in rows
        if what == "note" and folder_id in folders
    ]
    return list(folders.values()), notes


def _placed(folder_id: str, folders: Mapping[str, tuple[str, ...]]) -> _Folder:
    name, _, account, default = folders[folder_id]
    path = _path(folder_id, folders)
    if any(_path(other, folders) == path for other in folders if other != folder_id):
        path = f"{one_line(account)}/{path}"
    return _Folder(folder_id, path, one_line(name), default == "yes")


def _path(folder_id: str, folders: Mapping[str, tuple[str, ...]]) -> str:
    name, parent, *_ = folders[folder_id]
    inside = f"{_path(parent, folders)}/" if parent in folders and parent != folder_id else ""
    return f"{inside}{one_line(name)}"


def _folder(asked: str, folders: list[_Folder]) -> _Folder:
    """Return the folder of that name, one that is to be made, or the default one for ""."""
    if not asked:
        return next((folder for folder in folders if folder.default), _Folder("", "", "", default=True))
    wanted = names.fold(asked)
    exact = [folder for folder in folders if names.fold(folder.path) == wanted]
    found = exact or [folder for folder in folders if names.fold(folder.name) == wanted]
    if len(found) > 1:
        candidates = [folder.path for folder in found]
        raise Ambiguous(
            f"{asked!r} may be the folder {names.listed(candidates)}", candidates=candidates, fix="say which one"
        )
    return found[0] if found else _Folder("", asked, asked)
