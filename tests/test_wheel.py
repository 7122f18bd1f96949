"""The wheel in a clean environment, away from the repository: it imports light and does the main job."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from pipeline.models import adapter_path

ROOT = Path(__file__).resolve().parent.parent
REQUEST = "Text Priya that I'm ten minutes late and put lunch with Omar on Friday at noon into my calendar"


def run(*command: str | Path, **options: object) -> str:
    done = subprocess.run(  # type: ignore[call-overload]
        [str(word) for word in command],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=900,
        **options,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return str(done.stdout)


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with nothing but the wheel and what it asks for."""
    folder = tmp_path_factory.mktemp("clean")
    run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, ROOT)
    [wheel] = folder.glob("tinyagent_edge-*.whl")
    venv.create(folder / "venv", with_pip=True)
    run(folder / "venv" / "bin" / "pip", "install", "--quiet", "--disable-pip-version-check", wheel)
    return folder / "venv" / "bin"


@pytest.mark.slow
@pytest.mark.model
@pytest.mark.skipif(adapter_path() is None, reason="this installation has no planner's adapter")
def test_the_wheel_does_the_main_job_from_an_empty_folder(clean: Path, tmp_path: Path) -> None:
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    env |= {"TINYAGENT_CACHE": str(tmp_path / "cache"), "TINYAGENT_CONFIG": str(tmp_path / "none.toml")}
    tinyagent = clean / "tinyagent"
    run(tinyagent, "init", "--sample", "--data-dir", "data", cwd=tmp_path, env=env)
    out = run(tinyagent, "run", REQUEST, "--yes", "--json", "--data-dir", "data", cwd=tmp_path, env=env)
    assert json.loads(out)["complete"]
    assert list((tmp_path / "data" / "messages" / "outbox").iterdir())
    assert b"BEGIN:VEVENT" in b"".join(path.read_bytes() for path in (tmp_path / "data" / "calendars").glob("*.ics"))


@pytest.mark.slow
def test_the_page_comes_with_it(clean: Path, tmp_path: Path) -> None:
    code = (
        "import pipeline, pathlib; print(*(p.name for p in (pathlib.Path(pipeline.__file__).parent / 'web').iterdir()))"
    )
    there = run(clean / "python", "-c", code, cwd=tmp_path).split()
    assert sorted(there) == sorted(path.name for path in (ROOT / "pipeline" / "web").iterdir())


@pytest.mark.slow
def test_the_core_brings_no_torch(clean: Path, tmp_path: Path) -> None:
    installed = run(clean / "pip", "list", "--format=freeze", cwd=tmp_path).lower()
    assert "torch" not in installed and "transformers" not in installed


def test_importing_the_package_loads_no_model_code() -> None:
    heavy = {
        "torch",
        "fastapi",
        "uvicorn",
        "prometheus_client",
        "opentelemetry",
        "llama_cpp",
        "faiss",
        "onnxruntime",
        "tokenizers",
        "transformers",
        "httpx",
        "numpy",
        "rich",
    }
    code = "import sys, pipeline; print(*sys.modules)"
    loaded = set(run(sys.executable, "-c", code, cwd=ROOT).split())
    assert not heavy & loaded
