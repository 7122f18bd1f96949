"""Sound → samples: recordings in any format that FFmpeg reads, and the microphone.

`blocks` decodes a recording piece by piece, so that one of hours takes no more memory than one of seconds; `record` listens until the
speaker is done. Both give 16 kHz mono, float32 in -1 … 1, which is what `pipeline.speech` takes. PyAV (the package `av`) carries
FFmpeg's libraries; no program is started.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import IO, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import MissingExtra, TinyAgentError

Samples: TypeAlias = NDArray[np.float32]

RATE = 16_000  # samples a second
BLOCK_S = 60.0  # seconds that are decoded at a time
LOST_S = 0.5  # seconds of a recording that may be missing, of padding or rounding, before it counts as damaged
LOST_SHARE = 0.02  # or this share of it
STRAY_PACKETS = 1  # that may be unreadable: many a file begins or ends in the middle of one
RAW = frozenset({"mp3", "aac", "ac3", "amr"})  # formats that do not say how long they are; FFmpeg guesses

QUIET_S = 1.2  # seconds without speech that end a request
PATIENCE_S = 10.0  # seconds in which nobody begins to speak, after which listening ends
LONGEST_S = 60.0  # seconds of a spoken request


class AudioError(TinyAgentError):
    """A recording or a microphone cannot be read."""

    exit_code = 2


@dataclass(frozen=True, slots=True)
class Block:
    """A piece of a recording."""

    samples: Samples
    total: float | None  # seconds of the whole recording, as far as it says


def blocks(audio: Path | bytes, seconds: float = BLOCK_S) -> Iterator[Block]:
    """Decode a recording, the sound of a video too.

    Args:
        audio: The file, or what is in it.
        seconds: Length of a block; the last one may be shorter.

    Raises:
        MissingExtra: The extra `voice` is not installed.
        AudioError: The file cannot be read, holds no sound, or is damaged. A gap may have lost the word that matters, so that this is
            raised at the end also of what could be decoded.
    """
    try:
        import av
    except ImportError as error:
        raise MissingExtra("av", "voice") from error
    name = str(audio) if isinstance(audio, Path) else "the recording"
    try:
        # Not by its name, which FFmpeg might take for an address, and without what it may open of itself: playlists
        # and lists of files would read others on this machine.
        with (
            _opened(audio) as file,
            av.open(file, metadata_errors="ignore", options={"protocol_whitelist": "pipe"}) as container,
        ):
            if not container.streams.audio:
                raise AudioError(f"{name} holds no sound", fix="give a recording")
            yield from _decoded(name, container, seconds)
    except av.error.FFmpegError as error:
        raise AudioError(
            f"{name} cannot be read as sound: {error.strerror or error}",
            fix="check that it plays; any format that FFmpeg knows will do",
        ) from error
    except OSError as error:
        raise AudioError(f"{name} cannot be read: {error.strerror}", fix="check the path") from error


def _opened(audio: Path | bytes) -> IO[bytes]:
    return BytesIO(audio) if isinstance(audio, bytes) else audio.open("rb")


def _decoded(name: str, container: Any, seconds: float) -> Iterator[Block]:
    import av

    stream = container.streams.audio[0]
    total = _length(container, stream)
    resampler = av.audio.resampler.AudioResampler(format="s16", layout="mono", rate=RATE)
    size, waiting, held, decoded, unreadable = int(seconds * RATE), list[Any](), 0, 0, 0

    def resampled(frame: Any) -> int:
        arrays = [out.to_ndarray()[0] for out in resampler.resample(frame)]
        waiting.extend(arrays)
        return sum(len(array) for array in arrays)

    for packet in container.demux(stream):
        try:
            frames = packet.decode()
        except av.error.InvalidDataError:
            unreadable += 1
            continue
        for frame in frames:
            try:
                new = resampled(frame)
            except ValueError as error:  # its rate or its channels are others from here on
                raise AudioError(
                    f"{name} changes its kind of sound midway", fix="record it again, or give its parts"
                ) from error
            held, decoded = held + new, decoded + new
        while held >= size:
            samples = np.concatenate(waiting)
            yield Block(_as_float(samples[:size]), total)
            waiting, held = [samples[size:]], held - size
    decoded += resampled(None)
    if waiting and (samples := np.concatenate(waiting)).size:
        yield Block(_as_float(samples), total)
    got = decoded / RATE
    lost = total is not None and container.format.name not in RAW and total - got > max(LOST_S, LOST_SHARE * total)
    if lost or unreadable > STRAY_PACKETS or not decoded:
        whole = f" of {total:.1f} s" if total is not None else ""
        raise AudioError(f"{name} is damaged: {got:.1f} s{whole} can be read", fix="record it again")


def _length(container: Any, stream: Any) -> float | None:
    """Return the seconds that a recording says that it lasts; None where it does not, or says it of its picture."""
    if stream.duration is not None and stream.time_base is not None:
        return float(stream.duration * stream.time_base)
    if container.duration is None or container.streams.video:
        return None
    return float(container.duration / 1_000_000)


def _as_float(samples: NDArray[np.int16]) -> Samples:
    return samples.astype(np.float32) / np.float32(32768)


# ── the microphone ───────────────────────────────────────────────────────────────────────────────────


def microphone(stop: threading.Event) -> Iterator[Samples]:
    """Yield what the default microphone hears, a quarter of a second at a time, until `stop` is set.

    Raises:
        MissingExtra: The package `sounddevice` is not installed.
        AudioError: There is no microphone, or it cannot be used.
    """
    try:
        import sounddevice
    except ImportError as error:
        raise MissingExtra("sounddevice", "voice") from error
    except OSError as error:  # the package is there and the library is not
        raise AudioError(
            f"the microphone cannot be used: {error}", fix="install PortAudio (Debian: apt install libportaudio2)"
        ) from error
    heard: queue.SimpleQueue[Samples] = queue.SimpleQueue()
    try:
        with sounddevice.InputStream(
            samplerate=RATE,
            channels=1,
            dtype="float32",
            blocksize=RATE // 4,
            callback=lambda data, *_: heard.put(data[:, 0].copy()),
        ):
            while not stop.is_set():
                try:
                    yield heard.get(timeout=1)
                except queue.Empty:
                    raise AudioError("the microphone gives no sound", fix="check that it is allowed and on") from None
    except sounddevice.PortAudioError as error:
        raise AudioError(f"the microphone cannot be used: {error}", fix="connect one, or give a recording") from error


def record(pieces: Iterable[Samples], speech: Callable[[Samples], list[tuple[float, float]]]) -> Samples:
    """Listen until a request is spoken and the speaker is quiet, nobody begins to speak, or the sound ends.

    Args:
        pieces: What is heard, as it comes.
        speech: Where in a sound there is speech, from second to second.
    """
    heard = np.zeros(0, np.float32)
    for piece in pieces:
        heard = np.concatenate([heard, piece])
        length = len(heard) / RATE
        spoken = speech(heard)
        if length >= LONGEST_S or length - (spoken[-1][1] if spoken else 0.0) >= (QUIET_S if spoken else PATIENCE_S):
            break
    return heard
