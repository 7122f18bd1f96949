"""Speech → text: a recording → what was said, or that nothing was.

A voice-activity detector (Silero, which comes with faster-whisper) finds where there is speech; only that goes, in windows that
Whisper takes whole, to one of two engines behind one interface: openai-whisper or faster-whisper. What they hear is believed only if
it is likely to have been said: on noise, Whisper invents sentences ("Thank you for watching!"; Koenecke et al., arXiv 2402.08021), and an
invented request must not be run. Thresholds are Whisper's own (arXiv 2212.04356, section 4.5) where measurement did not say
otherwise; docs/voice.md has the figures.

Nothing is fetched: weights that are not here are an error that says how to get them. This module knows nothing of requests.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np

from pipeline.audio import RATE, Block, Samples, blocks
from pipeline.config import SpeechConfig
from pipeline.errors import ConfigError, MissingExtra, TinyAgentError, did_you_mean

WINDOW_S = 30.0  # seconds that Whisper reads at a time
VOICE = 0.5  # probability from which on a moment (32 ms) counts as speech; the loudest of our noises came to 0.37
SHORTEST_MS = 100  # of what counts as speech
PAUSE_MS = 500  # without speech, at which a stretch of speech ends
PAD_MS = 300  # kept on both sides of a stretch
NO_SPEECH = 0.6  # probability of no speech, above which a segment must be the surer of its words
SURE = -0.7  # mean log probability of a token from which on a segment is believed all the same
LIKELY = -1.0  # mean log probability of a token below which no segment is believed
REPETITIVE = 2.4  # compression ratio of a text above which it is a loop
HINT_CHARACTERS = 400  # with `MANNER` about what Whisper has room for (223 tokens)
ECHO = 3  # words in a row out of what the model was told, which are taken for that and not for speech
# What requests are like, in English. It halves the word errors of a small model, and on noise has it write one of these, so
# that it is told only when speech was heard without it.
MANNER = (
    "Text Sam that I'm on my way. Remind me on Monday at 8 to water the plants. "
    "Email Kim and put dinner with Alex into my calendar. Open the file report.pdf."
)


class SpeechError(TinyAgentError):
    """Speech cannot be transcribed."""


class MissingWeights(SpeechError):
    """The weights of the speech model are not on this machine."""

    exit_code = 2


@dataclass(frozen=True, slots=True)
class Segment:
    """Some words of a recording."""

    start: float  # seconds from the recording's beginning
    end: float
    text: str
    log_probability: float  # mean over its tokens
    no_speech: float  # probability that there was none
    compression: float  # length of the text over that of its compression


@dataclass(frozen=True, slots=True)
class Transcript:
    """What was said in a recording."""

    text: str  # "" if nothing was heard
    language: str  # ISO 639-1; "" if nothing was heard
    language_probability: float
    seconds: float  # of the recording
    speech_seconds: float  # of it, where there is speech
    segments: tuple[Segment, ...] = ()
    doubted: tuple[Segment, ...] = ()  # what the model wrote and is not believed

    @property
    def why_nothing(self) -> str:
        """Why nothing was heard; "" if something was."""
        if self.text:
            return ""
        return "there is speech, but no words that are sure" if self.speech_seconds else "there is no speech"


class Engine(Protocol):
    """A speech model. Its methods are called by one thread at a time."""

    @property
    def languages(self) -> Collection[str]:
        """The languages that it knows, by ISO 639-1."""
        ...

    def language(self, samples: Samples) -> tuple[str, float]:
        """Return the language that is spoken and its probability."""
        ...

    def hear(self, samples: Samples, language: str, prompt: str) -> list[Segment]:
        """Return what is said in at most `WINDOW_S` seconds. Decoding is greedy or a beam search: it draws no lots."""
        ...


class Transcriber:
    """Transcribes with the engine that the settings name, which is loaded when there is first something to hear.

    It may be called from several threads, and takes one recording at a time.
    """

    def __init__(self, config: SpeechConfig | None = None, engine: Engine | None = None) -> None:
        self._config = config or SpeechConfig()
        self._given = engine
        self._lock = threading.Lock()

    @cached_property
    def engine(self) -> Engine:
        """The engine, loaded at its first use.

        Raises:
            MissingExtra: The engine is not installed.
            MissingWeights: Its weights are not here.
            ConfigError: There is no model of that name.
        """
        if self._given is not None:
            return self._given
        return FasterWhisper(self._config) if self._config.engine == "faster-whisper" else OpenAIWhisper(self._config)

    def transcribe(
        self,
        audio: Path | bytes | Samples,
        language: str | None = None,
        hints: Collection[str] = (),
        on_progress: Callable[[float, float | None], None] | None = None,
    ) -> Transcript:
        """Return what is said in a recording.

        Args:
            audio: A file, what is in one, or samples as `pipeline.audio` gives them.
            language: ISO 639-1; that of the settings, or else the one that is heard.
            hints: Names and other words that may occur, those that count most first.
            on_progress: Told the seconds that are transcribed, and of how many where that is known. What it raises ends the work.

        Raises:
            AudioError: The recording cannot be read.
            MissingExtra: The extra `voice` is not installed.
            SpeechError: The model is not here or does not work.
            ConfigError: It does not know the language, or there is no such model.
        """
        believed: list[Segment] = []
        doubted: list[Segment] = []
        wanted, sureness, seconds, spoken = language or self._config.language, 1.0, 0.0, 0.0
        prompt = prompt_of(hints)
        with self._lock:
            for window in windows(audio):
                seconds = window.until
                if window.samples.size:
                    spoken += len(window.samples) / RATE
                    if not wanted:
                        wanted, sureness = self.engine.language(window.samples)
                    elif wanted not in self.engine.languages:
                        raise ConfigError(
                            f"the model {self._config.model} does not know the language {wanted!r}",
                            fix=f"it knows {', '.join(sorted(self.engine.languages))}",
                        )
                    kept, other = self._heard(window.samples, wanted, prompt, hints, first=not (believed or doubted))
                    believed += map(window.placed, kept)
                    doubted += map(window.placed, other)
                if on_progress:
                    on_progress(seconds, window.total)
        text = " ".join(segment.text for segment in believed)
        return Transcript(
            text, wanted if text else "", sureness if text else 0.0, seconds, spoken, tuple(believed), tuple(doubted)
        )

    def _heard(
        self, samples: Samples, language: str, prompt: str, hints: Collection[str], *, first: bool
    ) -> tuple[list[Segment], list[Segment]]:
        """Return what is believed of what is heard, and what is not.

        Where a recording begins, it is heard once more as a request, and so it is taken if the model is surer of it then.
        """
        written = self.engine.hear(samples, language, prompt)
        believed = [segment for segment in written if believable(segment, hints)]
        if believed and first and language == "en":
            primed = self.engine.hear(samples, language, f"{prompt} {MANNER}".strip())
            surer = primed and _sureness(primed) >= _sureness(believed)
            if surer and all(believable(s, hints) and not _echoes(s.text, MANNER) for s in primed):
                return primed, []
        return believed, [segment for segment in written if segment not in believed]

    def has_speech(self, samples: Samples) -> list[tuple[float, float]]:
        """Return where there is speech, from second to second; for `pipeline.audio.record`."""
        return [(start / RATE, end / RATE) for start, end in voiced(samples)]


def prompt_of(hints: Collection[str]) -> str:
    """Return what the model is told to have been said before: the hints, as many as there is room for."""
    chosen, length = list[str](), 0
    for hint in dict.fromkeys(" ".join(hint.split()) for hint in hints):
        if hint and length + len(hint) + 2 <= HINT_CHARACTERS:
            chosen.append(hint)
            length += len(hint) + 2
    return ", ".join(chosen) + "." if chosen else ""


def believable(segment: Segment, hints: Collection[str] = ()) -> bool:
    """Return whether a segment was said, as far as can be told, rather than invented."""
    words = _words(segment.text)
    known = {word for hint in hints for word in _words(hint)}
    if not words or (len(words) >= ECHO and known.issuperset(words)):
        return False
    if segment.log_probability < LIKELY or segment.compression > REPETITIVE:
        return False
    return segment.no_speech <= NO_SPEECH or segment.log_probability >= SURE


def _sureness(segments: Collection[Segment]) -> float:
    """Return the mean log probability of some segments, by their length."""
    lengths = [max(segment.end - segment.start, 0.01) for segment in segments]
    return sum(s.log_probability * length for s, length in zip(segments, lengths, strict=True)) / sum(lengths)


def _echoes(text: str, told: str) -> bool:
    """Return whether a text is a piece of what the model was told."""
    words = _words(text)
    return len(words) >= ECHO and f" {' '.join(words)} " in f" {' '.join(_words(told))} "


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.casefold())


# ── where there is speech ────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Window:
    """Speech that the model is given at once: stretches of a recording, put one after another."""

    samples: Samples  # none where a piece of the recording has no speech
    starts: tuple[tuple[float, float], ...]  # of each stretch: seconds in the window, seconds in the recording
    until: float  # seconds of the recording that have been looked at
    total: float | None  # seconds of the recording, as far as it says

    def placed(self, segment: Segment) -> Segment:
        """Return a segment with its times in the recording."""
        return Segment(
            self._time(segment.start),
            self._time(segment.end),
            segment.text,
            segment.log_probability,
            segment.no_speech,
            segment.compression,
        )

    def _time(self, seconds: float) -> float:
        inside, outside = next((pair for pair in reversed(self.starts) if pair[0] <= seconds), self.starts[0])
        return round(min(outside + seconds - inside, self.until), 2)


def windows(audio: Path | bytes | Samples) -> Iterator[Window]:
    """Yield a recording's speech in windows; memory is bounded by a block and a window, whatever its length."""
    source = [Block(audio, len(audio) / RATE)] if isinstance(audio, np.ndarray) else blocks(audio)
    carried, at = np.zeros(0, np.float32), 0.0  # what is not yet looked at to its end, and where it begins
    for block, last in _marked(iter(source)):
        samples = np.concatenate([carried, block.samples]) if len(carried) else block.samples
        stretches = voiced(samples)
        until = len(samples)
        if not last and stretches and stretches[-1][1] >= len(samples) - RATE * (PAUSE_MS + PAD_MS) // 1000:
            # The speaker may not be done where the block ends; whoever speaks without a pause is cut.
            cut = stretches[-1][0]
            if len(samples) - cut < WINDOW_S * RATE:
                until, stretches = cut, stretches[:-1]
        for group in _grouped(stretches):
            pieces, inside = [samples[start:end] for start, end in group], 0
            starts = []
            for start, end in group:
                starts.append((inside / RATE, at + start / RATE))
                inside += end - start
            yield Window(np.concatenate(pieces), tuple(starts), at + group[-1][1] / RATE, block.total)
        carried, at = samples[until:], at + until / RATE
        yield Window(np.zeros(0, np.float32), (), at, block.total)


