"""A report's figures as plots, PNG and SVG. Needs matplotlib (extra `bench`)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.savings import WAYS


def draw(sections: Mapping[str, Any], out: Path) -> list[Path]:
    """Draw what the sections have figures for; return the PNG files."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    made = []

    def save(figure: Any, name: str) -> None:
        figure.tight_layout()
        for kind in ("png", "svg"):
            figure.savefig(out / f"{name}.{kind}", dpi=150, metadata={"Date": None} if kind == "svg" else None)
        pyplot.close(figure)
        made.append(out / f"{name}.png")

    if found := sections.get("savings"):
        figure, (left, right) = pyplot.subplots(1, 2, figsize=(10, 3.2), sharey=True)
        ways = found["ways"]["cold"]
        left.barh(WAYS[::-1], [ways[way]["prompt"].mean for way in WAYS[::-1]], color="#4c78a8")
        left.set_xlabel("tokens of the prompt")
        right.barh(WAYS[::-1], [1000 * ways[way]["plan"].median for way in WAYS[::-1]], color="#f58518")
        right.set_xlabel("a plan, cold, ms (median)")
        save(figure, "savings")
    if found := sections.get("kept"):
        figure, plot = pyplot.subplots(figsize=(6.4, 3.6))
        for way in dict.fromkeys(row["way"] for row in found if row["kept"]):
            rows = [row for row in found if row["way"] == way]
            plot.plot([row["tokens"] for row in rows], [100 * row["found"] for row in rows], "o-", ms=4, label=way)
        for row in found:
            if not row["kept"]:
                plot.plot(row["tokens"], 100 * row["found"], "*", ms=13, label=row["way"])
        plot.set(xlabel="tokens of the prompt (mean)", ylabel="all needed tools selected, %")
        plot.legend()
        save(figure, "kept")
    if found := sections.get("growth"):
        figure, (left, right) = pyplot.subplots(1, 2, figsize=(10, 3.6))
        sizes = list(found)
        left.plot(
            sizes, [found[size]["every_tool_tokens"] for size in sizes], "o-", color="#4c78a8", label="every tool"
        )
        left.plot(sizes, [found[size]["tokens"].mean for size in sizes], "o-", color="#f58518", label="selected")
        left.set(xscale="log", yscale="log", xlabel="tools in the catalogue", ylabel="tokens of the prompt")
        fitting = [size for size in sizes if found[size]["every_tool_plan_ms"]]
        every = [found[size]["every_tool_plan_ms"].median for size in fitting]
        right.plot(fitting, every, "o-", color="#4c78a8", label="every tool, while they fit")
        right.plot(sizes, [found[size]["plan_ms"].median for size in sizes], "o-", color="#f58518", label="selected")
        right.set(xscale="log", xlabel="tools in the catalogue", ylabel="request to plan, ms (median)")
        left.legend()
        right.legend()
        save(figure, "growth")
    return made
