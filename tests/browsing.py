"""What the tests of the page share: a service whose planner writes what a request says, and a headless Chromium that looks at it.

As a program, `python tests/browsing.py FOLDER`, it is that service, with the real tools and those of `serving`, on a free port.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
#: A browser that asks nobody but us, and that records from a microphone that beeps.
SWITCHES = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
    *("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"),
)
WAIT_MS = 40_000  # for what the page is to show: a bound for what never comes


@contextmanager
def service(*command: str, **env: str) -> Iterator[str]:
    """Yield the address of a service that a Python command starts; at the end it is told to stop, and has to."""
    process = subprocess.Popen(
        [sys.executable, *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "PYTHONPATH": f"{HERE.parent}{os.pathsep}{HERE}", **env},
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert "http://127.0.0.1:" in line, line
        yield line.split()[-1]
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0


def link(folder: Path, url: str) -> str:
    """Return a link that lets one browser in, as `tinyagent page --print` gives it."""
    command = [sys.executable, "-c", "from pipeline.cli import main; main()", "page", "--print"]
    done = subprocess.run(
        [*command, "--data-dir", str(folder), "--port", url.rpartition(":")[2]],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(HERE.parent)},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def scripted(folder: Path) -> Any:
    """Return a pipeline with the real tools, whose planner writes what stands in a request after "plan:", calls parted by ";".

    A call of `pause` is none: there the planner waits until the file of that name is in the folder. The tools that a request names are
    those that it is like.
    """
    from serving import TOOLS, Planner

    from pipeline import Config, Pipeline
    from pipeline.config import ServiceConfig, builtin_tools
    from pipeline.planners.base import PlanRequest
    from pipeline.selection import Selector
    from pipeline.spec import Catalogue

    tools = Catalogue([*builtin_tools().values(), *TOOLS.values()])

    class Scripted(Planner):
        def prompt(self, request: PlanRequest) -> str:
            return " ".join([*(name for name in request.tools), request.request])

        def stream(self, request: PlanRequest) -> Iterator[str]:
            calls = [call.strip() for call in request.request.partition("plan:")[2].split(";")]
            number = 0
            for call in [*filter(None, calls), "join()"]:
                if call.startswith("pause "):
                    while not (folder / call.split()[1]).exists():
                        time.sleep(0.02)
                else:
                    number += 1
                    yield f"{number}. {call}\n"

    class Named:
        def search(self, text: str, parts: Sequence[tuple[int, int]] = ()) -> list[Mapping[str, float]]:
            return [{name: 0.9 if name in text else 0.15 for name in tools}]

    settings = ServiceConfig(rate=1e5, burst=100_000, leave_seconds=30.0, port=0)
    return Pipeline(
        Config(data_dir=folder, service=settings), planner=Scripted(), selector=Selector(tools, Named()), tools=tools
    )


if __name__ == "__main__":
    from pipeline.service.commands import run

    run(scripted(Path(sys.argv[1])), lines="json")
