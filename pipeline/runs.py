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
    from pipeline.journal import RunRecord, StepRecord


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
    from rich.markup import escape
    from rich.table import Table

    from pipeline.journal import Journal
    from pipeline.terminal import visible

    records = Journal.of(config.data_dir).runs(limit)
    if as_json:
        click.echo(json.dumps([record_json(record) for record in records], ensure_ascii=False, indent=2))
        return
    table = Table("Run", "Status", "Request", box=None, pad_edge=False, header_style="bold")
    for record in records:
        table.add_row(record.id, record.status, escape(visible(record.request)))
    console(stderr=False).print(table)


@runs.command()
@click.argument("run", default="last")
@json_option
@settings_options
def show(config: Config, run: str, as_json: bool) -> None:
    """Show what became of each step of RUN."""
    from pipeline.journal import Journal
    from pipeline.terminal import visible

    record = Journal.of(config.data_dir).run(run)
    if as_json:
        click.echo(json.dumps(record_json(record), ensure_ascii=False, indent=2))
        return
    click.echo(f"{record.id}  {record.status}\n  {visible(record.request)}")
    for attempt in record.attempts:
        for step, found in zip(attempt.plan.steps, attempt.steps, strict=True):
            status = _status(found, record)
            said = "".join(f": {visible(text)}" for text in (found.output, found.error) if text)
            click.echo(f"  {visible(step.text())}\n     {status}{said}")
        if attempt is not record.attempts[-1]:
            click.echo("  planned again")
    if record.answer:
        click.echo(visible(record.answer))


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
    from pipeline.terminal import RunView, TerminalChooser, TerminalDoubter, can_ask, visible

    terminal = console()
    asked, shown = can_ask(), RunView(terminal)
    resumed = asyncio.run(
        Pipeline(config).aresume(
            run,
            approve=approver(yes, terminal, shown),
            choose=TerminalChooser(terminal, shown.hold) if asked else None,
            doubt=TerminalDoubter(terminal) if asked else leave,
            on_event=ignore if as_json else shown,
        )
    )
    if as_json:
        answer = {"run": resumed.run.id, "steps": outcomes_json(resumed.outcomes), "answer": resumed.answer.text}
        click.echo(json.dumps(answer | {"complete": resumed.answer.complete}, ensure_ascii=False, indent=2))
    else:
        terminal.print("[bold]Answer[/]")
        click.echo(visible(resumed.answer.text))
    return exit_status(resumed.outcomes, resumed.answer.complete)


@runs.command()
@click.argument("run", default="last")
@json_option
@settings_options
def undo(config: Config, run: str, as_json: bool) -> int:
    """Take back what RUN changed in your files and accounts: events, reminders, notes, drafts and messages that still wait.

    What was added to a file since stays. What was changed since, or has left this machine, is not touched.
    """
    from pipeline.errors import TinyAgentError
    from pipeline.journal import Journal, JournalError
    from pipeline.spec import Effect
    from pipeline.tools.desktop.undo import take_back

    journal = Journal.of(config.data_dir)
    log, record = journal.reopen(run)
    status = record.status
    try:
        changes = journal.changes(record.id)
        if not changes:
            fix = "'tinyagent runs show' tells what it did"
            raise JournalError(f"{record.id} has nothing that can be taken back", fix=fix)
        results: list[dict[str, Any]] = []
        for row, change, number in changes:
            try:
                what, done = take_back(change, config.data_dir, config.apps), True
                journal.taken_back(row)
            except TinyAgentError as error:
                what, done = str(error), False
            results.append({"step": number, "done": done, "what": what})
        tools = config.catalogue()
        steps = [step for attempt in record.attempts for step in attempt.steps]
        changed = {step.digest for step in steps if step.changes}  # a later plan may have the same call once more
        for step in steps:
            effect = tools[step.tool].effect if step.tool in tools else Effect.SEND
            had = step.status == "done" and effect in (Effect.WRITE, Effect.SEND)
            if had and not step.changes and step.digest not in changed:
                changed.add(step.digest)
                what = f"{step.tool} left nothing here that could be taken back"
                results.append({"step": step.number, "done": False, "what": what})
        taken = sum(result["done"] for result in results)
        status = "taken back" if taken == len(results) else status
    finally:
        log.end(status, record.answer)
    if as_json:
        click.echo(json.dumps({"run": record.id, "changes": results}, ensure_ascii=False, indent=2))
    else:
        for result in results:
            click.echo(f"{'✓' if result['done'] else '✗'} {result['step']}. {result['what']}")
    return 0 if taken == len(results) else 3 if taken else 1


def _status(step: StepRecord, record: RunRecord) -> str:
    return "in doubt" if step.in_doubt and record.status != "running" else step.status


def record_json(record: RunRecord) -> dict[str, Any]:
    """Return what the journal knows of a run as a JSON object."""
    return {
        "run": record.id,
        "request": record.request,
        "now": record.now.isoformat(),
        "begun": record.begun.isoformat(),
        "status": record.status,
        "plans": [
            {
                "plan": attempt.plan.text(),
                "steps": [
                    {
                        "number": step.number,
                        "tool": step.tool,
                        "call": planned.text(),
                        "needs": sorted(planned.references),
                        "status": _status(step, record),
                        "arguments": step.arguments,
                        "output": step.output,
                        "error": step.error,
                    }
                    for planned, step in zip(attempt.plan.steps, attempt.steps, strict=True)
                ],
            }
            for attempt in record.attempts
        ],
        "answer": record.answer,
    }