def _marked(source: Iterator[Block]) -> Iterator[tuple[Block, bool]]:
    """Yield blocks with whether each is the last one."""
    before = next(source, None)
    while before is not None:
        following = next(source, None)
        yield before, following is None
        before = following


def voiced(samples: Samples) -> list[tuple[int, int]]:
    """Return the stretches with speech, as first sample and the one after the last; none is longer than a window."""
    try:
        from faster_whisper.vad import VadOptions, get_speech_timestamps
    except ImportError as error:
        raise MissingExtra("faster-whisper", "voice") from error
    if not len(samples):
        return []
    options = VadOptions(
        threshold=VOICE,
        min_speech_duration_ms=SHORTEST_MS,
        max_speech_duration_s=WINDOW_S,
        min_silence_duration_ms=PAUSE_MS,
        speech_pad_ms=PAD_MS,
    )
    return [(found["start"], found["end"]) for found in get_speech_timestamps(samples, options)]


def _grouped(stretches: list[tuple[int, int]]) -> Iterator[list[tuple[int, int]]]:
    """Put stretches together as long as they fit into a window."""
    group: list[tuple[int, int]] = []
    for stretch in stretches:
        if group and sum(end - start for start, end in [*group, stretch]) > WINDOW_S * RATE:
            yield group
            group = []
        group.append(stretch)
    if group:
        yield group


