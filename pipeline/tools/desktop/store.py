"""The data folder: where things lie, and writing that is done wholly or not at all.

A file is written beside its place, flushed to the disk and then moved there, so that a reader, a crash or a
full disk never leaves half of one; it is readable by the user alone. New files take a free name and never
overwrite. What the system refuses becomes `Unavailable` with the path and the mend. What is in the files is
the tools' business.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import quote, unquote

from filelock import FileLock, Timeout

from pipeline.tools.context import Unavailable, record

LOCK_NAME = ".lock"
LOCK_SECONDS = 10.0  # how long one tool waits for another, also of another process, to finish writing
_MAX_STEM = 120  # bytes; leaves room for an extension and a counter in the 255 that file systems allow
_RESERVED_ON_WINDOWS = frozenset(
    {"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(1, 10))}
)
_FORBIDDEN = frozenset('/\\:*?"<>|%')


class NameTaken(Exception):
    """A new file cannot have the name that was wanted: there is one."""


def read_bytes(path: Path) -> bytes:
    """Return what the file holds.

    Raises:
        Unavailable: It may not be read, or is gone.
    """
    with refusals(path, "read"):
        return path.read_bytes()


def is_file(path: Path) -> bool:
    """Return whether there is such a file.

    Raises:
        Unavailable: Its folder may not be read.
    """
    with refusals(path, "read"):
        return path.is_file()


def files_in(folder: Path, pattern: str) -> list[Path]:
    """Return the files of a folder that the glob `pattern` fits, by name, without hidden ones.

    Raises:
        Unavailable: The folder may not be read.
    """
    with refusals(folder, "read"):
        found = sorted(path for path in folder.glob(pattern) if path.is_file())
    return [path for path in found if not any(part.startswith(".") for part in path.relative_to(folder).parts)]


def replace(path: Path, data: bytes, *, empty: bytes | None = None) -> None:
    """Make `data` the content of `path`, which may exist; parents are created.

    Args:
        path: The file.
        data: What it is to hold.
        empty: What a new file of its kind holds; taking the change back leaves that. None leaves no file.

    Raises:
        Unavailable: The folder cannot be written to.
    """
    place = Path(os.path.realpath(path))  # a link stays a link: what it points to is replaced
    with _written_beside(place, data) as temporary:
        before = empty
        if place.exists():
            before = place.read_bytes()
            shutil.copymode(place, temporary)
        os.replace(temporary, place)
    record(place, before, data)


def create(path: Path, data: bytes) -> None:
    """Make a new file of `data`; parents are created.

    Raises:
        NameTaken: The file that has the name is left alone.
        Unavailable: The folder cannot be written to.
    """
    with _written_beside(path, data) as temporary:
        try:
            os.link(temporary, path)  # unlike a rename, refuses to overwrite
        except FileExistsError:
            raise NameTaken(path) from None
        except OSError as error:
            if error.errno not in {errno.EPERM, errno.ENOTSUP, errno.ENOSYS}:
                raise
            _claim(path)  # no hard links here (FAT, some network drives)
            os.replace(temporary, path)
    record(path.absolute(), None, data)  # it may be taken back from another folder


def create_unique(folder: Path, stem: str, suffix: str, data: bytes) -> Path:
    """Make a new file `stem` + `suffix`, or `stem-2`, `stem-3` … where that is taken; return its path.

    Raises:
        Unavailable: The folder cannot be written to.
    """
    path, n = folder / f"{stem}{suffix}", 1
    while True:
        try:
            create(path, data)
        except NameTaken:
            n += 1
            path = folder / f"{stem}-{n}{suffix}"
        else:
            return path


@contextmanager
def locked(data_dir: Path) -> Iterator[None]:
    """Keep other writers, in this process and others, out of the data folder while a file is rewritten.

    Raises:
        Unavailable: The folder cannot be written to, or another writer does not finish.
    """
    lock = FileLock(data_dir / LOCK_NAME, timeout=LOCK_SECONDS, thread_local=False)
    try:
        with refusals(data_dir, "write to"):
            data_dir.mkdir(parents=True, exist_ok=True)
            lock.acquire()
    except Timeout:
        raise Unavailable(
            f"another program has been writing to {data_dir} for {LOCK_SECONDS:.0f} s",
            fix="try again when it is done",
        ) from None
    try:
        yield
    finally:
        lock.release()


def stem_of(title: str) -> str:
    """Return a file name (no extension) for `title` that every system takes and that cannot leave its folder.

    What a file system may refuse is percent-encoded as in URLs, so `title_of` gives the title back; only a
    title over 120 bytes is cut, with a digest for its end.
    """
    safe = "".join(quote(c, safe="") if c in _FORBIDDEN or not c.isprintable() else c for c in title)
    if safe[:1] in {".", " ", "~"} or safe.split(".")[0].casefold() in _RESERVED_ON_WINDOWS:
        safe = f"%{ord(safe[0]):02X}{safe[1:]}"
    if safe[-1:] in {".", " "}:
        safe = f"{safe[:-1]}%{ord(safe[-1]):02X}"
    raw = safe.encode()
    if len(raw) <= _MAX_STEM:
        return safe
    digest = hashlib.sha256(raw).hexdigest()[:8]
    return f"{raw[:_MAX_STEM].decode(errors='ignore').rstrip('%. ')}~{digest}"


def title_of(stem: str) -> str:
    """Return the title that `stem_of` made `stem` from."""
    return unquote(stem)


@contextmanager
def _written_beside(path: Path, data: bytes) -> Iterator[Path]:
    """Write `data` to a temporary file in the folder of `path`; lend it, then see that it is gone."""
    with refusals(path, "write"):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=".", suffix=".tmp", dir=path.parent)
        temporary = Path(name)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            yield temporary
            _sync_folder(path.parent)
        finally:
            temporary.unlink(missing_ok=True)


def _claim(path: Path) -> None:
    try:
        path.touch(exist_ok=False)
    except FileExistsError:
        raise NameTaken(path) from None


def _sync_folder(folder: Path) -> None:
    """Have the new name itself survive a power cut; only POSIX systems can be asked."""
    if os.name != "posix":
        return
    with suppress(OSError):  # some network drives refuse; the file itself is safe already
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


@contextmanager
def refusals(path: Path, verb: str) -> Iterator[None]:
    """Turn what the system says into `Unavailable` with the path and a mend."""
    try:
        yield
    except Timeout:
        raise
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            fix = "free some space"
        elif error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
            fix = f"give yourself the right to {verb} it, or set another data folder"
        else:
            fix = "set another data folder"
        raise Unavailable(f"cannot {verb} {path}: {error.strerror or error}", fix=fix) from error
