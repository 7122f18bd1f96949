"""`POST /v1/transcribe`: a recording comes in as the body, in any format that the voice extra reads, and goes out as text.

It is offered where the extra is installed. One recording is heard at a time, some wait, and further ones are refused: each is held in
memory until it is heard. A client that goes away frees its place when nothing of its recording is held or heard any more. Nothing of a
recording is kept.
"""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from typing import Annotated

from fastapi import APIRouter, Query, Request

from pipeline.audio import AudioError
from pipeline.config import SpeechConfig
from pipeline.errors import ConfigError, TinyAgentError
from pipeline.listen import names
from pipeline.service.api import problems, while_connected
from pipeline.service.hub import Hub
from pipeline.service.turns import Busy
from pipeline.service.wire import Heard
from pipeline.speech import Transcriber, Transcript

PATH = "/v1/transcribe"
WAITING = 4  # recordings, the one that is heard among them
BUSY_S = 5  # when to come again
LONGEST_S = 15 * 60.0  # seconds of a recording

_PACKAGES = {"openai-whisper": "whisper", "faster-whisper": "faster_whisper"}


class UnreadableRecording(TinyAgentError):
    """The body is no recording that can be read, or it is to be heard in a language that the model does not know."""


class LongRecording(TinyAgentError):
    """The recording is longer than any that is heard."""


class _Left(Exception):
    """The client has gone, and nobody waits for what is said."""


def offered(config: SpeechConfig) -> bool:
    """Return whether what hears is installed."""
    return all(find_spec(package) for package in ("av", _PACKAGES[config.engine]))


def routes(hub: Hub, transcriber: Transcriber | None = None) -> APIRouter:
    """Return the route.

    Args:
        hub: Has the settings.
        transcriber: What hears; by default what the settings name, loaded at the first recording.
    """
    api = APIRouter()
    config = hub.pipeline.config
    ears = transcriber or Transcriber(config.speech)
    # Of its own, so that a long recording takes no thread from what else the service does.
    thread = ThreadPoolExecutor(1, "transcribe")
    turn = asyncio.Lock()
    under_way = 0

    async def hear(recording: bytes, language: str) -> Transcript:
        """Return what is said; where this is cancelled, the recording is heard to the end of a window and no further."""
        left = threading.Event()

        def goes_on(seconds: float, total: float | None) -> None:
            if left.is_set():
                raise _Left
            if max(seconds, total or 0.0) > LONGEST_S:
                most = f"the recording is longer than {LONGEST_S / 60:g} minutes"
                raise LongRecording(most, fix="send it in pieces, or use 'tinyagent listen'")

        async with turn:  # whoever goes away while waiting for it leaves nothing in the executor's queue
            work = thread.submit(ears.transcribe, recording, language or None, names(config), goes_on)
            heard = asyncio.wrap_future(work)
            try:
                return await asyncio.shield(heard)
            except asyncio.CancelledError:
                left.set()
                await asyncio.gather(heard, return_exceptions=True)  # a thread cannot be cancelled
                raise

    @api.post(
        PATH,
        tags=["pipeline"],
        responses=problems(413, 415, 422, 503),
        openapi_extra={
            "requestBody": {
                "required": True,
                "content": {"audio/*": {"schema": {"type": "string", "format": "binary"}}},
            }
        },
    )
    async def transcribe(
        request: Request,
        language: Annotated[str, Query(pattern="^([a-z]{2,3})?$", description="ISO 639-1; else the one heard.")] = "",
    ) -> Heard:
        """Tell what is said in a recording; the text is empty where nothing was heard, which silence and noise are."""
        nonlocal under_way
        if under_way >= WAITING:
            raise Busy("more recordings wait than the service takes on", BUSY_S)
        under_way += 1  # before the body is here: no more than so many are ever held
        try:
            recording = await request.body()
            if not recording:
                raise UnreadableRecording("the body is empty", fix="send a recording as the body")
            heard = await while_connected(request, hear(recording, language))
        except (AudioError, ConfigError) as error:
            if isinstance(error, ConfigError) and not language:
                raise  # the settings' fault, not the request's
            raise UnreadableRecording(error.message, fix=error.fix) from error
        finally:
            under_way -= 1
        return Heard(
            text=heard.text, language=heard.language, seconds=round(heard.seconds, 2), why_nothing=heard.why_nothing
        )

    return api