# ── the engines ──────────────────────────────────────────────────────────────────────────────────────


class OpenAIWhisper:
    """OpenAI's own implementation, in PyTorch; its weights are files `NAME.pt`."""

    def __init__(self, config: SpeechConfig) -> None:
        try:
            import torch
            import whisper
        except ImportError as error:
            raise MissingExtra("openai-whisper", "voice") from error
        path = _openai_weights(config.model, whisper._MODELS)
        device = {"auto": "cuda" if torch.cuda.is_available() else "cpu"}.get(config.device, config.device)
        if config.threads:
            torch.set_num_threads(config.threads)
        try:
            self._model = whisper.load_model(str(path), device=device)
        except Exception as error:  # torch's own, of many types
            raise SpeechError(f"{path} is no Whisper checkpoint: {_line(error)}", fix="fetch it again") from error
        self._whisper = whisper

    @property
    def languages(self) -> Collection[str]:
        """The languages that it knows."""
        return self._whisper.tokenizer.LANGUAGES.keys() if self._model.is_multilingual else {"en"}

    def language(self, samples: Samples) -> tuple[str, float]:
        """Return the language that is spoken and its probability."""
        if not self._model.is_multilingual:
            return "en", 1.0
        mel = self._whisper.log_mel_spectrogram(self._whisper.pad_or_trim(samples), self._model.dims.n_mels)
        _, found = self._model.detect_language(mel.to(self._model.device))
        best = max(found, key=found.__getitem__)
        return best, float(found[best])

    def hear(self, samples: Samples, language: str, prompt: str) -> list[Segment]:
        """Return what is said."""
        said = self._whisper.transcribe(
            self._model,
            samples,
            language=language,
            initial_prompt=prompt or None,
            temperature=0.0,  # what is unsure is left out, not guessed at anew
            beam_size=5,
            condition_on_previous_text=False,
            no_speech_threshold=None,  # which is ours to judge
            fp16=self._model.device.type == "cuda",
            verbose=None,
        )
        return [
            Segment(
                float(s["start"]),
                float(s["end"]),
                s["text"].strip(),
                float(s["avg_logprob"]),
                float(s["no_speech_prob"]),
                float(s["compression_ratio"]),
            )
            for s in said["segments"]
        ]


