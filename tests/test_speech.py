"""Speech: spoken requests, by eSpeak NG, through real Whisper weights (tiny.en); silence, noise, broken files.

openai-whisper's own weights are on no package index: its engine runs on tiny.en's, converted back from CTranslate2's format.
"""

from __future__ import annotations

import importlib.util
import json
import struct
import sys
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from benchmarks import espeak
from pipeline import speech as speech_module
from pipeline.audio import RATE, AudioError, Samples, blocks, microphone, record
from pipeline.cli import cli
from pipeline.config import Config, SpeechConfig
from pipeline.errors import ConfigError, MissingExtra
from pipeline.listen import names
from pipeline.speech import (
    MANNER,
    WINDOW_S,
    FasterWhisper,
    MissingWeights,
    OpenAIWhisper,
    Segment,
    SpeechError,
    Transcriber,
    believable,
    prompt_of,
    windows,
)

pytest.importorskip("faster_whisper", reason="the extra 'dev' brings faster-whisper")
pytest.importorskip("espeakng_loader", reason="the extra 'dev' brings espeakng-loader")

CALL = "Remind me tomorrow at nine to call the landlord"
LUNCH = "Put lunch with Omar on Friday at noon into my calendar"


@pytest.fixture(scope="module")
def settings(weights: Path) -> SpeechConfig:
    return SpeechConfig(engine="faster-whisper", model=str(weights), device="cpu")


@pytest.fixture(scope="module")
def transcriber(settings: SpeechConfig) -> Transcriber:
    return Transcriber(settings)


class NoEngine:
    """An engine that nothing may reach."""

    languages = ("en",)

    def language(self, samples: Samples) -> tuple[str, float]:
        raise AssertionError

    def hear(self, samples: Samples, language: str, prompt: str) -> list[Segment]:
        raise AssertionError


def spoken(text: str) -> bytes:
    return espeak.encoded(*espeak.say(text))


def samples_of(recording: bytes) -> Samples:
    return np.concatenate([block.samples for block in blocks(recording)])


def noise(seconds: float, colour: float, level: float) -> Samples:
    """Return noise whose power falls with frequency to the power of twice `colour`: 0 is white, 0.5 pink, 1 brown."""
    generator = np.random.default_rng(7)
    spectrum = np.fft.rfft(generator.standard_normal(int(seconds * RATE)))
    spectrum /= np.maximum(np.arange(len(spectrum)), 1) ** colour
    wave = np.fft.irfft(spectrum)
    return (level * wave / np.abs(wave).max()).astype(np.float32)


# ── what is heard ────────────────────────────────────────────────────────────────────────────────────


def test_a_spoken_request_is_transcribed(transcriber: Transcriber) -> None:
    heard = transcriber.transcribe(spoken(CALL))
    assert "call the landlord" in heard.text.casefold()
    assert (heard.language, heard.language_probability) == ("en", 1.0)
    assert 0 < heard.speech_seconds <= heard.seconds < 6
    assert heard.why_nothing == ""


def test_a_language_that_the_model_does_not_know_is_an_error(transcriber: Transcriber) -> None:
    with pytest.raises(ConfigError, match=r"does not know the language 'pt' \(it knows en\)"):
        transcriber.transcribe(spoken(CALL), language="pt")


def test_a_name_of_the_address_book_is_heard_with_its_spelling(transcriber: Transcriber) -> None:
    assert "Omar" in transcriber.transcribe(spoken(LUNCH), hints=["Priya", "Omar"]).text


@pytest.mark.parametrize(
    "sound",
    [np.zeros(60 * RATE, np.float32), *(noise(60, colour, level) for colour in (0, 0.5, 1) for level in (0.02, 0.9))],
    ids=["silence", "white, faint", "white, loud", "pink, faint", "pink, loud", "brown, faint", "brown, loud"],
)
def test_a_minute_of_silence_or_noise_is_nothing_heard(sound: Samples) -> None:
    """The engine is not even asked: on noise it would write a sentence."""
    heard = Transcriber(engine=NoEngine()).transcribe(sound)
    assert (heard.text, heard.language, heard.seconds) == ("", "", 60)
    assert heard.why_nothing == "there is no speech"


