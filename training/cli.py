"""The commands that make the models good: `tinyagent corpus | train | eval`. They need the extra `train`."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipeline.cli import console, engine_options, json_option, settings_options
from pipeline.config import Config, builtin_tools
from pipeline.errors import ConfigError, MissingExtra

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from pipeline.engine import Engine
    from training.corpus import Collected, Report
    from training.examples import Example

FILE = click.Path(path_type=Path, dir_okay=False)
FOLDER = click.Path(path_type=Path, file_okay=False)
against_option = click.option(
    "--against",
    type=FILE,
    multiple=True,
    help="JSON lines with a 'query': requests to evaluate on, of which nothing alike may be in the corpus.",
)


@contextmanager
def _extra() -> Iterator[None]:
    """Name the extra that brings a package that is missing."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise MissingExtra(error.name or "a package", "train") from error


# ── corpus ───────────────────────────────────────────────────────────────────────────────────────────


@click.group()
def corpus() -> None:
    """Make, check and import examples to train the planner on."""


@corpus.command()
@click.option("--size", default=80_000, show_default=True, help="Examples to train on.")
@click.option("--validation", default=1000, show_default=True, help="Examples to validate on.")
@click.option("--test", default=1000, show_default=True, help="Examples to test on.")
@click.option("--unseen", default=0, show_default=True, help="Examples for tools that are kept from all training.")
@click.option(
    "--join",
    type=click.FloatRange(0, 1),
    default=0.5,
    show_default=True,
    help="Share of requests that are joined with another one.",
)
@click.option("--seed", default=0, show_default=True, help="Of the random numbers; one seed makes one corpus.")
@click.option("--out", type=FILE, default=Path("corpus.jsonl"), show_default=True, help="File to write.")
@against_option
@json_option
@engine_options
def generate(
    engine: AbstractContextManager[Engine],
    size: int,
    validation: int,
    test: int,
    unseen: int,
    join: float,
    seed: int,
    out: Path,
    against: tuple[Path, ...],
    as_json: bool,
) -> None:
    """Compose a corpus from the seeds: offline, free, in minutes."""
    with _extra():
        from training.composition import Recipe
        from training.corpus import generate as compose

        sizes, recipe = {"train": size, "validation": validation, "test": test, "unseen": unseen}, Recipe(join=join)
        avoid, tools = _queries(against), builtin_tools()
        with engine as workers, _counting("Composing", sum(sizes.values())) as tell:
            examples = compose(sizes, tools, recipe=recipe, seed=seed, avoid=avoid, engine=workers, on_progress=tell)
            _write(examples, out, tell, as_json)


@corpus.command()
@click.option("--base-url", required=True, help="Of an OpenAI-compatible endpoint; the key is in TINYAGENT_API_KEY.")
@click.option("--model", required=True, help="The model's name there.")
@click.option("--size", default=1000, show_default=True, help="Examples to make.")
@click.option("--budget", default=10.0, show_default=True, help="Dollars to spend at most.")
@click.option("--price-in", default=0.0, show_default=True, help="Dollars for a million tokens of prompt.")
@click.option("--price-out", default=0.0, show_default=True, help="Dollars for a million tokens of reply.")
@click.option("--calls-per-minute", default=30.0, show_default=True)
@click.option("--seed", default=0, show_default=True, help="Of the random numbers.")
@click.option("--out", type=FILE, default=Path("teacher.jsonl"), show_default=True, help="File to write.")
@click.option("--ledger", type=FILE, help="Where replies are kept, so that none is paid for twice [OUT.ledger].")
@against_option
@json_option
def teach(
    size: int, seed: int, out: Path, ledger: Path | None, against: tuple[Path, ...], as_json: bool, **options: Any
) -> None:
    """Have a large model write requests and plans, and keep those that are sane."""
    with _extra():
        import itertools

        from training.teacher import Ledger, Teacher, TeacherSettings

        teacher = Teacher(
            TeacherSettings(seed=seed, **options),
            builtin_tools(),
            Ledger(ledger or out.with_suffix(out.suffix + ".ledger")),
        )
        with _counting("Asking the teacher", size) as tell:
            sane = _collected(teacher, against, tell)
            _write(itertools.islice(sane, size), out, tell, as_json, teacher.unread)


