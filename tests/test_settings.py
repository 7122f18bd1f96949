"""docs/settings.md says all settings, with the defaults that they have."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from pipeline.config import Config

BLOCKS = re.findall(
    r"```toml\n(.*?)```", (Path(__file__).parent.parent / "docs" / "settings.md").read_text("utf-8"), re.DOTALL
)
OPEN = {"approvals", "models", "apps"}  # as many as somebody likes
MACHINE = {"data_dir"}  # by the system
LEFT_OUT = {"enabled_apps"}  # has its default by being left out, and is told in a comment


def test_every_setting_is_told_with_its_default() -> None:
    told = tomllib.loads(BLOCKS[0])
    assert told.keys() == Config.model_fields.keys() - OPEN - LEFT_OUT
    assert all(f"# {name} = " in BLOCKS[0] for name in LEFT_OUT)
    config = Config()
    for name, value in told.items():
        default = getattr(config, name)
        if isinstance(default, BaseModel):
            assert value.keys() == type(default).model_fields.keys(), name
            assert value == _plain(default), name
        elif name not in MACHINE:
            assert value == _plain(default), name


@pytest.mark.parametrize("block", BLOCKS)
def test_what_is_shown_is_valid(block: str) -> None:
    Config.model_validate(tomllib.loads(block))


def _plain(value: Any) -> Any:
    """Return a value as TOML has it."""
    if isinstance(value, BaseModel):
        return {name: _plain(getattr(value, name)) for name in type(value).model_fields}
    return [*value] if isinstance(value, tuple) else value
