"""The command line: `tinyagent run | plan | select | tools | models | init`; others live in modules of their own, `listen` in
`pipeline.listen`, `runs` in `pipeline.runs`, `serve` and `page` in `pipeline.service`, `mcp` and `tools import` in `pipeline.mcp_cli`, `corpus | train |
eval` in `training.cli`.

Each command reads its options, calls the pipeline's public API and prints. Results go to standard output, what accompanies
them to standard error; `--json` prints one JSON document. Exit status: 0 done, 1 not done, 2 wrong usage or settings, 3
done in part, 130 interrupted. No command shows a traceback for bad input.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from pipeline.config import Config
from pipeline.engine import ENGINES, Engine, Ray
from pipeline.engine import engine as engine_of
from pipeline.errors import ConfigError, TinyAgentError, did_you_mean
from pipeline.spec import NAME, SpecError, ToolSpec, load_catalogue, load_spec

if TYPE_CHECKING:
    from rich.console import Console

    from pipeline.effects import Approval, Approver, Proposal
    from pipeline.executor import Outcome
    from pipeline.models import Model
    from pipeline.pipeline import Pipeline, Planning, Result
    from pipeline.terminal import RunView

F = TypeVar("F", bound=Callable[..., Any])


def main() -> None:
    """Run the command line; the entry point of the console script."""
    try:
        status = cli.main(standalone_mode=False)
    except click.exceptions.Abort:
        click.echo("Interrupted.", err=True)
        sys.exit(130)
    except KeyboardInterrupt:
        click.echo("Interrupted.", err=True)
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except TinyAgentError as error:
        click.echo(f"Error: {error.message}", err=True)
        if error.fix:
            click.echo(f"  To mend it: {error.fix}", err=True)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # no complaint at exit either
        sys.exit(1)
    sys.exit(status if isinstance(status, int) else 0)


class _Group(click.Group):
    """Commands, some of which are imported only when they are named or listed.

    Args:
        elsewhere: Where these are, by name: "module:command".
        rest: As of any group.
    """

    def __init__(self, *, elsewhere: Mapping[str, str], **rest: Any) -> None:
        super().__init__(**rest)
        self.elsewhere = elsewhere

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names, our own first."""
        return [*super().list_commands(ctx), *self.elsewhere]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command, imported now if it lives elsewhere."""
        if cmd_name not in self.elsewhere:
            return super().get_command(ctx, cmd_name)
        module, _, name = self.elsewhere[cmd_name].partition(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        return command


@click.group(
    cls=_Group,
    elsewhere={
        "listen": "pipeline.listen:listen",
        "runs": "pipeline.runs:runs",
        "mcp": "pipeline.mcp_cli:mcp",
        "doctor": "pipeline.doctor:doctor",
        "serve": "pipeline.service.commands:serve",
        "page": "pipeline.service.commands:page",
        "corpus": "training.cli:corpus",
        "train": "training.cli:train",
        "eval": "training.cli:eval_",
    },
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(package_name="tinyagent-edge", prog_name="tinyagent")
def cli() -> None:
    """Turn a request in plain words into an executed plan, on this machine.

    \b
    tinyagent init --sample                      a data folder to try things in
    tinyagent run "text Priya I'm running late"  select, plan, ask, do
    tinyagent plan "…"                           as far as the plan, nothing is done
    """


def settings_options(command: F) -> F:
    """Add the options that every command of the pipeline takes, and hand it their `Config`."""

    @click.option("--config", "config_file", type=click.Path(path_type=Path), help="Settings file to read.")
    @click.option("--data-dir", type=click.Path(path_type=Path, file_okay=False), help="Where your data is kept.")
    @click.option(
        "--tools",
        "tools",
        type=click.Path(path_type=Path),
        multiple=True,
        help="Folder or file of your own tool specs.",
    )
    @click.option("--enable", "enabled", multiple=True, metavar="APP", help="Use the tools of these apps only.")
    @click.option("--disable", "disabled", multiple=True, metavar="APP", help="Leave out the tools of an app.")
    @click.option("--instruct", "instructions", multiple=True, metavar="TEXT", help='Such as "always cc Nick".')
    @click.option("--all-tools", is_flag=True, help="Offer every tool to the planner, without a selection.")
    def wrapped(
        config_file: Path | None,
        data_dir: Path | None,
        tools: tuple[Path, ...],
        enabled: tuple[str, ...],
        disabled: tuple[str, ...],
        instructions: tuple[str, ...],
        all_tools: bool,
        **options: Any,
    ) -> Any:
        config = Config.load(config_file)
        changed: dict[str, Any] = {
            "tools": (*config.tools, *tools),
            "instructions": (*config.instructions, *instructions),
            "disabled_apps": (*config.disabled_apps, *disabled),
        }
        if enabled:
            changed["enabled_apps"] = enabled
        if data_dir:
            changed["data_dir"] = data_dir
        if all_tools:
            changed["selection"] = config.selection.model_copy(update={"route": "all"})
        return command(config.model_copy(update=changed), **options)

    return _in_place_of(command, wrapped)


def engine_options(command: F) -> F:
    """Add the options that commands with many rows take, and hand it the `Engine` that does them, as a context."""

    @click.option(
        "--engine",
        type=click.Choice(ENGINES),
        default=ENGINES[0],
        show_default=True,
        help="Who does the rows of a file: this process, or Ray workers (extra 'ray').",
    )
    @click.option("--workers", type=click.IntRange(min=0), default=0, help="Of Ray; 0 takes one for each core.")
    @click.option("--address", default="", help="Head of a Ray cluster, such as 10.0.0.5:6379; here by default.")
    def wrapped(*arguments: Any, engine: str, workers: int, address: str, **options: Any) -> Any:
        return command(*arguments, engine=engine_of(engine, workers, address), **options)

    return _in_place_of(command, wrapped)


def _in_place_of(command: F, wrapped: Callable[..., Any]) -> F:
    """Give what wraps a command its name, its help and, after its own options, those of the command."""
    wrapped.__name__, wrapped.__doc__ = command.__name__, command.__doc__
    own, theirs = (getattr(each, "__click_params__", []) for each in (wrapped, command))
    wrapped.__click_params__ = [*own, *theirs]  # type: ignore[attr-defined]
    return wrapped  # type: ignore[return-value]


class Moment(click.ParamType[datetime]):
    """A local date and time in ISO 8601."""

    name = "YYYY-MM-DD HH:MM"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """Read the value, or fail with a word on its form."""
        if isinstance(value, datetime):
            return value
        try:
            return datetime.fromisoformat(value).replace(tzinfo=None)
        except ValueError:
            self.fail(f"{value!r} is not a time; write it like '2026-05-14 09:30'", param, ctx)


now_option = click.option("--now", type=Moment(), help="The time at which the request is made; the present by default.")
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")


# ── run, plan, select ────────────────────────────────────────────────────────────────────────────────


@cli.command()
@click.argument("request")
@now_option
@click.option("--yes", is_flag=True, help="Do writes and sends without asking.")
@click.option("--dry-run", is_flag=True, help="Show what would be done; run nothing.")
@json_option
@settings_options
def run(config: Config, request: str, now: datetime | None, yes: bool, dry_run: bool, as_json: bool) -> int:
    """Do what REQUEST asks: select tools, plan, ask before writes and sends, run, answer.

    Where nobody sits at the terminal, writes and sends are declined unless --yes is given.
    """
    from pipeline.pipeline import Pipeline

    return do(Pipeline(config), request, now, yes=yes, dry_run=dry_run, as_json=as_json)


def do(
    pipeline: Pipeline,
    request: str,
    now: datetime | None,
    *,
    yes: bool,
    dry_run: bool,
    as_json: bool,
    facts: Mapping[str, Any] | None = None,
) -> int:
    """Run a request on the terminal, print what came of it, and return the exit status; `facts` stand first in the JSON."""
    from pipeline.effects import decline_all
    from pipeline.events import ignore
    from pipeline.terminal import RunView, TerminalChooser, can_ask, visible

    terminal = console()
    shown = RunView(terminal)
    approve = approver(yes, terminal, shown)
    choose = TerminalChooser(terminal, shown.hold) if can_ask() else None
    view = ignore if as_json else shown
    result = pipeline.run(request, now, approve=approve, choose=choose, on_event=view, dry_run=dry_run)
    if as_json:
        click.echo(json.dumps({**(facts or {}), **_result_json(request, result)}, ensure_ascii=False, indent=2))
    else:
        terminal.print("[bold]Answer[/]")
        click.echo(visible(result.answer.text))
        if approve is decline_all and not dry_run and any(o.status == "declined" for o in result.outcomes):
            click.echo("Nobody was there to approve; give --yes to do writes and sends without asking.", err=True)
        elif any(o.status in ("failed", "in doubt") for o in result.outcomes):
            click.echo("'tinyagent runs resume' goes on with it; what is done is not done again.", err=True)
    return exit_status(result.outcomes, result.answer.complete)


def approver(yes: bool, terminal: Console, view: RunView) -> Approver:
    """Return who approves: the person at the terminal, nobody, or whoever gave --yes, but for what comes with a warning."""
    from pipeline.effects import approve_all, decline_all
    from pipeline.terminal import TerminalApprover, can_ask

    if not can_ask():
        return approve_all if yes else decline_all
    ask = TerminalApprover(terminal, view.hold)
    if not yes:
        return ask

    async def approve(proposal: Proposal, /) -> Approval | None:
        return await (ask if proposal.warnings else approve_all)(proposal)

    return approve


@cli.command()
@click.argument("request", required=False)
@now_option
@click.option("--batch", type=click.Path(path_type=Path, dir_okay=False), help="JSON lines of id, now and query.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Where the batch's plans go.")
@json_option
@engine_options
@settings_options
def plan(
    config: Config,
    engine: AbstractContextManager[Engine],
    request: str | None,
    now: datetime | None,
    batch: Path | None,
    out: Path | None,
    as_json: bool,
) -> int:
    """Show the plan for REQUEST; nothing is run.

    With --batch FILE --out FILE, plan each line {"id", "now", "query"} of a file and write a line {"id", "tools",
    "route", "plan", "prompt_tokens", "full_prompt_tokens", "retrieval_ms", "plan_ms"} for each, in order; "error"
    stands in place of "plan" where there is none.
    """
    from pipeline.events import ignore
    from pipeline.pipeline import Pipeline
    from pipeline.terminal import RunView

    if (batch is None) != (out is None) or (batch is None) == (request is None):
        raise click.UsageError("Give a REQUEST, or --batch FILE with --out FILE.")
    if request is not None and isinstance(engine, Ray):
        raise click.UsageError("--engine ray is for --batch.")
    if batch and out:
        with engine as workers:
            return _plan_batch(config, workers, batch, out)
    assert request is not None
    planning = Pipeline(config).plan(request, now, on_event=ignore if as_json else RunView(console()))
    if as_json:
        click.echo(json.dumps({"request": request, **_planning_json(planning)}, ensure_ascii=False, indent=2))
    elif not sys.stderr.isatty():
        click.echo(planning.plan.text())
    return 0


@cli.command()
@click.argument("request")
@click.option("--after", "earlier", multiple=True, metavar="TEXT", help="An earlier request that this one follows up.")
@click.option("--explain", is_flag=True, help="Show every tool's score.")
@json_option
@settings_options
def select(config: Config, request: str, earlier: tuple[str, ...], explain: bool, as_json: bool) -> None:
    """Show which tools REQUEST needs, and why."""
    from pipeline.pipeline import Pipeline
    from pipeline.terminal import explain as print_explained

    selection = Pipeline(config).select(request, earlier=earlier)
    if as_json:
        click.echo(
            json.dumps(
                {
                    "request": request,
                    "tools": list(selection.names),
                    "prerequisites": sorted(selection.implied),
                    "route": selection.route,
                    "miss_rate": selection.miss_rate,
                    "scores": {name: round(score, 4) for name, score in selection.scores.items()},
                    "threshold": selection.threshold,
                    "milliseconds": round(selection.milliseconds, 2),
                },
                ensure_ascii=False,
                indent=2,
            )
        )
    elif explain:
        print_explained(selection, console(stderr=False))
    else:
        click.echo("\n".join(selection.names))


def _plan_batch(config: Config, engine: Engine, batch: Path, out: Path) -> int:
    """Plan every row; the output appears when it is whole."""
    from rich.progress import track

    from pipeline.batch import plan_all, read_requests, write_lines

    requests = list(read_requests(batch))
    failed = 0

    def lines() -> Iterator[dict[str, Any]]:
        nonlocal failed
        made = plan_all(config, requests, engine)
        shown = console()
        for line in track(made, "Planning", len(requests), console=shown, disable=not sys.stderr.isatty()):
            failed += "error" in line
            yield line

    write_lines(lines(), out)
    click.echo(f"{len(requests) - failed} of {len(requests)} requests planned, in {out}", err=True)
    return 0 if failed == 0 else 3 if failed < len(requests) else 1


def _planning_json(planning: Planning) -> dict[str, Any]:
    from pipeline.batch import summary

    return {"surface_plan": planning.surface, **summary(planning)}


def _result_json(request: str, result: Result) -> dict[str, Any]:
    return {
        "request": request,
        **_planning_json(result.planning),
        "run": result.run,
        "earlier_steps": outcomes_json(result.before),
        "steps": outcomes_json(result.outcomes),
        "answer": result.answer.text,
        "complete": result.answer.complete,
    }


def outcomes_json(outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
    """Return what became of steps as JSON objects."""
    return [
        {
            "number": o.step.number,
            "tool": o.step.tool,
            "status": o.status,
            "output": o.output,
            "error": str(o.error) if o.error else None,
            "remarks": list(o.remarks),
            "seconds": round(o.seconds, 4),
        }
        for o in outcomes
    ]


def exit_status(outcomes: Sequence[Outcome], complete: bool) -> int:
    """Return 0 for a run that is done, 3 for one that is done in part, 1 for one that is not."""
    if complete and outcomes:
        return 0
    return 3 if any(o.status == "done" for o in outcomes) else 1


# ── tools ────────────────────────────────────────────────────────────────────────────────────────────


@cli.group(cls=_Group, elsewhere={"import": "pipeline.mcp_cli:import_"})
def tools() -> None:
    """List, check, make and import tool specs."""


@tools.command("list")
@json_option
@settings_options
def tools_list(config: Config, as_json: bool) -> None:
    """List the tools that can be called."""
    from rich.table import Table

    catalogue = config.catalogue()
    if as_json:
        click.echo(json.dumps([_spec_json(spec) for spec in catalogue.values()], ensure_ascii=False, indent=2))
        return
    table = Table("Tool", "App", "Effect", "What it does", box=None, pad_edge=False, header_style="bold")
    for spec in catalogue.values():
        table.add_row(spec.name, spec.app, spec.effect, spec.description)
    console(stderr=False).print(table)


@tools.command("show")
@click.argument("name")
@json_option
@settings_options
def tools_show(config: Config, name: str, as_json: bool) -> None:
    """Show one tool: its signature, parameters, rules and examples."""
    from pipeline.prompt import signature

    catalogue = config.catalogue()
    if name not in catalogue:
        fix = did_you_mean(name, catalogue, "'tinyagent tools list' lists them")
        raise ConfigError(f"there is no tool {name!r}", fix=fix)
    spec = catalogue[name]
    if as_json:
        click.echo(json.dumps(_spec_json(spec), ensure_ascii=False, indent=2))
        return
    click.echo(
        f"{signature(spec)}\n  {spec.description}\n  app {spec.app}, effect {spec.effect}, gives {spec.returns.type}"
    )
    for parameter in spec.parameters:
        kind = f"list[{parameter.type}]" if parameter.list else parameter.type
        unsaid = "" if parameter.required else f", {parameter.default!r} if unsaid"
        click.echo(f"  {parameter.name}: {kind}{unsaid}\n      {parameter.description}")
    for title, lines in (("Rules", spec.rules), ("Examples", [e.request for e in spec.examples])):
        if lines:
            click.echo("\n".join([f"  {title}", *(f"    - {line}" for line in lines)]))


@tools.command("lint")
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path))
@settings_options
def tools_lint(config: Config, paths: tuple[Path, ...]) -> int:
    """Check spec files or folders (by default all that are in use), and name file, line, field and mend."""
    from pipeline.config import BUILTIN_TOOLS

    chosen = paths or (BUILTIN_TOOLS, *config.tools)
    files = [f for path in chosen for f in (sorted(path.glob("*.y*ml")) if path.is_dir() else [path])]
    wrong = 0
    for file in files:
        try:
            load_spec(file)
        except SpecError as error:
            wrong += 1
            click.echo(str(error))
    if not wrong:
        load_catalogue(chosen)  # names that two files claim
    click.echo(f"{len(files)} specs, {wrong or 'none'} wrong", err=True)
    return 1 if wrong else 0


@tools.command("new")
@click.argument("name")
@click.option(
    "--to", "folder", type=click.Path(path_type=Path, file_okay=False), default=Path(), help="Folder; here by default."
)
def tools_new(name: str, folder: Path) -> None:
    """Write a spec NAME.yaml to start from."""
    if not NAME.fullmatch(name):
        raise ConfigError(f"{name!r} cannot be a tool's name", fix="letters, digits and '_', a letter first")
    path = folder / f"{name}.yaml"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(_TEMPLATE.format(name=name))
    except FileExistsError:
        raise ConfigError(f"{path} exists already", fix="choose another name, or edit that file") from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}") from error
    click.echo(f"{path}: fill it in, check it with 'tinyagent tools lint {path}', use it with '--tools {folder}'")


_TEMPLATE = """\
name: {name}
app: mine
# What it does, in a sentence: the index finds the tool by this and by the examples.
description: Say here what {name} does.
# read (looks up), open (shows), write (changes your data; asks first), send (reaches others; asks first)
effect: read
parameters:
  # Types: string, integer, number, boolean, enum (with choices), datetime, duration, email, phone, path, url, list[…]
  - name: what
    type: string
    description: What it is given.
