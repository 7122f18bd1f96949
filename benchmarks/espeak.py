"""Spoken test requests: text → samples, by eSpeak NG, whose library and voices the package `espeakng-loader` carries."""

from __future__ import annotations

import ctypes
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

SYNCHRONOUS = 2  # espeak_AUDIO_OUTPUT: the text is spoken when the call returns
RATE, WORD_GAP = 1, 7  # espeak_PARAMETER: words a minute, pause between words in 10 ms


@cache
def _library() -> tuple[Any, int, list[NDArray[np.int16]], Any]:
    import espeakng_loader

    library = ctypes.CDLL(espeakng_loader.get_library_path())
    rate = library.espeak_Initialize(SYNCHRONOUS, 0, espeakng_loader.get_data_path().encode(), 0)
    spoken: list[NDArray[np.int16]] = []

    @ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)
    def keep(samples: Any, count: int, events: Any) -> int:
        if samples and count > 0:
            spoken.append(np.ctypeslib.as_array(samples, (count,)).copy())
        return 0

    library.espeak_SetSynthCallback(keep)
    return library, rate, spoken, keep  # the callback must outlive the library's use of it


def say(text: str, voice: str = "en-us", *, words_per_minute: int = 140, gap: int = 4) -> tuple[NDArray[np.int16], int]:
    """Return a text as speech: samples, and how many of them a second.

    Args:
        text: What is said.
        voice: A name of eSpeak NG's, such as "en-us" or "en-us+f3".
        words_per_minute: How fast.
        gap: Pause between words, in 10 ms.
    """
    library, rate, spoken, _ = _library()
    if library.espeak_SetVoiceByName(voice.encode()) != 0:
        raise ValueError(f"eSpeak NG has no voice {voice!r}")
    library.espeak_SetParameter(RATE, words_per_minute, 0)
    library.espeak_SetParameter(WORD_GAP, gap, 0)
    spoken.clear()
    data = text.encode()
    library.espeak_Synth(data, len(data) + 1, 0, 1, 0, 1, None, None)  # characters from 0 on, in UTF-8
    return np.concatenate(spoken), rate


def encoded(samples: NDArray[np.int16], rate: int, form: str = "wav", codec: str = "pcm_s16le") -> bytes:
    """Return samples as a recording, in any container and codec of FFmpeg's."""
    from io import BytesIO

    import av

    out = BytesIO()
    with av.open(out, "w", format=form) as container:
        stream = container.add_stream(codec, rate=48_000 if codec == "libopus" else rate)
        stream.layout = "mono"
        frame = av.AudioFrame.from_ndarray(samples.reshape(1, -1), format="s16", layout="mono")
        frame.sample_rate = rate
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)
    return out.getvalue()


def record(path: Path, text: str, voice: str = "en-us") -> Path:
    """Write a spoken text to a WAV file."""
    path.write_bytes(encoded(*say(text, voice)))
    return path