def test_what_the_model_invents_on_noise_is_not_believed(settings: SpeechConfig) -> None:
    """As if the detector of speech had failed: what Whisper itself says of its words is enough."""
    engine = FasterWhisper(settings)
    written = engine.hear(noise(8, 0.5, 0.3), "en", prompt_of(["Priya", "Omar"]))
    assert written, "on noise, Whisper writes something"
    assert not [s.text for s in written if believable(s, ["Priya", "Omar"])]


@pytest.mark.parametrize(
    ("segment", "believed"),
    [
        (Segment(0, 2, "Text Priya", -0.4, 0.1, 0.8), True),
        (Segment(0, 2, "Text Priya", -0.4, 0.9, 0.8), True),
        (Segment(0, 2, "Text Priya", -0.8, 0.9, 0.8), False),
        (Segment(0, 2, "Text Priya", -1.1, 0.1, 0.8), False),
        (Segment(0, 2, "so so so so", -0.1, 0.1, 2.5), False),
        (Segment(0, 2, ". . .", -0.1, 0.1, 0.8), False),
        (Segment(0, 2, "Priya, Omar, Priya Nair.", -0.1, 0.1, 0.8), False),
        (Segment(0, 2, "Omar Haddad", -0.1, 0.1, 0.8), True),
    ],
    ids=["sure", "sure, though", "silence", "unsure", "a loop", "no words", "the hints", "a name"],
)
def test_what_is_believed(segment: Segment, believed: bool) -> None:
    assert believable(segment, ["Priya Nair", "Omar Haddad"]) is believed


class Scripted:
    """An engine that hears one thing plainly, and another when it is told what requests are like."""

    languages = ("en",)

    def __init__(self, plain: Segment, primed: Segment) -> None:
        self.plain, self.primed, self.prompts = plain, primed, list[str]()

    def language(self, samples: Samples) -> tuple[str, float]:
        return "en", 0.9

    def hear(self, samples: Samples, language: str, prompt: str) -> list[Segment]:
        self.prompts.append(prompt)
        return [self.primed if MANNER in prompt else self.plain]


@pytest.mark.parametrize(
    ("plain", "primed", "text"),
    [
        ((-0.5, "Next Priya"), (-0.3, "Text Priya"), "Text Priya"),
        ((-0.3, "Mix Priya"), (-0.5, "Text Priya"), "Mix Priya"),
        ((-0.5, "I'm on the way"), (-0.1, "Text Sam that I'm on my way."), "I'm on the way"),
        ((-1.2, "Thank you"), (-0.1, "Text Priya"), ""),
    ],
    ids=["surer as a request", "surer plainly", "an example", "nothing plainly"],
)
def test_it_is_heard_as_a_request_only_if_something_is_heard_and_surer(
    plain: tuple[float, str], primed: tuple[float, str], text: str
) -> None:
    engine = Scripted(*(Segment(0, 2, words, log, 0.1, 0.8) for log, words in (plain, primed)))
    assert Transcriber(engine=engine).transcribe(spoken(CALL), hints=["Priya"]).text == text
    assert engine.prompts == ["Priya."] + ["Priya. " + MANNER] * (plain[0] > -1)


def test_hints_are_as_many_as_the_model_has_room_for() -> None:
    assert prompt_of(["Priya", " Omar\n Haddad", "Priya", ""]) == "Priya, Omar Haddad."
    assert prompt_of([]) == ""
    assert len(prompt_of(f"Name{i}" for i in range(1000))) <= 400  # type: ignore[arg-type]


def test_the_address_book_gives_given_names_first(data_dir: Path) -> None:
    found = names(Config(data_dir=data_dir))
    assert found.index("Priya") < found.index("Priya Nair")
    assert names(Config(data_dir=data_dir, speech=SpeechConfig(hints=False))) == ()
    assert names(Config(data_dir=data_dir / "none")) == ()


# ── recordings ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("form", "codec"),
    [
        ("wav", "pcm_s16le"),
        ("mp3", "libmp3lame"),
        ("ogg", "libopus"),
        ("webm", "libopus"),
        ("flac", "flac"),
        ("ipod", "aac"),
    ],
)
def test_any_format_is_read(form: str, codec: str) -> None:
    speech, rate = espeak.say(CALL)
    decoded = samples_of(espeak.encoded(speech, rate, form, codec))
    assert abs(len(decoded) / RATE - len(speech) / rate) < 0.1
    assert decoded.dtype == np.float32 and 0.05 < np.abs(decoded).max() <= 1