returns: {{type: string, description: What it gives back.}}
examples:
  - A request that needs this tool
  - another one, put differently
# One of: command (an argument list, never a shell), url (with method and body), python ("module:function"), mcp (a server's tool)
implementation:
  command: [echo, "{{what}}"]
"""


def _spec_json(spec: ToolSpec) -> dict[str, Any]:
    data: dict[str, Any] = spec.model_dump(mode="json", by_alias=True)
    return data


# ── init, models ─────────────────────────────────────────────────────────────────────────────────────


@cli.command()
@click.option("--sample", is_flag=True, help="Fill it with believable people, mail, notes and PDFs.")
@now_option
@settings_options
def init(config: Config, sample: bool, now: datetime | None) -> None:
    """Make the data folder."""
    from pipeline.tools.desktop.sample import create_sample

    if sample:
        made = create_sample(config.data_dir, now or datetime.now())
        click.echo(f"{len(made)} files of sample data in {config.data_dir}")
        return
    try:
        for name in (
            "contacts",
            "calendars",
            "reminders",
            "files",
            "mail/inbox",
            "mail/drafts",
            "notes",
            "messages/outbox",
        ):
            (config.data_dir / name).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"{config.data_dir} cannot be made: {error.strerror}", fix="choose another with --data-dir"
        ) from error
    click.echo(f"{config.data_dir} is ready; put vCards into {config.data_dir / 'contacts'}")


@cli.group()
def models() -> None:
    """Show and fetch model weights."""


@models.command("list")
@json_option
@settings_options
def models_list(config: Config, as_json: bool) -> None:
    """List the models that can plan: size, licence, and whether they are here."""
    from rich.table import Table

    from pipeline.models import DEFAULT, locate, registry

    known = registry(config.models)
    if as_json:
        rows = [
            {
                "name": model.name,
                "description": model.description,
                "licence": model.licence,
                "size": model.size,
                "sha256": model.sha256,
                "path": str(path) if (path := locate(model)) else None,
                "default": model.name == DEFAULT,
            }
            for model in known.values()
        ]
        click.echo(json.dumps(rows, ensure_ascii=False, indent=2))
        return
    table = Table(
        "Model", "Size", "Licence", "Here", "SHA-256", "What it is", box=None, pad_edge=False, header_style="bold"
    )
    for model in known.values():
        size = f"{model.size / 1e6:,.0f} MB" if model.size else "?"
        table.add_row(
            model.name + (" (default)" if model.name == DEFAULT else ""),
            size,
            model.licence,
            "yes" if locate(model) else "no",
            model.sha256[:12] + "…" if model.sha256 else "not pinned",
            model.description,
        )
    console(stderr=False).print(table)


@models.command("path")
@click.argument("name", required=False)
@settings_options
def models_path(config: Config, name: str | None) -> None:
    """Print where a model's file is, checked against its size and hash."""
    from pipeline.models import ModelError, locate, verify

    model = _model_named(config, name)
    path = locate(model)
    if path is None:
        raise ModelError(f"{model.name} is not here", fix=f"'tinyagent models pull {model.name}' fetches it")
    verify(path, model)
    click.echo(path)


@models.command("pull")
@click.argument("name")
@settings_options
def models_pull(config: Config, name: str) -> None:
    """Fetch a model; an interrupted download goes on where it stopped."""
    from rich.progress import BarColumn, DownloadColumn, Progress, TransferSpeedColumn

    from pipeline.models import pull

    model = _model_named(config, name)
    with Progress(BarColumn(), DownloadColumn(), TransferSpeedColumn(), console=console(), transient=True) as bar:
        task = bar.add_task(model.name, total=model.size)
        path = pull(model, lambda done, total: bar.update(task, completed=done, total=total))
    click.echo(f"{path} ({model.licence}, {model.pin})")


def _model_named(config: Config, name: str | None) -> Model:
    from pipeline.models import DEFAULT, registry

    known = registry(config.models)
    chosen = name or DEFAULT
    if chosen in known:
        return known[chosen]
    fix = did_you_mean(chosen, known, f"there are {', '.join(known)}")
    raise ConfigError(f"there is no model {chosen!r}", fix=fix)


def console(*, stderr: bool = True) -> Console:
    """Return the terminal to write to."""
    from rich.console import Console

    return Console(stderr=stderr)
