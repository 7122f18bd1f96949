"""Files: which file a name means, searched under `files/` and the folders of the setting `files.folders`.

The name may lack its extension, differ in case and accents, have other separators or say only some of the
words, in this order of preference; it may name folders ("taxes/receipt"). What fits several files equally is
`Ambiguous`. Hidden files and folders are left out. The tool opens the file only if the setting `files.open`
is true.
"""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from pipeline.tools.arguments import required_line
from pipeline.tools.context import Ambiguous, NotFound, ToolContext, Unavailable
from pipeline.tools.desktop import names, store


def open_and_get_file_path(ctx: ToolContext, /, *, file_name: str) -> str:
    """Return the absolute path of the file that `file_name` means; open it if the settings say so.

    Raises:
        NotFound: No file is called that.
        Ambiguous: Several are.
        Unavailable: It is to be opened and this system has nothing that opens files.
    """
    path = find_file(ctx, file_name)
    if ctx.settings.get("files", {}).get("open", False):
        _open(path)
    return str(path)


def find_file(ctx: ToolContext, file_name: str) -> Path:
    """Return the file that `file_name` means. An absolute path or one with `~` means itself.

    Raises:
        NotFound: No file is called that.
        Ambiguous: Several are.
    """
    name = required_line(file_name, "file name")
    given = Path(os.path.expanduser(file_name.strip()))  # unlike `name`, with every blank of a path
    if given.is_absolute():
        if not store.is_file(given):
            raise NotFound(f"there is no file {name}", fix="check the path, or say only the file's name")
        return given
    wanted, depth = Path(name).as_posix(), len(Path(name).parts)
    labels = dict(_files(ctx))
    tails = [(PurePosixPath(*PurePosixPath(label).parts[-depth:]), path) for path, label in labels.items()]
    whole = [(tail.as_posix(), path) for tail, path in tails]
    without_extension = [(tail.with_suffix("").as_posix(), path) for tail, path in tails]
    exact = [path for tail, path in whole if names.fold(tail) == names.fold(wanted)]
    found = exact or list(dict.fromkeys(names.best(wanted, without_extension + whole)))
    if not found:
        raise NotFound(
            f"there is no file {name!r} in {names.listed([str(root) for root in _roots(ctx)])}",
            fix=names.did_you_mean(name, (path.name for path in labels)),
        )
    if len(found) > 1:
        # What is said below one root is said below another, or is the end of what is said of a file in a folder: such a one by its whole path.
        ways = {path: PurePosixPath(names.fold(labels[path])).parts for path in found}
        unclear = {
            one for one, other in itertools.permutations(found, 2) if ways[other][-len(ways[one]) :] == ways[one]
        }
        candidates = [str(path) if path in unclear else labels[path] for path in found]
        raise Ambiguous(
            f"{name!r} may be {names.listed(candidates)}",
            candidates=candidates,
            fix="say which one, with its folder",
        )
    return found[0]


def _roots(ctx: ToolContext) -> list[Path]:
    """Return the folders to search, each once; the first is the data folder's own."""
    configured = (Path(folder).expanduser() for folder in ctx.settings.get("files", {}).get("folders", ()))
    return list(dict.fromkeys(root.resolve() for root in (ctx.data_dir / "files", *configured)))


def _files(ctx: ToolContext) -> Iterator[tuple[Path, str]]:
    """Yield every file with the path below its root that it is told apart by, in the order of the names."""
    for root in _roots(ctx):
        for folder, subfolders, file_names in os.walk(root):
            subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
            for name in sorted(file_names):
                if not name.startswith("."):
                    path = Path(folder, name)
                    yield path, path.relative_to(root).as_posix()


def _open(path: Path) -> None:
    """Hand the file to the program that the system opens its kind with; no shell sees the name."""
    if sys.platform == "win32":
        os.startfile(path)
        return
    opener = shutil.which("open" if sys.platform == "darwin" else "xdg-open")
    if opener is None:
        raise Unavailable(f"nothing here can open {path}", fix="install xdg-utils, or set files.open to false")
    program = subprocess.Popen(
        [opener, str(path)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # the program outlives the run
    )
    threading.Thread(target=program.wait, daemon=True).start()  # so that no zombie stays when it is closed