class FasterWhisper:
    """Whisper in CTranslate2, by its authors' measure up to four times as fast; its weights are folders."""

    def __init__(self, config: SpeechConfig) -> None:
        try:
            from faster_whisper import WhisperModel
        except ImportError as error:
            raise MissingExtra("faster-whisper", "voice") from error
        path = _faster_weights(config.model)
        try:
            self._model = WhisperModel(
                str(path),
                device=config.device,
                compute_type="int8" if config.device == "cpu" else "auto",
                cpu_threads=config.threads,
                local_files_only=True,
            )
        except (RuntimeError, ValueError) as error:
            raise SpeechError(
                f"{path} cannot be loaded: {_line(error)}", fix="fetch it again, or set speech.device"
            ) from error

    @property
    def languages(self) -> Collection[str]:
        """The languages that it knows."""
        known: list[str] = self._model.supported_languages
        return known

    def language(self, samples: Samples) -> tuple[str, float]:
        """Return the language that is spoken and its probability."""
        if not self._model.model.is_multilingual:
            return "en", 1.0
        language, probability, _ = self._model.detect_language(samples)
        return language, float(probability)

    def hear(self, samples: Samples, language: str, prompt: str) -> list[Segment]:
        """Return what is said."""
        said, _ = self._model.transcribe(
            samples,
            language=language,
            initial_prompt=prompt or None,
            temperature=0.0,
            beam_size=5,
            condition_on_previous_text=False,
            no_speech_threshold=None,
        )
        return [
            Segment(s.start, s.end, s.text.strip(), s.avg_logprob, s.no_speech_prob, s.compression_ratio) for s in said
        ]


def _openai_weights(model: str, known: dict[str, str]) -> Path:
    """Return the checkpoint that a name or path means, checked against its hash where that is known."""
    from pipeline.models import LocalFile, Model, verify

    if model not in known:
        return _named_path(model, known, Path.is_file, "a checkpoint, NAME.pt")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    address = known[model]
    path = cache / "whisper" / address.rsplit("/", 1)[1]
    if not path.is_file():
        raise MissingWeights(
            f"the weights of Whisper {model} are not here ({path})",
            fix=f"fetch them once, with a network: python -c \"import whisper; whisper.load_model('{model}')\"; "
            f"or put {address} there, or set speech.model to a checkpoint's path",
        )
    verify(path, Model(f"whisper-{model}", "", "MIT", None, address.split("/")[-2], LocalFile(path)))
    return path


def _faster_weights(model: str) -> Path:
    """Return the folder that a name or path means, seen to be whole: what is missing would be looked for on the net."""
    from faster_whisper import available_models, download_model

    known = available_models()
    if model in known:
        path = None
        with suppress(Exception):  # the hub's own, of a type that its versions do not agree on
            path = Path(download_model(model, local_files_only=True))
        if path is None:
            raise MissingWeights(
                f"the weights of faster-whisper {model} are not here",
                fix="fetch them once, with a network: "
                f"python -c \"from faster_whisper import download_model; download_model('{model}')\"; "
                "or set speech.model to a folder that holds them",
            )
    else:
        path = _named_path(model, known, Path.is_dir, "a folder with model.bin")
    for name in ("model.bin", "config.json", "tokenizer.json"):
        if not (path / name).is_file():
            raise MissingWeights(f"{path} has no {name}", fix="fetch the whole folder")
    return path


def _named_path(model: str, known: Collection[str], is_one: Callable[[Path], bool], what: str) -> Path:
    path = Path(model).expanduser()
    if is_one(path):
        return path
    if path.suffix or len(path.parts) > 1:
        raise MissingWeights(f"there is no Whisper model at {path}", fix=f"name {what}, or one of {', '.join(known)}")
    fix = did_you_mean(model, known, f"the models are {', '.join(known)}; or name {what}")
    raise ConfigError(f"there is no Whisper model {model!r}", fix=fix)


def _line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0][:200]
