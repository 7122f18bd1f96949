"""The page for authors of tools: each spec on it loads, and what its examples need nothing from outside for is run."""

from __future__ import annotations

import asyncio
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from pipeline.spec import Catalogue, CommandTool, HttpTool, McpTool, PythonTool, ToolSpec, load_catalogue
from pipeline.tools.context import InvalidArgument, ToolContext
from pipeline.tools.invoke import invoke
from tests.conftest import NOW

PAGE = (Path(__file__).parent.parent / "docs" / "tool-specs.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)


@pytest.fixture
def examples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Catalogue:
    """The page's specs, and its Python files in the folder that is the current one."""
    for number, block in enumerate(blocks("yaml")):
        (tmp_path / f"{number}.yaml").write_text(block, encoding="utf-8")
    for block in blocks("python"):
        name = block.split("\n")[0].removeprefix("# ")
        (tmp_path / name).write_text(block, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    return load_catalogue([tmp_path])


def run(spec: ToolSpec, **arguments: object) -> str:
    context = ToolContext(Path("data"), NOW, request="", writer=SimpleNamespace())
    return asyncio.run(invoke(spec, arguments, context, backend="desktop"))


def test_the_page_shows_a_spec_of_each_kind(examples: Catalogue) -> None:
    section = PAGE[PAGE.index("## One of each kind") :]
    shown = [type(spec.implementation) for spec in examples.values() if f"name: {spec.name}\n" in section]
    assert sorted(kind.__name__ for kind in shown) == ["CommandTool", "HttpTool", "McpTool", "PythonTool"]
    assert all(spec.examples and spec.summary for spec in examples.values())


def test_the_command_counts_words(examples: Catalogue, tmp_path: Path) -> None:
    assert isinstance(examples["count_words"].implementation, CommandTool)
    essay = tmp_path / "my essay.txt"
    essay.write_text("It was a dark and stormy night.\n", encoding="utf-8")
    assert run(examples["count_words"], file=str(essay)) == f"7 {essay}"


def test_the_http_call_has_its_place_in_the_url(examples: Catalogue) -> None:
    call = examples["get_weather"].implementation
    assert isinstance(call, HttpTool) and call.url == "https://wttr.in/{city}?format=3"


def test_the_python_function_counts_days(examples: Catalogue) -> None:
    assert isinstance(examples["days_until"].implementation, PythonTool)
    assert run(examples["days_until"], day="2026-06-03 00:00:00") == "21 days"
    with pytest.raises(InvalidArgument, match="2026-05-12 is past"):
        run(examples["days_until"], day="2026-05-12 00:00:00")


def test_the_mcp_server_converts_measures(examples: Catalogue) -> None:
    pytest.importorskip("mcp")
    spec = examples["convert_measure"]
    assert isinstance(spec.implementation, McpTool)
    python, *words = spec.implementation.mcp.command
    assert python == "python"  # which may be another one, without the package
    server = spec.implementation.mcp.model_copy(update={"command": (sys.executable, *words)})
    spec = spec.model_copy(update={"implementation": McpTool(mcp=server)})
    assert run(spec, amount=2.5, unit="cup") == "600 ml"
