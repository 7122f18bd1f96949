"""Measures this machine, and writes `benchmarks/results/<machine>.json`, a report in Markdown beside it, and plots.

make bench                                   # or: python -m benchmarks; some twenty minutes on two x86 cores
python -m benchmarks --quick                 # three minutes
python -m benchmarks --baseline OLD.json     # and say what is slower now
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from benchmarks import asked, decode, growth, kept, machine, savings, whole
from benchmarks.figures import plain, table

RESULTS = Path(__file__).parent / "results"
SECTIONS = {
    "savings": "What Tool-RAG and a short prompt save",
    "kept": "Accuracy against tokens",
    "decode": "Reading and writing",
    "growth": "A growing catalogue",
    "whole": "The pipeline as a program",
    "speech": "Spoken requests",
}
FILE = click.Path(path_type=Path, dir_okay=False, exists=True)
SLOWER = 1.15  # times the baseline, from which on a figure is told as a regression


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("files", type=FILE, nargs=-1)
@click.option("--quick", is_flag=True, help="A few requests a section: some three minutes.")
@click.option(
    "--requests", "count", default=30, show_default=True, help="To measure with, drawn at random but always the same."
)
@click.option("--only", type=click.Choice([*SECTIONS]), multiple=True, help="Only this section; may be repeated.")
@click.option("--baseline", type=FILE, help="An earlier result (JSON) to compare with.")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), default=RESULTS, help="Folder to write to.")
def main(
    files: tuple[Path, ...], quick: bool, count: int, only: Sequence[str], baseline: Path | None, out: Path
) -> None:
    """Measure tokens, latency and memory on this machine.

    FILES are rows with gold plans, as 'tinyagent eval' takes them; without any, requests come from the corpus's test seeds.
    """
    requests = asked.read(files, 3 if quick else count)
    chosen = [name for name in SECTIONS if not only or name in only]
    with _progress() as tell:
        tell("Looking at the machine")
        known = machine.facts()
        sections = {name: _measure(name, requests, known, quick, tell) for name in chosen}
    out.mkdir(parents=True, exist_ok=True)
    name = machine.name(known) + ("-quick" if quick else "")
    model = sections["savings"].pop("model") if "savings" in sections else None
    facts = {
        "date": date.today().isoformat(),
        "machine": known,
        "model": machine.model_facts(model) if model else None,
        "requests": [file.name for file in files] or ["the corpus's test seeds"],
        **plain(sections),
    }
    (out / f"{name}.json").write_text(json.dumps(facts, indent=1, ensure_ascii=False) + "\n", "utf-8")
    try:
        from benchmarks.plots import draw

        plots = draw(sections, out)
    except ImportError:
        Console(stderr=True).print("[yellow]No plots: pip install 'tinyagent-edge\\[bench]' brings matplotlib.[/]")
        plots = []
    report = _report(facts, sections, plots)
    if baseline:
        report += "\n## Beside the baseline\n\n" + _compared(json.loads(baseline.read_text("utf-8")), facts) + "\n"
    (out / f"{name}.md").write_text(report, "utf-8")
    click.echo(report)
    Console(stderr=True).print(f"Written to {out / name}.json and .md")


def _measure(
    name: str, requests: Sequence[asked.Asked], known: dict[str, Any], quick: bool, tell: Callable[[str], None]
) -> Any:
    title = SECTIONS[name]
    done = 0

    def count() -> None:
        nonlocal done
        done += 1
        tell(f"{title}: {done}")

    tell(title)
    match name:
        case "savings":
            return savings.measure(requests, count)
        case "kept":
            return kept.measure(requests, count)
        case "speech":
            return _speech(count)
        case "decode":
            return decode.measure(requests[:20], known["memory_bandwidth_gb_s"], known["cores"], count)
        case "growth":
            return growth.measure(requests[:20], (16, 64) if quick else (16, 64, 256, 1024, 10_000), count)
        case _:
            return whole.measure(requests[:24], 1 if quick else 5, count)


def _speech(count: Callable[[], None]) -> dict[str, Any]:
    """Measure spoken requests, where what that needs is installed."""
    try:
        from benchmarks import speech

        rows = speech.measure(count)
    except ModuleNotFoundError as error:
        return {"report": f"Not measured: the package {error.name!r} is not installed; the extra `dev` brings it."}
    return {"rows": rows, "report": speech.report(rows)}


def _report(facts: dict[str, Any], sections: dict[str, Any], plots: Sequence[Path]) -> str:
    known = facts["machine"]
    lines = [
        f"# {known['chip']}, {known['cores']} cores",
        "",
        f"{facts['date']}; {known['system']}, Python {known['python']}, {known['memory_gb']} GB of memory that delivers "
        f"{known['memory_bandwidth_gb_s']} GB/s, inference on the {known['offload']}; load before: {known['load_before'][0]}.",
        f"{', '.join(f'{package} {number}' for package, number in known['packages'].items())}.",
    ]
    if model := facts["model"]:
        lines.append(f"Model: {model['file']}, {model['megabytes']} MB, SHA-256 {model['sha256']}.")
    lines += [f"Requests: {', '.join(facts['requests'])}.", ""]
    reports: dict[str, Callable[[Any], str]] = {
        "savings": savings.report,
        "kept": kept.report,
        "decode": decode.report,
        "growth": growth.report,
        "whole": whole.report,
        "speech": lambda found: found["report"],
    }
    for name, found in sections.items():
        lines += [f"## {SECTIONS[name]}", ""]
        lines += [f"![{SECTIONS[name]}]({plot.name})\n" for plot in plots if plot.stem == name]
        lines += [reports[name](found), ""]
    return "\n".join(lines)


def _compared(before: dict[str, Any], after: dict[str, Any]) -> str:
    """Return every median of time beside the baseline's, the regressions marked."""
    old, new = dict(_medians(before)), dict(_medians(after))
    rows = [
        (
            place,
            f"{old[place]:.4g}",
            f"{value:.4g}",
            f"{value / old[place]:.2f}",
            "slower" if value > SLOWER * old[place] else "",
        )
        for place, value in new.items()
        if old.get(place)
    ]
    return table(("figure", "baseline", "now", "ratio", ""), rows) if rows else "Nothing in common."


def _medians(facts: Any, place: str = "") -> Iterator[tuple[str, float]]:
    if isinstance(facts, dict):
        if isinstance(facts.get("median"), int | float):
            yield place, facts["median"]
            return
        for key, value in facts.items():
            yield from _medians(value, f"{place} / {key}" if place else key)


@contextmanager
def _progress() -> Iterator[Callable[[str], None]]:
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task("")
        yield lambda text: bar.update(task, description=text)


if __name__ == "__main__":
    main()
