"""Many clients at once of the real service with the real planner.

    python -m benchmarks.service_load [--clients 50] [--runs 50]

Starts `tinyagent serve` on a fresh folder of sample data. Each client sends its share of requests, one after another, and declines whatever
is asked; who is refused (429) comes again when told to. Checked: every run ends with an answer or an error, its events are numbered without a
gap, carry its own id, and are the same when they are heard again. Printed: how long runs took, how many were refused, and how much memory the service took.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import click
import httpx

from pipeline.tools.desktop.sample import create_sample

REQUESTS = (
    "text Priya that I'm ten minutes late",
    "remind me tomorrow at 6 to call the landlord",
    "what does my note Trip say?",
    "put lunch with Omar on Friday at noon into my calendar",
    "show me the way to the harbour",
)
START = "from pipeline.cli import main; main()"


@dataclass
class Seen:
    """What all clients saw."""

    seconds: list[float] = field(default_factory=list)  # from the first try to the last event
    refused: int = 0
    wrong: list[str] = field(default_factory=list)
    ends: list[str] = field(default_factory=list)  # the kind of each run's last event
    memory: list[float] = field(default_factory=list)  # MB


async def one(client: httpx.AsyncClient, name: int, runs: int, seen: Seen) -> None:
    """Be one client."""
    for n in range(runs):
        request = f"{REQUESTS[(name + n) % len(REQUESTS)]}"
        began = time.perf_counter()
        while (wait := await tried(client, name, request, seen)) > 0:
            seen.refused += 1
            await asyncio.sleep(wait)
        seen.seconds.append(time.perf_counter() - began)


async def tried(client: httpx.AsyncClient, name: int, request: str, seen: Seen) -> float:
    """Have one run, and return 0; or when to come again."""
    told: list[tuple[int, str, str]] = []
    headers = {"X-Client-Id": str(name)}
    async with client.stream("POST", "/v1/runs", json={"request": request}, headers=headers) as answer:
        if answer.status_code == 429:
            return float(answer.headers["retry-after"])
        answer.raise_for_status()
        path = answer.headers["location"]
        number, kind = 0, ""
        async for line in answer.aiter_lines():
            head, _, value = line.partition(": ")
            match head:
                case "id":
                    number = int(value)
                case "event":
                    kind = value
                case "data":
                    told.append((number, kind, value))
                    data = json.loads(value)
                    if not path.endswith(data["run"]):
                        seen.wrong.append(f"{path} was told of {data['run']}")
                    if kind == "approval_needed":
                        no = {"step": data["step"], "digest": data["digest"], "approved": False}
                        (await client.post(f"{path}/approvals", json=no)).raise_for_status()
    if [number for number, _, _ in told] != list(range(1, len(told) + 1)) or told[-1][1] not in ("answer", "error"):
        seen.wrong.append(f"{path} has gaps or no end: {[entry[:2] for entry in told]}")
    replay = (await client.get(f"{path}/events")).text
    if [line[6:] for line in replay.splitlines() if line.startswith("data: ")] != [data for _, _, data in told]:
        seen.wrong.append(f"{path} is told differently the second time")
    seen.ends.append(told[-1][1])
    return 0


async def measured(url: str, token: str, clients: int, runs: int) -> Seen:
    """Be all clients, and look at the service's memory meanwhile."""
    seen = Seen()
    limits = httpx.Limits(max_connections=2 * clients + 2)
    headers = {"Authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(base_url=url, headers=headers, timeout=600, limits=limits) as client:
        while (await client.get("/readyz")).status_code != 200:  # noqa: ASYNC110
            await asyncio.sleep(0.2)

        async def watch() -> None:
            while True:
                text = (await client.get("/metrics")).text
                [line] = [line for line in text.splitlines() if line.startswith("process_resident_memory_bytes ")]
                seen.memory.append(float(line.split()[1]) / 1e6)
                await asyncio.sleep(1)

        watching = asyncio.create_task(watch())
        share = [runs // clients + (i < runs % clients) for i in range(clients)]
        await asyncio.gather(*(one(client, i, n, seen) for i, n in enumerate(share)))
        watching.cancel()
    return seen


@click.command()
@click.option("--clients", default=50, show_default=True)
@click.option("--runs", default=50, show_default=True, help="Of all clients together.")
def main(clients: int, runs: int) -> None:
    """Measure and print."""
    with TemporaryDirectory() as folder:
        create_sample(Path(folder), datetime.now())
        command = [sys.executable, "-c", START, "serve", "--port", "0", "--data-dir", folder, "--log", "json"]
        env = {**os.environ, "TINYAGENT_CONFIG": str(Path(folder) / "none.toml"), "PYTHONPATH": str(Path.cwd())}
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=env
        ) as service:
            assert service.stdout is not None
            url = service.stdout.readline().split()[-1]
            token = (Path(folder) / ".tinyagent" / "token").read_text().strip()
            began = time.perf_counter()
            seen = asyncio.run(measured(url, token, clients, runs))
            took = time.perf_counter() - began
            service.terminate()
            status = service.wait(30)
    ordered = sorted(seen.seconds)
    print(f"{len(ordered)} runs of {clients} clients in {took:.1f} s, {took / len(ordered):.2f} s a run")
    print(f"a run: median {statistics.median(ordered):.2f} s, the longest {ordered[-1]:.2f} s, waiting included")
    print(f"refused with 429: {seen.refused}; ended with an answer: {seen.ends.count('answer')} of {len(seen.ends)}")
    print(f"memory: {seen.memory[0]:.0f} MB at the beginning, {max(seen.memory):.0f} MB at most")
    print(f"events lost or crossed: {len(seen.wrong)}; exit status after SIGTERM: {status}")
    for wrong in seen.wrong:
        print(wrong)
    sys.exit(bool(seen.wrong or status))


if __name__ == "__main__":
    main()