def test_a_long_recording_is_read_in_pieces_and_no_word_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is spoken across the end of a block stays whole, wherever that end falls."""
    speech = samples_of(spoken(CALL))
    pause = np.zeros(int(1.5 * RATE), np.float32)
    sound = np.concatenate([speech, pause] * 6)
    whole = [window for window in windows(sound) if window.samples.size]
    recording = espeak.encoded((sound * 32767).astype(np.int16), RATE)
    for seconds in (3.0, 4.1, 7.7):
        monkeypatch.setattr(speech_module, "blocks", partial(blocks, seconds=seconds))
        pieces = [window for window in windows(recording) if window.samples.size]
        assert all(len(window.samples) <= WINDOW_S * RATE for window in pieces)
        starts = [round(outside, 0) for window in pieces for _, outside in window.starts]
        assert starts == [round(outside, 0) for window in whole for _, outside in window.starts]


def test_times_are_those_of_the_recording_and_progress_is_told(transcriber: Transcriber) -> None:
    quiet = np.zeros(20 * RATE, np.float32)
    sound = np.concatenate([quiet, samples_of(spoken(CALL)), quiet, samples_of(spoken(LUNCH))])
    told: list[tuple[float, float | None]] = []
    heard = transcriber.transcribe(sound, on_progress=lambda done, total: told.append((done, total)))
    assert 19 < heard.segments[0].start < 21
    assert heard.segments[-1].end > 42
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert told[-1][0] == pytest.approx(len(sound) / RATE) == told[-1][1]


@pytest.mark.parametrize(
    ("recording", "said"),
    [
        (b"", "the recording cannot be read as sound"),
        (b"text Priya that I'm late\n" * 50, "the recording cannot be read as sound"),
        (b"ffconcat version 1.0\nfile 'speech.wav'\n", "the recording cannot be read as sound"),
        (b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nspeech.wav\n#EXT-X-ENDLIST\n", "cannot be read as sound"),
    ],
    ids=["empty", "text", "a list of files", "a playlist"],
)
def test_what_is_no_sound_is_an_error(
    recording: bytes, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lists of other files too, which would be read from this machine."""
    espeak.record(tmp_path / "speech.wav", CALL)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(AudioError, match=said):
        samples_of(recording)


