"""`tinyagent listen`: a spoken request → what `tinyagent run` does with a typed one.

Takes a recording or the microphone, shows what was heard, and runs it; the models that plan are loaded meanwhile. What is heard
wrongly may be planned wrongly, so that writes and sends are asked about with what they will do, as always.
"""

from __future__ import annotations

import json
import sys
import threading
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipeline.cli import console, do, json_option, now_option, settings_options
from pipeline.config import Config
from pipeline.errors import TinyAgentError

if TYPE_CHECKING:
    from pipeline.audio import Samples
    from pipeline.pipeline import Pipeline
    from pipeline.speech import Transcriber, Transcript


class NothingHeard(TinyAgentError):
    """Nobody said anything, or nothing that could be understood."""


@click.command()
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option("--mic", is_flag=True, help="Listen to the microphone until the speaker is quiet; Enter ends it too.")
@click.option("--text", "only_text", is_flag=True, help="Print the words; run nothing.")
@click.option("--language", metavar="CODE", help="What is spoken, such as 'en'; by default, what is heard.")
@now_option
@click.option("--yes", is_flag=True, help="Do writes and sends without asking.")
@click.option("--dry-run", is_flag=True, help="Show what would be done; run nothing.")
@json_option
@settings_options
def listen(
    config: Config,
    file: Path | None,
    mic: bool,
    only_text: bool,
    language: str | None,
    now: datetime | None,
    yes: bool,
    dry_run: bool,
    as_json: bool,
) -> int:
    """Do what is said in the recording FILE, or into the microphone: transcribe it, then as 'tinyagent run'.

    FILE is sound or video in any format that FFmpeg reads. With silence and noise it says that nothing was heard, and does nothing.
    """
    from pipeline.pipeline import Pipeline
    from pipeline.speech import Transcriber

    if (file is None) != mic:
        raise click.UsageError("Give a FILE, or --mic.")
    transcriber, pipeline = Transcriber(config.speech), Pipeline(config)
    warming = threading.Thread(target=_warm, args=(pipeline,), daemon=True)
    if not only_text:
        warming.start()
    heard = _transcribed(transcriber, file or _spoken(transcriber), language, names(config))
    if only_text and as_json:
        click.echo(json.dumps(transcript_json(heard), ensure_ascii=False, indent=2))
        return 0 if heard.text else 1
    if not heard.text:
        if as_json:
            click.echo(json.dumps(transcript_json(heard), ensure_ascii=False, indent=2))
        raise NothingHeard(f"nothing heard: {heard.why_nothing} in {heard.seconds:.1f} s", fix="say it again, closer")
    if only_text:
        click.echo(heard.text)
        return 0
    console().print(f"[bold]Heard[/]  [dim]{heard.language}[/]", highlight=False)
    console().print(f"  {heard.text}", markup=False, highlight=False, soft_wrap=True)
    warming.join()
    return do(
        pipeline, heard.text, now, yes=yes, dry_run=dry_run, as_json=as_json, facts={"heard": transcript_json(heard)}
    )


def names(config: Config) -> tuple[str, ...]:
    """Return the names of the address book, given names first, as hints for the transcription; none where it can't be read."""
    from pipeline.tools.desktop.contacts import everybody

    if not config.speech.hints or config.backend != "desktop":
        return ()
    people = []
    with suppress(TinyAgentError):  # a request may need no contacts
        people = everybody(config.data_dir)
    return tuple(dict.fromkeys([*(c.full_name.split()[0] for c in people), *(c.full_name for c in people)]))


def transcript_json(heard: Transcript) -> dict[str, Any]:
    """Return what was heard as a JSON object."""
    return {
        "text": heard.text,
        "language": heard.language,
        "language_probability": round(heard.language_probability, 4),
        "seconds": round(heard.seconds, 2),
        "speech_seconds": round(heard.speech_seconds, 2),
        "segments": [{"start": s.start, "end": s.end, "text": s.text} for s in heard.segments],
        "doubted": [{"start": s.start, "end": s.end, "text": s.text} for s in heard.doubted],
    }


def _warm(pipeline: Pipeline) -> None:
    with suppress(TinyAgentError):  # the run itself will tell
        pipeline.warm_up()


def _transcribed(
    transcriber: Transcriber, audio: Path | Samples, language: str | None, hints: tuple[str, ...]
) -> Transcript:
    """Transcribe, with a bar on the terminal."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    with Progress(
        TextColumn("Listening"),
        BarColumn(),
        TimeRemainingColumn(),
        console=console(),
        transient=True,
        disable=not sys.stderr.isatty(),
    ) as bar:
        task = bar.add_task("", total=None)
        return transcriber.transcribe(
            audio, language, hints, lambda done, total: bar.update(task, completed=done, total=total)
        )


def _spoken(transcriber: Transcriber) -> Samples:
    """Return what is said into the microphone until it is quiet again, or until Enter is pressed."""
    from pipeline.audio import microphone, record

    stop = threading.Event()

    def wait_for_enter() -> None:
        sys.stdin.readline()
        stop.set()

    if sys.stdin.isatty():
        threading.Thread(target=wait_for_enter, daemon=True).start()
    click.echo("Speak now.", err=True)
    return record(microphone(stop), transcriber.has_speech)
