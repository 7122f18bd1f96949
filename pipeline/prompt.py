"""Selection → the planner's prompt.

Three layouts: `compact` for our adapter (a line a tool), `chat` for models that follow instructions, and `tinyagent`
for the published TinyAgent models. In each, what is the same for every request comes first, then the tools in the
catalogue's order, then the request, so that a planner can keep the prefix in its cache. Nothing here calls a model.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from pipeline.plan import escape_dollars
from pipeline.spec import Catalogue, Parameter, ToolSpec, Type


def compact(
    request: str, tools: Catalogue, *, known: Collection[str] = (), instructions: Sequence[str] = ()
) -> str:
    """Return the prompt of the fine-tuned planner.

    Args:
        request: The person's words.
        tools: The tools to offer.
        known: Tools that the adapter was trained on: their signature is enough, others get their summary too.
        instructions: The user's standing instructions, such as "always cc Nick".
    """
    lines = ["Tools:"]
    for tool in tools.values():
        lines.append(signature(tool) if tool.name in known else f"{signature(tool)}  {summary(tool)}")
    lines += [f"Note: {escape_dollars(_one_line(instruction))}" for instruction in instructions]
    lines += [f"Request: {escape_dollars(_one_line(request))}", "Plan:", ""]
    return "\n".join(lines)


def signature(tool: ToolSpec) -> str:
    """Return how a call is written: required arguments by position, then the others by name.

    `create_note(name, content, folder=)`, `maps_show_directions(end_location, start_location=, transport=d|w|r)`.
    """
    optional = (p for p in writable(tool) if not p.required)
    words = [p.name + _choices(p, ":") for p in tool.required] + [p.name + "=" + _choices(p, "") for p in optional]
    return f"{tool.name}({', '.join(words)})"


def writable(tool: ToolSpec) -> tuple[Parameter, ...]:
    """Return the parameters that a planner writes: all but those that a date decides (an `all_day` flag)."""
    decided = {p.all_day for p in tool.parameters}
    return tuple(p for p in tool.parameters if p.name not in decided)


def summary(tool: ToolSpec) -> str:
    """Return the few words that say what a tool is for."""
    return tool.summary or tool.description.rstrip(".")


def _choices(parameter: Parameter, before: str) -> str:
    return before + "|".join(parameter.choices) if parameter.type is Type.ENUM else ""


def _one_line(text: str) -> str:
    return " ".join(text.split())
