"""`tinyagent runs`: what was run, what became of it, going on with it, and taking it back.

Reads the journal of the data folder and prints; going on is `Pipeline.aresume`'s.
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import click

from pipeline.cli import approver, console, exit_status, json_option, outcomes_json, settings_options
from pipeline.config import Config

if TYPE_CHECKING:
    from pipeline.journal import RunRecord


@click.group()
def runs() -> None:
    """List runs, go on with one that was interrupted, and take back what one did.

    RUN is the id of a run, or how it begins; "last" is the last one.
    """


@runs.command("list")
@click.option("--limit", default=20, show_default=True, help="How many, the last ones.")
@json_option
@settings_options
def list_(config: Config, limit: int, as_json: bool) -> None:
    """List the last runs."""
    from rich.table import Table

    from pipeline.journal import Journal

    records = Journal.of(config.data_dir).runs(limit)
    if as_json:
        click.echo(json.dumps([_json(record) for record in records], ensure_ascii=False, indent=2))
        return
    table = Table("Run", "Status", "Request", box=None, pad_edge=False, header_style="bold")
    for record in records:
        table.add_row(record.id, record.status, record.request)
    console(stderr=False).print(table)


@runs.command()
@click.argument("run", default="last")
@json_option
@settings_options
def show(config: Config, run: str, as_json: bool) -> None:
    """Show what became of each step of RUN."""
    from pipeline.journal import Journal

    record = Journal.of(config.data_dir).run(run)
    if as_json:
        click.echo(json.dumps(_json(record), ensure_ascii=False, indent=2))
        return
    click.echo(f"{record.id}  {record.status}\n  {record.request}")
    for step, found in zip(record.plan.steps, record.steps, strict=True):
        status = "in doubt" if found in record.in_doubt else found.status
        click.echo(
            f"  {step.text()}\n     {status}" + "".join(f": {text}" for text in (found.output, found.error) if text)
        )
    if record.answer:
        click.echo(record.answer)


@runs.command()
@click.argument("run", default="last")
@click.option("--yes", is_flag=True, help="Do writes and sends without asking.")
@json_option
@settings_options
def resume(config: Config, run: str, yes: bool, as_json: bool) -> int:
    """Go on with RUN, which was interrupted or done in part.

    What is done is not done again. A step that broke off where it may have been done is asked about; where nobody can answer it is
    left, and so is what needs it.
    """
    from pipeline.events import ignore
    from pipeline.pipeline import Pipeline, leave
    from pipeline.terminal import RunView, TerminalChooser, TerminalDoubter, can_ask

    terminal = console()
    asked = can_ask()
    resumed = asyncio.run(
        Pipeline(config).aresume(
            run,
            approve=approver(yes, terminal),
            choose=TerminalChooser(terminal) if asked else None,
            doubt=TerminalDoubter(terminal) if asked else leave,
            on_event=ignore if as_json else RunView(terminal),
        )
    )
    if as_json:
        answer = {"run": resumed.run.id, "steps": outcomes_json(resumed.outcomes), "answer": resumed.answer.text}
        click.echo(json.dumps(answer | {"complete": resumed.answer.complete}, ensure_ascii=False, indent=2))
    else:
        terminal.print("[bold]Answer[/]")
        click.echo(resumed.answer.text)
    return exit_status(resumed.outcomes, resumed.answer.complete)


@runs.command()
@click.argument("run", default="last")
@json_option
@settings_options
def undo(config: Config, run: str, as_json: bool) -> int:
    """Take back what RUN changed in your files: events, reminders, notes, drafts and messages that still wait.

    What was added to a file since stays. What was changed since, or has left this machine, is not touched.
    """
    from pipeline.errors import TinyAgentError
    from pipeline.journal import Journal, JournalError
    from pipeline.tools.desktop.undo import take_back

    journal = Journal.of(config.data_dir)
    record = journal.run(run)
    changes = journal.changes(record.id)
    if not changes:
        raise JournalError(
            f"{record.id} has nothing that can be taken back", fix="'tinyagent runs show' tells what it did"
        )
    results: list[dict[str, Any]] = []
    for left, (row, change, number) in zip(range(len(changes) - 1, -1, -1), changes, strict=True):
        try:
            said, done = take_back(change, config.data_dir), True
            journal.taken_back(record.id, row, all_of_it=left == 0 and all(r["done"] for r in results))
        except TinyAgentError as error:
            said, done = str(error), False
        results.append({"step": number, "done": done, "what": said})
    if as_json:
        click.echo(json.dumps({"run": record.id, "changes": results}, ensure_ascii=False, indent=2))
    else:
        for result in results:
            click.echo(f"{'✓' if result['done'] else '✗'} {result['step']}. {result['what']}")
    done = sum(result["done"] for result in results)
    return 0 if done == len(results) else 3 if done else 1


def _json(record: RunRecord) -> dict[str, Any]:
    return {
        "run": record.id,
        "request": record.request,
        "now": record.now.isoformat(),
        "begun": record.begun.isoformat(),
        "status": record.status,
        "plan": record.plan.text(),
        "steps": [
            {
                "number": step.number,
                "tool": step.tool,
                "status": "in doubt" if step in record.in_doubt else step.status,
                "arguments": step.arguments,
                "output": step.output,
                "error": step.error,
            }
            for step in record.steps
        ],
        "answer": record.answer,
    }
