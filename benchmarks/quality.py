"""How good plans are, by how tools are selected, with and without the adapter, and by the weights' type.

    python -m benchmarks.quality dev.jsonl [--out quality.md]

The tables of the TinyAgent paper (arXiv 2409.00608, tables 1 and 2), on the same rows in one run: success is that the plan's graph is
right, `arguments` that every argument is right too. Tokens and times are medians over the rows that got a plan; `no plan` is how many did
not. Needs the extra `train`, for the scoring.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import click

from index import Embedder, ToolIndex
from pipeline import Config, Pipeline
from pipeline.config import PlannerConfig, SelectionConfig, builtin_tools, cache_path
from pipeline.selection import SelectionOptions, Selector
from training.evaluation import Case, Evaluation, evaluate, read_cases


@dataclass(frozen=True)
class Variant:
    """A way to plan."""

    name: str
    planner: PlannerConfig = field(default_factory=PlannerConfig)
    selector: Selector | None = None  # None is the pipeline's own
    every_tool: bool = False


@click.command()
@click.argument("files", type=click.Path(path_type=Path, dir_okay=False, exists=True), nargs=-1, required=True)
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Also write the table to this file.")
def main(files: tuple[Path, ...], out: Path | None) -> None:
    """Plan the rows of FILES in each way and print a table."""
    cases = [case for file in files for case in read_cases(file)]
    tools = builtin_tools()
    index = ToolIndex.load_or_build(tools, Embedder(), cache_path() / "index")
    variants = [
        Variant("ours"),
        Variant("all tools", every_tool=True),
        Variant("cosine, top 3", selector=Selector(tools, index, SelectionOptions(most=3, least=3, floor=-1.0))),
        Variant("un-tuned: the base model and a chat prompt", PlannerConfig(adapter="")),
        Variant("weights in F16", PlannerConfig(weights="F16")),
        Variant("weights in Q4_0", PlannerConfig(weights="Q4_0")),
    ]
    lines = [
        "| way | well-formed | tools | recall | success | arguments | no plan | prompt tokens | plan, ms |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    click.echo("\n".join(lines))
    for variant in variants:
        lines.append(_row(variant, cases))
        click.echo(lines[-1])
    if out:
        out.write_text("\n".join(lines) + "\n", "utf-8")


def _row(variant: Variant, cases: list[Case]) -> str:
    selection = SelectionConfig(route="all" if variant.every_tool else "auto")
    pipeline = Pipeline(Config(planner=variant.planner, selection=selection), selector=variant.selector)
    evaluation = Evaluation(evaluate(cases, lambda: pipeline))
    pipeline.close()
    figures, lines = evaluation.figures, [outcome.line for outcome in evaluation.outcomes]
    planned = [line for line in lines if "prompt_tokens" in line]
    tokens, spent = (
        f"{median(line[name] for line in planned):.0f}" if planned else "–" for name in ("prompt_tokens", "plan_ms")
    )
    return (
        f"| {variant.name} | {figures.well_formed:.1%} | {figures.tools:.1f} | {figures.recall:.1%} "
        f"| {figures.success:.1%} | {figures.arguments:.1%} | {len(lines) - len(planned)} "
        f"| {tokens} | {spent} |"
    )


if __name__ == "__main__":
    main()
