"""Rows of work: the same results from this process and from Ray workers, and nothing lost with a worker."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from pipeline.batch import plan_all, read_requests
from pipeline.config import Config
from pipeline.engine import RETRIES, EngineError, Local, Ray, engine
from pipeline.errors import ConfigError, MissingExtra
from pipeline.pipeline import Pipeline
from pipeline.spec import Catalogue
from training.corpus import generate
from training.evaluation import Evaluation, evaluate, read_cases
from training.seeds import load_seeds

QUERIES = (
    "text Priya that I'm ten minutes late",
    "remind me tomorrow at 6 to call the landlord",
    "what does my note Trip say?",
    "put lunch with Omar on Friday at noon into my calendar",
    "show me the way to the harbour",
    "how are you?",
)


@pytest.fixture(scope="module")
def ray() -> Iterator[Ray]:
    """Two workers on this machine."""
    with Ray(workers=2) as workers:
        from ray import cloudpickle

        cloudpickle.register_pickle_by_value(sys.modules[__name__])  # the workers cannot import the tests
        yield workers
        cloudpickle.unregister_pickle_by_value(sys.modules[__name__])


def _squares() -> Callable[[int], int]:
    return lambda row: row * row


def _diary(folder: Path) -> Callable[[int], tuple[int, int]]:
    """Note in a folder which process takes which row; the first that takes the third is killed."""

    def do(row: int) -> tuple[int, int]:
        times = len([*folder.glob(f"{row}-*")])
        (folder / f"{row}-{times}").write_text(str(os.getpid()))
        if row == 2 and times == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return row, row * row

    return do


def _fragile(folder: Path) -> Callable[[int], int]:
    """Be killed by each row once."""

    def do(row: int) -> int:
        if not (folder / str(row)).exists():
            (folder / str(row)).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return row

    return do


def _deadly() -> Callable[[int], int]:
    def do(row: int) -> int:
        os.kill(os.getpid(), signal.SIGKILL)
        return row

    return do


def _refusing() -> Callable[[int], int]:
    def do(row: int) -> int:
        if row == 1:
            raise MissingExtra("yeast", "bread")
        return row

    return do


@pytest.mark.parametrize("count", [0, 1, 9])
def test_results_come_in_the_order_of_the_rows(ray: Ray, count: int) -> None:
    expected = [row * row for row in range(count)]
    assert [*Local().map(_squares, range(count))] == expected
    assert [*ray.map(_squares, range(count))] == expected


def test_rows_are_taken_as_they_are_needed(ray: Ray) -> None:
    for workers in (Local(), ray):
        assert [*itertools.islice(workers.map(_squares, itertools.count()), 5)] == [0, 1, 4, 9, 16]


def test_what_a_killed_worker_had_in_hand_is_done_again(ray: Ray, tmp_path: Path) -> None:
    assert [*ray.map(partial(_diary, tmp_path), range(8))] == [(row, row * row) for row in range(8)]
    first, again = ((tmp_path / f"2-{times}").read_text() for times in (0, 1))
    assert first != again


def test_a_row_that_ends_every_worker_is_given_up(ray: Ray) -> None:
    with pytest.raises(EngineError, match=f"{RETRIES + 1} times"):
        [*ray.map(_deadly, [1])]


def test_an_error_comes_as_it_was_raised(ray: Ray) -> None:
    for workers in (Local(), ray):
        with pytest.raises(MissingExtra, match="yeast") as caught:
            [*workers.map(_refusing, range(3))]
        assert caught.value.fix == "pip install 'tinyagent-edge[bread]'"


def test_more_losses_than_a_row_may_have_do_not_end_a_long_job(ray: Ray, tmp_path: Path) -> None:
    rows = range(0, 3 * (RETRIES + 2), 3)
    assert [*ray.map(partial(_fragile, tmp_path), rows)] == [*rows]


def test_wrong_engines_are_refused() -> None:
    with pytest.raises(ConfigError, match="no engine 'dask'"):
        engine("dask")
    with pytest.raises(ConfigError, match="alone"):
        engine("local", workers=2)


def test_an_address_where_no_cluster_is_is_named() -> None:
    with (
        pytest.raises(EngineError, match=r"cannot join a Ray cluster at 127\.0\.0\.1:9: .*refused"),
        Ray(address="127.0.0.1:9"),
    ):
        pass
    with pytest.raises(EngineError, match="HOST:PORT"), Ray(address="ray"):
        pass


def test_a_cluster_does_the_rows(tmp_path: Path) -> None:
    """A head on this machine, in processes of its own: who joins it, by its token, has as many workers as it has cores."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    token = {**os.environ, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "t" * 40}
    start = [shutil.which("ray", path=str(Path(sys.executable).parent)) or "ray", "start", "--head", "--block"]
    start += [f"--port={port}", "--num-cpus=2", "--include-dashboard=false", "--disable-usage-stats"]
    head = subprocess.Popen(start, env=token, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(600):
            with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                break
            time.sleep(0.1)
        joined = _joining(port, "", token)
        assert joined.stdout.split("\n")[:1] == ["2 [0, 1, 4, 9, 16]"], joined.stderr
        assert "the cluster has 2 cores for 3 workers" in _joining(port, "workers=3, ", token).stderr
    finally:
        head.terminate()
        head.wait(30)


def _joining(port: int, options: str, environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    script = f"""
from pipeline.engine import Ray
with Ray({options}address="127.0.0.1:{port}") as workers:
    print(workers.workers, [*workers.map(lambda: lambda row: row * row, range(5))])
"""
    command = [sys.executable, "-c", script]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)


# ── what is done by engines ──────────────────────────────────────────────────────────────────────────


@pytest.mark.model
def test_a_batch_is_planned_the_same_by_workers(ray: Ray, config: Config, tmp_path: Path) -> None:
    path = tmp_path / "batch.jsonl"
    rows = [{"id": f"r{n}", "now": "2026-05-13 09:30:00", "query": query} for n, query in enumerate(QUERIES)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    requests = [*read_requests(path)]
    alone = [_timeless(line) for line in plan_all(config, requests, Local())]
    assert [line["id"] for line in alone] == [row["id"] for row in rows]
    assert [_timeless(line) for line in plan_all(config, requests, ray)] == alone


@pytest.mark.model
def test_an_evaluation_is_the_same_by_workers(ray: Ray, config: Config, tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    gold = {"steps": [{"tool": "open_note", "args": {"name": "Trip"}}]}
    rows = [
        {"id": f"r{n}", "now": "2026-05-13 09:30:00", "query": query, "plans": [gold]}
        for n, query in enumerate(QUERIES[:4])
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    cases, make = read_cases(path), partial(Pipeline, config)
    alone = Evaluation(evaluate(cases, make)).facts()
    shared = Evaluation(evaluate(cases, make, engine=ray)).facts()
    assert shared["all"] == alone["all"]
    assert shared["by_steps"] == alone["by_steps"]


def test_a_corpus_is_the_same_by_workers(ray: Ray, tools: Catalogue, monkeypatch: pytest.MonkeyPatch) -> None:
    some = [seed for number, seed in enumerate(load_seeds()) if seed.tools or number % 10 == 0]
    monkeypatch.setattr("training.corpus.load_seeds", lambda: some)
    sizes = {"train": 700, "validation": 20, "test": 20}
    assert [*generate(sizes, tools, seed=5, engine=ray)] == [*generate(sizes, tools, seed=5)]


def _timeless(line: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in line.items() if not name.endswith("_ms")}