@corpus.command("import")
@click.argument("file", type=FILE)
@click.option("--out", type=FILE, default=Path("tinyagent.jsonl"), show_default=True, help="File to write.")
@against_option
@json_option
def import_(file: Path, out: Path, against: tuple[Path, ...], as_json: bool) -> None:
    """Read the published TinyAgent data set (FILE is its JSON) and write it as a corpus."""
    with _extra():
        from training.tinyagent_dataset import TinyAgentDataset

        source = TinyAgentDataset(file, builtin_tools())
        with _counting("Reading", None) as tell:
            _write(_collected(source, against, tell), out, tell, as_json, source.left_out)


@corpus.command()
@click.argument("file", type=FILE)
@against_option
@json_option
def check(file: Path, against: tuple[Path, ...], as_json: bool) -> int:
    """Report what is in a corpus FILE, and what is wrong with it. Exit status 1 if anything is."""
    with _extra():
        from training.corpus import check as checked

        with _counting("Checking", None) as tell:
            report = checked(file, builtin_tools(), avoid=_queries(against), on_progress=tell.count)
        if as_json:
            click.echo(json.dumps(report.facts(), ensure_ascii=False, indent=2))
        else:
            click.echo(_in_words(report))
        return 0 if report.sound else 1


class _Tell:
    """Shows how many examples there are, and remembers what was left out."""

    def __init__(self, update: Callable[[int], None]) -> None:
        self._update = update
        self.collected: Collected | None = None

    def __call__(self, collected: Collected) -> None:
        self.collected = collected
        self._update(collected.kept)

    def count(self, examples: int) -> None:
        self._update(examples)


@contextmanager
def _counting(title: str, total: int | None) -> Iterator[_Tell]:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console(), disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task(title, total=total)
        yield _Tell(lambda done: bar.update(task, completed=done))


def _collected(source: Iterable[Example], against: Sequence[Path], tell: _Tell) -> Iterator[Example]:
    from training.corpus import collect

    return collect(source, builtin_tools(), avoid=_queries(against), on_progress=tell)


def _write(
    examples: Iterable[Example], out: Path, tell: _Tell, as_json: bool, unread: Mapping[str, int] | None = None
) -> None:
    from training.examples import write

    count = write(examples, out)
    left_out = {**(unread or {}), **(tell.collected.left_out if tell.collected else {})}
    if as_json:
        click.echo(json.dumps({"file": str(out), "examples": count, "left_out": left_out}))
    else:
        reasons = ", ".join(f"{number} {reason}" for reason, number in left_out.items())
        click.echo(f"{count} examples in {out}" + (f" (left out: {reasons})" if reasons else ""))


def _queries(files: Sequence[Path]) -> list[str]:
    """Read the requests of JSON lines."""
    found = []
    for path in files:
        try:
            found += [str(json.loads(line)["query"]) for line in path.read_text("utf-8").splitlines() if line.strip()]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ConfigError(
                f"{path} cannot be read: {error!r}", fix="it should be JSON lines with a 'query'"
            ) from None
    return found


def _in_words(report: Report) -> str:
    def listed(counts: dict[Any, int]) -> str:
        return ", ".join(f"{name} {count}" for name, count in counts.items()) or "none"

    facts = report.facts()
    lines = [
        f"examples          {report.examples} from {facts['families']} phrasings",
        f"splits            {listed(facts['splits'])}",
        f"sources           {listed(facts['sources'])}",
        f"languages         {listed(facts['languages'])}",
        f"styles            {listed(facts['styles'])}",
        f"steps             {listed(facts['steps'])}",
        f"calls             {listed({name: n for name, n in facts['calls'].items() if name in builtin_tools()})}",
        f"violations        {listed(facts['violations'])}",
        f"exact duplicates  {report.exact}",
        f"near-duplicates   {report.near} ({report.near / max(1, report.examples):.2%})",
        f"leaks             {len(report.leaks)}",
        f"phrasings in two splits: {len(report.strayed)}",
        *report.samples,
        *(f"leak: {query!r} is like {other!r}" for query, other in report.leaks[:20]),
        "sound" if report.sound else "NOT SOUND",
    ]
    return "\n".join(lines)


