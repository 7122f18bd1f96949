"""Recordings over HTTP: what is heard in them by real Whisper weights, and what is no recording."""

from __future__ import annotations

import asyncio
import json
import threading
from io import BytesIO
from pathlib import Path
from typing import Any
from wave import open as open_wave

import pytest
from serving import Client, Exchange, served

from pipeline.config import SpeechConfig
from pipeline.service import recordings
from pipeline.speech import Transcriber, Transcript

pytest.importorskip("faster_whisper", reason="the extra 'dev' brings faster-whisper")


@pytest.fixture(scope="module")
def speech(weights: Path) -> SpeechConfig:
    return SpeechConfig(engine="faster-whisper", model=str(weights), device="cpu", threads=1)


def silence(seconds: float) -> bytes:
    made = BytesIO()
    with open_wave(made, "wb") as wave:
        wave.setnchannels(1)
        wave.setsampwidth(2)
        wave.setframerate(16_000)
        wave.writeframes(bytes(int(seconds * 32_000)))
    return made.getvalue()


async def post(client: Client, body: bytes, kind: str = "audio/wav", query: str = "") -> tuple[int, dict[str, Any]]:
    exchange = await client.ask("POST", recordings.PATH + query, body, content_type=kind)
    return exchange.status, json.loads(await exchange.body())


def test_what_is_said_is_told_and_silence_is_nothing(speech: SpeechConfig, tmp_path: Path) -> None:
    espeak = pytest.importorskip("benchmarks.espeak")
    pytest.importorskip("espeakng_loader", reason="the extra 'dev' brings espeakng-loader")
    spoken = espeak.encoded(*espeak.say("Remind me tomorrow at nine to call the landlord"))

    async def work(client: Client) -> None:
        status, heard = await post(client, spoken, "audio/webm; codecs=opus")
        assert status == 200
        assert "call the landlord" in heard["text"].casefold()
        assert heard["why_nothing"] == ""
        status, heard = await post(client, silence(2))
        assert (status, heard["text"], heard["why_nothing"]) == (200, "", "there is no speech")
        status, problem = await post(client, spoken, query="?language=pt")
        assert (status, "does not know the language" in problem["error"]["message"]) == (422, True)

    served(tmp_path, work, speech=speech)


def test_what_is_no_recording_is_refused(speech: SpeechConfig, tmp_path: Path) -> None:
    async def work(client: Client) -> None:
        document = json.loads(await (await client.ask("GET", "/openapi.json")).body())
        assert recordings.PATH in document["paths"]
        assert (await post(client, b"no sound at all" * 50))[0] == 422
        assert (await post(client, b"{}", "application/json"))[0] == 415
        assert (await post(client, b"x=1", "application/x-www-form-urlencoded"))[0] == 415
        assert (await post(client, silence(0.5), query="?language=English"))[0] == 422
        assert (await post(client, silence(2)))[0] == 413
        assert (await client.ask("POST", recordings.PATH)).status == 422
        assert (await client.ask("POST", recordings.PATH, b"x", authorization="")).status == 401
        assert (await client.ask("POST", "/v1/select", silence(0.1), content_type="audio/wav")).status == 415

    served(tmp_path, work, speech=speech, recording_bytes=50_000)


def test_without_what_hears_it_is_not_offered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recordings, "find_spec", lambda name: None)

    async def work(client: Client) -> None:
        document = json.loads(await (await client.ask("GET", "/openapi.json")).body())
        assert recordings.PATH not in document["paths"]
        assert (await client.ask("POST", recordings.PATH, b"{}", content_type="application/json")).status == 404

    served(tmp_path, work)


def test_no_more_recordings_are_held_than_a_few(
    speech: SpeechConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = threading.Event()
    hear = Transcriber.transcribe

    def slowly(self: Transcriber, *given: Any) -> Any:
        go_on.wait(20)
        return hear(self, *given)

    monkeypatch.setattr(Transcriber, "transcribe", slowly)

    async def work(client: Client) -> None:
        waiting = [asyncio.create_task(post(client, silence(0.5))) for _ in range(recordings.WAITING)]
        await asyncio.sleep(0.2)
        exchange = await client.ask("POST", recordings.PATH, silence(0.5), content_type="audio/wav")
        assert (exchange.status, exchange.headers["retry-after"]) == (429, "5")
        go_on.set()
        assert [status for status, _ in await asyncio.gather(*waiting)] == [200] * recordings.WAITING
        assert (await post(client, silence(0.5)))[0] == 200

    served(tmp_path, work, speech=speech)


def test_a_client_that_goes_away_keeps_its_place_until_nothing_of_it_is_heard(
    speech: SpeechConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What waits is dropped at once; what has begun is heard to the end of a window, and no further."""
    go_on, heard, stopped = threading.Event(), list[str](), list[str]()

    def window(self: Transcriber, recording: bytes, language: Any, hints: Any, on_progress: Any) -> Any:
        heard.append(threading.current_thread().name)
        go_on.wait(20)
        try:
            on_progress(0.5, 0.5)
        except Exception as error:
            stopped.append(type(error).__name__)
            raise
        return Transcript("", "", 0.0, 0.5, 0.0)

    monkeypatch.setattr(Transcriber, "transcribe", window)

    def sending(client: Client) -> Exchange:
        return Exchange(client.app, "POST", recordings.PATH, silence(0.5), content_type="audio/wav")

    async def work(client: Client) -> None:
        begun = sending(client)
        while not heard:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        begun.disconnect()
        for _ in range(2):
            waiting = [sending(client) for _ in range(recordings.WAITING - 1)]
            await asyncio.sleep(0.2)
            assert (await post(client, silence(0.5)))[0] == 429
            for exchange in waiting:
                exchange.disconnect()
                await exchange.ended()
        later = asyncio.create_task(post(client, silence(0.5)))
        await asyncio.sleep(0.1)
        assert len(heard) == 1
        go_on.set()
        await begun.ended()
        assert (await later)[0] == 200
        assert stopped == ["_Left"] and len(heard) == 2
        assert all(name.startswith("transcribe") for name in heard)  # and not a thread that others need

    served(tmp_path, work, speech=speech)


def test_a_recording_that_is_too_long_is_refused(
    speech: SpeechConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recordings, "LONGEST_S", 1.0)

    async def work(client: Client) -> None:
        status, problem = await post(client, silence(2))
        assert (status, problem["error"]["type"]) == (413, "long_recording")
        assert (await post(client, silence(1)))[0] == 200

    served(tmp_path, work, speech=speech)
