"""Where many rows of work are done: in this process, or by workers on this machine's cores or on a cluster.

    with engine("ray", workers=2) as workers:
        for line in workers.map(planner_of, requests): ...

Work that makes corpora, plans batches or evaluates is a function of one row, made once where the rows are done: `make` loads the
models and returns that function. Results come in the order of the rows and are the same whoever does them.
"""

from __future__ import annotations

import logging
import os
import socket
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from itertools import cycle, islice
from typing import Any, Protocol, Self, TypeVar

from pipeline.errors import ConfigError, MissingExtra, TinyAgentError

Row = TypeVar("Row")
Result = TypeVar("Result")

ENGINES = ("local", "ray")
RETRIES = 3  # times that a row is done again which ended its worker
AHEAD = 3  # rows in the hands of each worker, so that it seldom waits while slower ones are due before its own
START_S = 180.0  # that workers have to start
_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",  # Ray would tell its makers of its use; what runs here is nobody's business
    "RAY_IGNORE_UNHANDLED_ERRORS": "1",  # the first error of a row is raised; its neighbours' would be printed
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # workers see the GPU, as this process does
}


class EngineError(TinyAgentError):
    """Workers could not be started, or a row ended every worker that took it."""


class Engine(Protocol):
    """Does rows of work."""

    @property
    def workers(self) -> int:
        """How many rows are done at a time."""
        ...

    @property
    def cores(self) -> int:
        """How many cores a worker has for itself."""
        ...

    def map(self, make: Callable[[], Callable[[Row], Result]], rows: Iterable[Row]) -> Iterator[Result]:
        """Yield the result of each row, in their order.

        Args:
            make: Called once by whoever does rows; returns what does one.
            rows: Taken as they are needed, so there may be no end of them.

        Raises:
            Exception: What a row raised.
        """
        ...


class Local:
    """Does one row after another, in this process."""

    workers = 1
    cores = os.cpu_count() or 1

    def map(self, make: Callable[[], Callable[[Row], Result]], rows: Iterable[Row]) -> Iterator[Result]:
        """See `Engine.map`."""
        work = make()
        return (work(row) for row in rows)


class Ray:
    """Does rows in Ray actors: each makes its own work, so each has its own models.

    A worker that is lost (killed, out of memory, its machine gone) is started again, and what it had in hand is done again.
    Used as a context, at whose end the workers are gone.

    Args:
        workers: How many; 0 takes one for each core, of the cluster where there is one.
        address: HOST:PORT of a cluster's head; "" starts workers on this machine.
    """

    def __init__(self, workers: int = 0, address: str = "") -> None:
        self.workers, self._address = workers, address
        self.cores = 1

    def __enter__(self) -> Self:
        """Start the workers' place, or join the cluster.

        Raises:
            MissingExtra: Ray is not installed.
            EngineError: Nothing answers at the address, or it has fewer cores than workers are wanted.
        """
        for name, value in _ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        try:
            import ray
        except ModuleNotFoundError as error:
            raise MissingExtra("ray", "ray") from error
        quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
        try:
            if self._address:
                _knock(self._address)
                # A key belongs to who asks; paths, as in the other variables, belong to a machine.
                key = {name: os.environ[name] for name in ("TINYAGENT_API_KEY",) if name in os.environ}
                ray.init(self._address, runtime_env={"env_vars": key}, **quiet)
                there = int(ray.cluster_resources().get("CPU", 0))  # type: ignore[no-untyped-call]
            else:
                there = os.cpu_count() or 1
                self.workers = self.workers or there
                ray.init("local", num_cpus=self.workers, include_dashboard=False, **quiet)
                self.cores = max(1, there // self.workers)
        except (OSError, RuntimeError, ValueError) as error:
            if not self._address:
                raise EngineError(f"the Ray workers do not start: {error}") from error
            raise EngineError(
                f"cannot join a Ray cluster at {self._address}: {error}",
                fix="'ray start --head' begins one and tells its address; "
                "'ray start --address=…' makes this machine a part of it, with the same version of Ray; "
                "where it asks for tokens, set RAY_AUTH_MODE=token",
            ) from error
        self.workers = self.workers or there
        if self._address and self.workers > there:
            ray.shutdown()
            raise EngineError(
                f"the cluster has {there} cores for {self.workers} workers", fix="ask for fewer --workers"
            )
        return self

    def __exit__(self, *_: object) -> None:
        import ray

        ray.shutdown()

    def map(self, make: Callable[[], Callable[[Row], Result]], rows: Iterable[Row]) -> Iterator[Result]:
        """See `Engine.map`; `make`, the rows and the results travel between processes.

        Raises:
            EngineError: The workers do not start, or a row ended every worker that took it.
        """
        import ray

        actor: Any = ray.remote(num_cpus=1, max_restarts=-1, max_task_retries=RETRIES)(_Worker)
        workers: list[Any] = [actor.remote(make) for _ in range(self.workers)]
        turns, left, due = cycle(workers), iter(rows), deque[Any]()

        def hand_out(count: int) -> None:
            due.extend(worker.do.remote(row) for row, worker in zip(islice(left, count), turns, strict=False))

        try:
            _await([worker.ready.remote() for worker in workers])
            hand_out(self.workers * AHEAD)
            while due:
                yield ray.get(due.popleft())
                hand_out(1)
        except ray.exceptions.RayTaskError as error:
            cause = error.cause or error
            raise cause from (None if isinstance(cause, TinyAgentError) else error)
        except ray.exceptions.RayError as error:
            said = str(error).strip().partition("\n")[0]
            raise EngineError(
                f"a row ended its worker {RETRIES + 1} times: {said}",
                fix="if that is for want of memory, try fewer --workers",
            ) from error
        finally:
            if ray.is_initialized():  # it may be over before this generator is
                for result in due:
                    ray.cancel(result)
                for worker in workers:
                    worker.__ray_terminate__.options(max_task_retries=0).remote()


def _knock(address: str) -> None:
    """Raise `OSError` if nothing answers at HOST:PORT, for which Ray itself would wait for minutes."""
    host, colon, port = address.rpartition(":")
    if not (colon and port.isdecimal()):
        raise ValueError("an address is HOST:PORT")
    socket.create_connection((host, int(port)), timeout=10).close()


def _await(signs: list[Any]) -> None:
    """Wait until all workers are there; raise `EngineError` if they do not come."""
    import ray

    try:
        ray.get(signs, timeout=START_S)
    except ray.exceptions.RayError as error:
        raise EngineError(
            f"the Ray workers do not start: {str(error).strip() or type(error).__name__}",
            fix="are cores free, and is this project installed on each machine of the cluster?",
        ) from error


class _Worker:
    """Does rows in a process of its own; makes its work with the first, so that what goes wrong then is told."""

    def __init__(self, make: Callable[[], Callable[[Any], Any]]) -> None:
        self._make = make
        self._work: Callable[[Any], Any] | None = None

    def ready(self) -> bool:
        return True

    def do(self, row: Any) -> Any:
        self._work = self._work or self._make()
        return self._work(row)


def engine(name: str, workers: int = 0, address: str = "") -> AbstractContextManager[Engine]:
    """Return an engine by its name, as a context.

    Raises:
        ConfigError: There is none of that name, or what is given does not go with it.
    """
    if name == "ray":
        return Ray(workers, address)
    if name != "local":
        raise ConfigError(f"no engine {name!r}", fix=f"there are {', '.join(ENGINES)}")
    if workers > 1 or address:
        raise ConfigError("one process works alone: --workers and --address are for Ray", fix="add --engine ray")
    return nullcontext(Local())
