"""`POST /v1/transcribe`: a recording comes in as the body, in any format that the voice extra reads, and goes out as text.

It is offered where the extra is installed. One recording is heard at a time, some wait, and further ones are refused: each is held in
memory until it is heard. Nothing of a recording is kept.
"""

from __future__ import annotations

import asyncio
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
from pipeline.speech import Transcriber

PATH = "/v1/transcribe"
WAITING = 4  # recordings, the one that is heard among them
BUSY_S = 5  # when to come again

_PACKAGES = {"openai-whisper": "whisper", "faster-whisper": "faster_whisper"}


class UnreadableRecording(TinyAgentError):
    """The body is no recording that can be read, or it is to be heard in a language that the model does not know."""


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
    under_way = 0

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
        recording = await request.body()
        if not recording:
            raise UnreadableRecording("the body is empty", fix="send a recording as the body")
        under_way += 1
        try:
            hints = names(config)
            heard = await while_connected(
                request, asyncio.to_thread(ears.transcribe, recording, language or None, hints)
            )
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
