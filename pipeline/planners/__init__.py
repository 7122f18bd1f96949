"""The planners: what writes a plan, behind one interface (`base`), and the choice among them by the settings."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import ConfigError, did_you_mean
from pipeline.planners.base import Planner, PlannerError, PlanRequest

if TYPE_CHECKING:
    from pipeline.config import Config
    from pipeline.models import Model

__all__ = ["PlanRequest", "Planner", "PlannerError", "find_model", "make_planner", "model_file"]


def make_planner(config: Config) -> Planner:
    """Return the planner that the settings name. Models are loaded at its first use.

    Raises:
        ConfigError: A name or an address is wrong.
        ModelError: The model is not here, or is not what it should be.
    """
    if config.planner.kind == "openai":
        from pipeline.planners.openai import OpenAIPlanner

        return OpenAIPlanner(config.planner.base_url, config.planner.model, timeout=config.planner.timeout)
    return _llama(config)


def _llama(config: Config) -> Planner:
    from pipeline import models
    from pipeline.planners.llama import LlamaPlanner
    from pipeline.planners.merge import adapter_tools, merged

    settings = config.planner
    model = find_model(config, settings.model)
    path = model_file(model)
    if settings.adapter == "auto":
        adapter = models.adapter_path() if model.name == models.DEFAULT else None
    else:
        adapter = Path(settings.adapter).expanduser() if settings.adapter else None
    return LlamaPlanner(
        merged(path, adapter, models.models_dir() / "merged", settings.weights) if adapter else path,
        layout=settings.layout if settings.layout != "auto" else "compact" if adapter else "chat",
        known=adapter_tools(adapter) if adapter else (),
        threads=settings.threads or None,
        gpu_layers=settings.gpu_layers,
    )


def model_file(model: Model) -> Path:
    """Return the file of a model, checked.

    Raises:
        ModelError: It is not here, or is not what it should be.
    """
    from pipeline import models

    path = models.locate(model)
    if path is None:
        raise models.ModelError(f"{model.name} is not here", fix=f"'tinyagent models pull {model.name}' fetches it")
    models.verify(path, model)
    return path


def find_model(config: Config, name: str) -> Model:
    """Return a model by its name: one of the registry, or a GGUF file.

    Raises:
        ConfigError: There is none of that name.
    """
    from pipeline.models import LocalFile, Model, registry

    known = registry(config.models)
    if name in known:
        return known[name]
    path = Path(name).expanduser()
    if path.suffix == ".gguf" or path.is_file():
        return Model(path.name, "the user's own file", "not stated", None, None, LocalFile(path))
    fix = did_you_mean(name, known, f"the models are {', '.join(known)}; or name a GGUF file")
    raise ConfigError(f"there is no model {name!r}", fix=fix)
