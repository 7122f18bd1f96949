"""Settings: what the user decides, from a TOML file, the environment and the command line.

`Config.load` reads `config.toml` from the user's configuration folder (or the file that `TINYAGENT_CONFIG` names) and checks
it; a wrong setting is a `ConfigError` that names the file, the setting and the mend. The command line overrides
by `model_copy`. This module opens no model and no data.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from platformdirs import user_cache_path, user_config_path, user_data_path
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from pipeline.effects import Rule
from pipeline.errors import ConfigError, did_you_mean
from pipeline.spec import Catalogue, load_catalogue

APP = "tinyagent"
BUILTIN_TOOLS = Path(__file__).resolve().parent.parent / "tool_specs"

UserPath = Annotated[Path, AfterValidator(Path.expanduser)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PlannerConfig(_Section):
    """Which model plans."""

    kind: Literal["llama", "openai"] = "llama"
    model: str = "smollm2-135m"  # a name of `tinyagent models list`, a GGUF file; the model's name for kind openai
    adapter: str = "auto"  # a LoRA adapter in GGUF; "auto" is the shipped one for the default model; "" is none
    layout: Literal["auto", "compact", "chat", "tinyagent"] = "auto"  # of the prompt; by the adapter if auto
    weights: Literal["F16", "Q8_0", "Q4_0"] = "Q8_0"  # of the base and its adapter together, made at first use
    threads: Annotated[int, Field(ge=0)] = 0  # 0 takes the number of cores
    gpu_layers: int = -1  # layers to offload where there is a GPU; -1 is all
    base_url: str = "http://localhost:8080/v1"  # of kind openai; the key is in TINYAGENT_API_KEY
    timeout: Annotated[float, Field(gt=0)] = 60.0  # seconds, of kind openai


class WriterConfig(_Section):
    """Which model words mails and summaries. What is not said is as for the planner, but for the adapter, which is off."""

    kind: Literal["auto", "llama", "openai", "plain"] = (
        "auto"  # "auto" is the planner's; "plain" writes without a model
    )
    model: str = ""  # a name of `tinyagent models list`, a GGUF file; the model's name for kind openai
    threads: Annotated[int, Field(ge=0)] = 0  # 0 takes half of the cores: the planner may be at work beside it
    base_url: str = ""  # of kind openai; the key is in TINYAGENT_API_KEY
    timeout: Annotated[float, Field(gt=0)] = 60.0  # seconds, of kind openai


class SelectionConfig(_Section):
    """How tools are selected."""

    route: Literal["auto", "index", "all"] = "auto"  # "index" does without the classifier, "all" offers every tool
    miss_rate: Annotated[float, Field(gt=0, lt=1)] = 0.02  # share of requests that may lack a needed tool


class SpeechConfig(_Section):
    """What hears."""

    engine: Literal["openai-whisper", "faster-whisper"] = "openai-whisper"
    model: str = "base"  # a name up to "large-v3"; a checkpoint NAME.pt of openai-whisper, a folder of faster-whisper
    language: str = ""  # ISO 639-1; "" is the one that is heard
    hints: bool = True  # whether the names of the address book are given to the model
    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: Annotated[int, Field(ge=0)] = 0  # 0 leaves it to the engine


class LimitsConfig(_Section):
    """How much runs at a time, and for how long."""

    steps: Annotated[int, Field(gt=0)] = 16  # at a time
    steps_per_app: Annotated[int, Field(gt=0)] = 4
    plan_seconds: Annotated[float, Field(gt=0)] = 120.0  # for a plan to be written
    run_seconds: Annotated[float, Field(gt=0)] = (
        600.0  # for a plan to be run, the time that questions stand not counted
    )
    finish_seconds: Annotated[float, Field(ge=0, le=60)] = 5.0  # for a write or send under way when a run is stopped


class ServiceConfig(_Section):
    """How `tinyagent serve` serves."""

    host: str = "127.0.0.1"  # another than this machine's own needs --expose as well
    port: Annotated[int, Field(ge=0, le=65535)] = 8765  # 0 takes a free one
    hosts: tuple[str, ...] = ()  # more names by which the service may be called, as in http://NAME:8765
    waiting: Annotated[int, Field(gt=0)] = 32  # requests that wait for the model; what is beyond is refused
    runs: Annotated[int, Field(gt=0)] = 128  # at a time, those that wait for an answer included
    body_bytes: Annotated[int, Field(gt=0)] = 1_048_576  # the longest body of a request
    recording_bytes: Annotated[int, Field(gt=0)] = 26_214_400  # the longest recording
    rate: Annotated[float, Field(gt=0)] = 50.0  # requests a second from one address, on average
    burst: Annotated[int, Field(gt=0)] = 100  # at once
    answer_seconds: Annotated[float, Field(gt=0, le=300)] = 300.0  # for a question to be answered
    leave_seconds: Annotated[float, Field(ge=0)] = 5.0  # for a client that went away to come back, before its run stops
    log_content: bool = False  # whether logs may tell requests, arguments and results
    trace: bool = False  # OpenTelemetry spans, sent where OTEL_EXPORTER_OTLP_ENDPOINT says


class Config(_Section):
    """All settings."""

    data_dir: UserPath = Field(default_factory=lambda: user_data_path(APP))
    backend: Literal["desktop", "macos"] = "desktop"
    tools: tuple[UserPath, ...] = ()  # folders or files of the user's own tool specs
    enabled_apps: tuple[str, ...] | None = None  # None is all
    disabled_apps: tuple[str, ...] = ()
    instructions: tuple[str, ...] = ()  # standing ones for every plan: "always cc Nick"
    max_replans: Annotated[int, Field(ge=0, le=5)] = 1
    joiner: Literal["plain", "model"] = (
        "plain"  # "model" asks the planner's model as well, as the TinyAgent models are used to
    )
    planner: PlannerConfig = PlannerConfig()
    writer: WriterConfig = WriterConfig()
    selection: SelectionConfig = SelectionConfig()
    speech: SpeechConfig = SpeechConfig()
    limits: LimitsConfig = LimitsConfig()
    service: ServiceConfig = ServiceConfig()
    approvals: tuple[Rule, ...] = ()  # on what is asked about; the first that fits counts
    models: Mapping[str, Mapping[str, Any]] = Field(default_factory=dict)  # the user's own, by name
    apps: Mapping[str, Mapping[str, Any]] = Field(default_factory=dict)  # what tools need: [apps.zoom] token = …

    @classmethod
    def load(cls, path: Path | None = None) -> Self:
        """Read the settings; without a file, the defaults.

        Raises:
            ConfigError: The named file is missing, is not TOML, or sets something that is not a setting.
        """
        chosen = path or config_path()
        if not chosen.exists():
            if path is not None:
                raise ConfigError(f"no configuration at {path}", fix="leave the option out to use the defaults")
            return cls()
        try:
            data = tomllib.loads(chosen.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise ConfigError(f"{chosen}: {error}", fix="mend the file; it is TOML") from error
        try:
            return cls.model_validate(data)
        except ValidationError as error:
            raise _explain(chosen, error) from None

    def catalogue(self) -> Catalogue:
        """Read the built-in tools and the user's own, and leave out the apps that are switched off.

        Raises:
            SpecError: A spec is wrong.
        """
        return load_catalogue((BUILTIN_TOOLS, *self.tools), enabled=self.enabled_apps, disabled=self.disabled_apps)


def builtin_tools() -> Catalogue:
    """Read the tools that come with the project."""
    return load_catalogue([BUILTIN_TOOLS])


def config_path() -> Path:
    """Return where the settings are read from."""
    named = os.environ.get("TINYAGENT_CONFIG")
    return Path(named).expanduser() if named else user_config_path(APP) / "config.toml"


def cache_path() -> Path:
    """Return where what can be made again is kept: indexes, merged and downloaded models."""
    named = os.environ.get("TINYAGENT_CACHE")
    return Path(named).expanduser() if named else user_cache_path(APP)


def _explain(path: Path, error: ValidationError) -> ConfigError:
    first = error.errors()[0]
    name = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        sections: Mapping[str, type[BaseModel]] = {
            "planner": PlannerConfig,
            "writer": WriterConfig,
            "selection": SelectionConfig,
            "speech": SpeechConfig,
            "limits": LimitsConfig,
            "service": ServiceConfig,
            "approvals": Rule,
        }
        section = sections.get(str(first["loc"][0]), Config) if len(first["loc"]) > 1 else Config
        known = section.model_fields
        fix = did_you_mean(str(first["loc"][-1]), known, f"the settings are {', '.join(known)}")
        return ConfigError(f"{path}: {name!r} is not a setting", fix=fix)
    return ConfigError(f"{path}: {name}: {first['msg'].removeprefix('Value error, ')}")