@pytest.mark.parametrize(("form", "codec"), [("webm", "libopus"), ("flac", "flac"), ("ipod", "aac")])
def test_a_recording_that_breaks_off_is_an_error(form: str, codec: str) -> None:
    whole = espeak.encoded(*espeak.say(f"{CALL}. {LUNCH}"), form, codec)
    with pytest.raises(AudioError, match=r"is damaged: |cannot be read as sound"):
        samples_of(whole[: len(whole) // 2])


def test_a_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(AudioError, match=r"none\.wav cannot be read: No such file"):
        next(blocks(tmp_path / "none.wav"))
    with pytest.raises(AudioError, match="Is a directory"):
        next(blocks(tmp_path))


# ── the microphone ───────────────────────────────────────────────────────────────────────────────────


def test_listening_ends_when_the_speaker_is_quiet(transcriber: Transcriber) -> None:
    sound = np.concatenate([noise(2, 0, 0.01), samples_of(spoken(CALL)), noise(30, 0, 0.01)])
    pieces = np.array_split(sound, len(sound) // (RATE // 4))
    heard = record(pieces, transcriber.has_speech)
    assert len(sound) / RATE - 30 < len(heard) / RATE < len(sound) / RATE - 26


def test_listening_ends_when_nobody_speaks(transcriber: Transcriber) -> None:
    pieces = np.array_split(np.zeros(60 * RATE, np.float32), 240)
    assert len(record(pieces, transcriber.has_speech)) / RATE == pytest.approx(10)


def test_without_a_microphone_the_error_says_so() -> None:
    if importlib.util.find_spec("sounddevice") is None:
        with pytest.raises(MissingExtra, match="sounddevice"):
            next(microphone(threading.Event()))
        return
    try:
        import sounddevice
    except OSError:
        said = "the microphone cannot be used: PortAudio library not found"
    else:
        if any(device["max_input_channels"] for device in sounddevice.query_devices()):
            pytest.skip("this machine has a microphone")
        said = "the microphone cannot be used"
    with pytest.raises(AudioError, match=said):
        next(microphone(threading.Event()))


# ── the engines and their weights ────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("large-v3", r"faster-whisper large-v3 are not here .*download_model\('large-v3'\)"),
        ("large-v9", "there is no Whisper model 'large-v9' .*large-v"),
        ("~/no/such/folder", "there is no Whisper model at /"),
    ],
)
def test_weights_that_are_not_here_are_an_error_that_says_how_to_get_them(
    model: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises((MissingWeights, ConfigError), match=said):
        FasterWhisper(SpeechConfig(engine="faster-whisper", model=model))


def test_a_folder_that_lacks_a_file_is_named_and_nothing_is_fetched(tmp_path: Path) -> None:
    (tmp_path / "model.bin").write_bytes(b"")
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(MissingWeights, match=r"has no tokenizer\.json"):
        FasterWhisper(SpeechConfig(engine="faster-whisper", model=str(tmp_path)))
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(SpeechError, match="cannot be loaded"):
        FasterWhisper(SpeechConfig(engine="faster-whisper", model=str(tmp_path)))


def test_an_engine_that_is_not_installed_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "whisper", None)
    with pytest.raises(MissingExtra, match=r"pip install 'tinyagent-edge\[voice\]'"):
        OpenAIWhisper(SpeechConfig())


def test_openai_whisper_names_its_weights_and_where_they_belong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("whisper")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(MissingWeights, match=r"large-v3\.pt.*whisper\.load_model\('large-v3'\)"):
        OpenAIWhisper(SpeechConfig(model="large-v3"))
    broken = tmp_path / "mine.pt"
    broken.write_bytes(b"no checkpoint")
    with pytest.raises(SpeechError, match=r"mine\.pt is no Whisper checkpoint"):
        OpenAIWhisper(SpeechConfig(model=str(broken)))


def test_openai_whisper_hears_what_was_said(weights: Path, tmp_path: Path) -> None:
    """The default engine, on real weights."""
    pytest.importorskip("whisper")
    pytest.importorskip("torch")
    checkpoint = as_checkpoint(weights, tmp_path / "tiny.en.pt")
    heard = Transcriber(SpeechConfig(model=str(checkpoint))).transcribe(spoken(CALL), hints=["Omar"])
    assert "call the landlord" in heard.text.casefold()
    assert heard.language == "en"
    assert all(-1 < s.log_probability < 0 and 0 <= s.no_speech < 0.6 for s in heard.segments)


def as_checkpoint(folder: Path, path: Path) -> Path:
    """Write CTranslate2's tiny.en as a checkpoint of openai-whisper's: the same weights under other names.

    CTranslate2 puts query, key and value of a layer into one matrix, and key and value of the attention to the sound into another.
    """
    import torch

    found = {name: torch.from_numpy(array.astype(np.float32)) for name, array in _variables(folder / "model.bin")}
    width, layers, vocabulary = 384, 4, 51864
    state: dict[str, torch.Tensor] = {}

    def put(theirs: str, ours: str, part: slice = slice(None)) -> None:
        for kind in ("weight", "bias"):
            if f"{theirs}/{kind}" in found:
                state[f"{ours}.{kind}"] = found[f"{theirs}/{kind}"][part].clone()

    def norm(theirs: str, ours: str) -> None:
        state[f"{ours}.weight"], state[f"{ours}.bias"] = found[f"{theirs}/gamma"], found[f"{theirs}/beta"]

    def thirds(*names: str) -> Iterator[tuple[str, slice]]:
        for number, name in enumerate(names):
            yield name, slice(number * width, (number + 1) * width)

    for side in ("encoder", "decoder"):
        for number in range(layers):
            theirs, ours = f"{side}/layer_{number}", f"{side}.blocks.{number}"
            norm(f"{theirs}/self_attention/layer_norm", f"{ours}.attn_ln")
            for name, part in thirds("query", "key", "value"):
                put(f"{theirs}/self_attention/linear_0", f"{ours}.attn.{name}", part)
            put(f"{theirs}/self_attention/linear_1", f"{ours}.attn.out")
            if side == "decoder":
                norm(f"{theirs}/attention/layer_norm", f"{ours}.cross_attn_ln")
                put(f"{theirs}/attention/linear_0", f"{ours}.cross_attn.query")
                for name, part in thirds("key", "value"):
                    put(f"{theirs}/attention/linear_1", f"{ours}.cross_attn.{name}", part)
                put(f"{theirs}/attention/linear_2", f"{ours}.cross_attn.out")
            norm(f"{theirs}/ffn/layer_norm", f"{ours}.mlp_ln")
            put(f"{theirs}/ffn/linear_0", f"{ours}.mlp.0")
            put(f"{theirs}/ffn/linear_1", f"{ours}.mlp.2")
    for key in [key for key in state if key.endswith("attn.key.bias")]:
        del state[key]  # zeros: in Whisper, keys have none
    put("encoder/conv1", "encoder.conv1")
    put("encoder/conv2", "encoder.conv2")
    norm("encoder/layer_norm", "encoder.ln_post")
    norm("decoder/layer_norm", "decoder.ln")
    state["encoder.positional_embedding"] = found["encoder/position_encodings/encodings"]
    state["decoder.positional_embedding"] = found["decoder/position_encodings/encodings"]
    state["decoder.token_embedding.weight"] = found["decoder/embeddings/weight"]
    sizes = {"n_mels": 80, "n_audio_ctx": 1500, "n_audio_state": width, "n_audio_head": 6, "n_audio_layer": layers}
    sizes |= {"n_vocab": vocabulary, "n_text_ctx": 448, "n_text_state": width, "n_text_head": 6, "n_text_layer": layers}
    torch.save({"dims": sizes, "model_state_dict": state}, path)
    return path


def _variables(path: Path) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the variables of a model of CTranslate2 (its `ModelSpec.save`, binary version 6), by name."""
    kinds = (np.float32, np.int8, np.int16, np.int32, np.float16)
    with path.open("rb") as file:

        def number(form: str) -> int:
            [value] = struct.unpack(form, file.read(struct.calcsize(form)))
            return int(value)

        def text() -> str:
            return file.read(number("<H")).rstrip(b"\0").decode()

        assert number("<I") == 6
        text(), number("<I")  # the model's name and revision
        for _ in range(number("<I")):
            name = text()
            shape = [number("<I") for _ in range(number("<B"))]
            kind = kinds[number("<B")]
            data = file.read(number("<I"))
            yield name, np.frombuffer(data, kind).reshape(shape)


# ── the command ──────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def settings_file(weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "config.toml"
    path.write_text(f'[speech]\nengine = "faster-whisper"\nmodel = "{weights}"\ndevice = "cpu"\n')
    monkeypatch.setenv("TINYAGENT_CONFIG", str(path))
    return path


def test_listen_prints_the_words(settings_file: Path, data_dir: Path, tmp_path: Path) -> None:
    file = espeak.record(tmp_path / "call.wav", CALL)
    result = CliRunner().invoke(cli, ["listen", str(file), "--text", "--data-dir", str(data_dir)])
    assert result.exit_code == 0 and "call the landlord" in result.stdout.casefold()


def test_listen_says_when_nothing_is_heard_and_does_nothing(
    settings_file: Path, data_dir: Path, tmp_path: Path
) -> None:
    silence = tmp_path / "silence.wav"
    silence.write_bytes(espeak.encoded(np.zeros(3 * RATE, np.int16), RATE))
    before = sorted(data_dir.rglob("*"))
    result = CliRunner().invoke(
        cli, ["listen", str(silence), "--yes", "--json", "--data-dir", str(data_dir)], standalone_mode=False
    )
    assert "nothing heard: there is no speech in 3.0 s" in str(result.exception)
    assert json.loads(result.stdout)["text"] == ""
    assert sorted(data_dir.rglob("*")) == before


def test_listen_wants_one_source() -> None:
    for arguments in ([], ["a.wav", "--mic"]):
        result = CliRunner().invoke(cli, ["listen", *arguments])
        assert result.exit_code == 2 and "Give a FILE, or --mic." in result.output


@pytest.mark.model
def test_a_spoken_request_is_done(config: Config, settings: SpeechConfig, settings_file: Path, tmp_path: Path) -> None:
    """From sound to a reminder on disk."""
    file = espeak.record(tmp_path / "call.wav", CALL)
    arguments = [
        "listen",
        str(file),
        "--yes",
        "--json",
        "--now",
        "2026-05-13 09:30",
        "--data-dir",
        str(config.data_dir),
    ]
    result = CliRunner().invoke(cli, arguments, standalone_mode=False)
    assert result.exception is None, result.exception
    done = json.loads(result.stdout)
    assert done["heard"]["language"] == "en"
    assert [step["tool"] for step in done["steps"]] == ["create_reminder"]
    assert done["steps"][0]["status"] == "done"