# ── train ────────────────────────────────────────────────────────────────────────────────────────────


@click.group()
def train() -> None:
    """Train the models."""


@train.command("planner", context_settings={"show_default": True})
@click.option("--out", type=FOLDER, required=True, help="Folder of the run; an interrupted one is resumed.")
@click.option("--corpus", "corpus_file", type=FILE, help="A corpus file; by default examples are composed on the fly.")
@click.option("--base", type=FILE, help="GGUF file of the base model (default: SmolLM2-135M-Instruct).")
@click.option("--steps", type=int, help="How long to train.")
@click.option("--seed", type=int, help="Of the random numbers.")
@click.option("--rank", type=int, help="Of the adapter.")
@click.option("--learning-rate", type=float)
@click.option("--decay", type=float, help="Share of the steps, the last ones, in which the learning rate falls.")
@click.option(
    "--int8", is_flag=True, default=None, help="Products with the frozen weights in int8: faster on CPUs with VNNI."
)
@click.option("--compile", is_flag=True, default=None, help="By torch.compile: faster, but needs a C++ compiler.")
@click.option("--dropout", type=float, help="Of the adapter's inner activations.")
@click.option(
    "--start",
    type=click.Path(path_type=Path, exists=True),
    help="A GGUF adapter to begin with, or an earlier run's folder.",
)
@click.option("--without", multiple=True, metavar="TOOL", help="Leave a tool out of all training.")
@click.option("--dev", type=FILE, help="Rows with gold plans to measure success on at every validation.")
@click.option("--export", "gguf", type=FILE, help="GGUF file to write the adapter to at the end.")
def train_planner(
    out: Path,
    corpus_file: Path | None,
    base: Path | None,
    start: Path | None,
    without: tuple[str, ...],
    dev: Path | None,
    gguf: Path | None,
    **options: Any,
) -> None:
    """Fine-tune the planner: LoRA on a small model, from corpus to adapter."""
    with _extra():
        from pipeline.models import base_model_path
        from training.planner import Settings
        from training.planner import train as run

        given = {name: value for name, value in options.items() if value is not None}
        chosen = base or base_model_path()
        measure = _measured_on(dev, chosen) if dev else None
        settings = replace(Settings(), **given, without=without, start=str(start or ""))
        run(settings, chosen, out, corpus_file, measure=measure)
        if gguf:
            from training.export import export

            export(out, chosen, gguf)
            click.echo(f"{gguf}: {gguf.stat().st_size / 1e6:.1f} MB")


@train.command("classifier", context_settings={"show_default": True})
@click.option("--out", type=FOLDER, required=True, help="Folder of the run; an interrupted one is resumed.")
@click.option("--minutes", type=float, default=24.0, help="How long to train, evaluation not counted.")
@click.option(
    "--natural", type=FOLDER, help="Folder of public corpora, such as clinc150/, to train on beside the seeds."
)
@click.option("--encoder", default="", help="Checkpoint of BERT or DeBERTa to begin with (default: all-MiniLM-L6-v2).")
@click.option("--seed", type=int, default=0, help="Of the random numbers.")
@click.option("--without", multiple=True, metavar="TOOL", help="Leave a tool out of all training and of the labels.")
@click.option("--export", "artefact", type=FOLDER, help="Folder to write the int8 ONNX artefact to at the end.")
def train_classifier(
    out: Path,
    minutes: float,
    natural: Path | None,
    encoder: str,
    seed: int,
    without: tuple[str, ...],
    artefact: Path | None,
) -> None:
    """Train the classifier that selects tools, and export it."""
    with _extra():
        from classifiers.train import Settings
        from classifiers.train import train as run

        evaluation = run(Settings(minutes=minutes, encoder=encoder, seed=seed, without=without), natural, out)
        if artefact:
            from classifiers.export import export

            evaluation = export(out, natural, artefact)
        click.echo(evaluation.table())


def _measured_on(rows: Path, base: Path) -> Callable[[Path], dict[str, float]]:
    """Return what measures the success of a run's adapter on rows with gold plans."""
    from tempfile import TemporaryDirectory

    from pipeline.pipeline import Pipeline
    from pipeline.planners.llama import LlamaPlanner
    from pipeline.planners.merge import adapter_tools, merged
    from training.evaluation import Evaluation, evaluate, read_cases
    from training.export import export

    cases = read_cases(rows)

    def measure(run: Path) -> dict[str, float]:
        adapter = run / "adapter.gguf"
        export(run, base, adapter)
        with TemporaryDirectory(dir=run) as folder:
            planner = LlamaPlanner(merged(base, adapter, Path(folder)), layout="compact", known=adapter_tools(adapter))
            figures = Evaluation(evaluate(cases, lambda: Pipeline(Config(), planner=planner))).figures
            planner.close()
        return {"dev_success": round(figures.success, 4), "dev_arguments": round(figures.arguments, 4)}

    return measure


# ── eval ─────────────────────────────────────────────────────────────────────────────────────────────


@click.command("eval")
@click.argument("files", type=FILE, nargs=-1, required=True)
@click.option("--plans", type=FILE, help="Plans that 'tinyagent plan --batch' wrote, in place of planning now.")
@click.option("--prefix", default="", help="Only rows whose id begins so.")
@click.option("--needing", multiple=True, metavar="TOOL", help="Only rows whose plan calls one of these tools.")
@click.option("--split", default="test", show_default=True, help="Of a corpus file.")
@click.option("--limit", type=int, help="At most so many rows of each file.")
@click.option("--out", type=FOLDER, help="Folder for the report, as JSON and as Markdown.")
@json_option
@engine_options
@settings_options
def eval_(
    config: Config,
    engine: AbstractContextManager[Engine],
    files: tuple[Path, ...],
    plans: Path | None,
    prefix: str,
    needing: tuple[str, ...],
    split: str,
    limit: int | None,
    out: Path | None,
    as_json: bool,
) -> None:
    """Score plans against gold plans: FILEs of requests with right plans, or corpus files."""
    with _extra():
        from rich.progress import Progress

        from pipeline.batch import shared
        from pipeline.engine import Ray
        from pipeline.pipeline import Pipeline
        from training.evaluation import Evaluation, compare, evaluate, read_cases

        cases = [case for file in files for case in read_cases(file, split=split, limit=limit)]
        cases = [case for case in cases if str(case.request.id).startswith(prefix)]
        if needing:
            cases = [case for case in cases if any(step["tool"] in needing for gold in case.golds for step in gold)]
        if plans and isinstance(engine, Ray):
            raise click.UsageError("--plans are there already: nothing is left for --engine ray to do.")
        if not cases:
            raise ConfigError("no row is left to evaluate", fix="leave --prefix and --needing out")
        if plans:
            evaluation = Evaluation(compare(cases, _lines(plans), Pipeline(config).tools))
        else:
            with engine as planners, Progress(console=console(), disable=not sys.stderr.isatty()) as bar:
                task = bar.add_task("Planning", total=len(cases))
                make = partial(Pipeline, shared(config, planners))
                outcomes = evaluate(cases, make, engine=planners, on_progress=lambda: bar.advance(task))
                evaluation = Evaluation(outcomes)
        title = ", ".join(file.name for file in files)
        if out:
            out.mkdir(parents=True, exist_ok=True)
            facts = {
                "files": [file.name for file in files],
                "planner": config.planner.model_dump(),
                **evaluation.facts(),
            }
            (out / "evaluation.json").write_text(json.dumps(facts, ensure_ascii=False, indent=2) + "\n", "utf-8")
            (out / "evaluation.md").write_text(evaluation.markdown(title), "utf-8")
        if as_json:
            click.echo(json.dumps(evaluation.facts(), ensure_ascii=False, indent=2))
        else:
            click.echo(evaluation.markdown(title))


def _lines(path: Path) -> list[dict[str, Any]]:
    try:
        return [json.loads(line) for line in path.read_text("utf-8").splitlines() if line.strip()]
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{path} cannot be read: {error}", fix="'tinyagent plan --batch' writes such files"
        ) from error
