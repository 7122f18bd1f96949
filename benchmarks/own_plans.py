"""How good plans are with tools that nothing was trained on, known by their YAML alone.

    python -m benchmarks.own_plans [--adapter FILE] [--out FOLDER]

Two sets of hand-written requests go through the whole pipeline: `own_tools.jsonl`, beside this file (forty tools of ten trades, alone or with
built-in ones), and those of the writers that are kept from all training (`training.tool_requests`). In the catalogue are the tools of both,
the built-in ones and the hundred and fifty invented ones of the training seeds. Needs the extra `train`.
"""

from __future__ import annotations

from pathlib import Path

import click

from benchmarks.own_tools import measured_seeds
from pipeline.config import Config, PlannerConfig, builtin_tools
from pipeline.pipeline import Pipeline
from pipeline.spec import Catalogue
from training.composition import Composition, Recipe
from training.evaluation import HEAD, Evaluation, case_of, evaluate
from training.seeds import load_seeds
from training.tool_requests import tool_seeds


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--adapter", type=click.Path(path_type=Path, dir_okay=False, exists=True), help="Another adapter.")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), help="Folder for what failed, as Markdown.")
def main(adapter: Path | None, out: Path | None) -> None:
    """Plan the requests and print how many plans are right."""
    real, trained, own = builtin_tools(), load_seeds(), measured_seeds()
    alone = [seed for seed in own if not any(name in real for name, _ in seed.calls)]
    beside = [seed for seed in own if seed not in alone]
    sets = {"own tools alone": alone, "own and built-in tools": beside, "kept writers": tool_seeds(kept=True)}
    others = {tool.name: tool for seeds in (trained, *sets.values()) for seed in seeds for tool in seed.tools}
    tools = Catalogue([*real.values(), *others.values()])
    written = Composition(trained, tools, {}, recipe=Recipe(refill=0, typos=0, small=0))
    planner = PlannerConfig(adapter=str(adapter)) if adapter else PlannerConfig()
    pipeline = Pipeline(Config(planner=planner), tools=tools)
    click.echo(HEAD)
    for name, seeds in sets.items():
        requests = [(seed.id, written.fill(seed)) for seed in seeds]
        cases = [case_of(identity, request.query, request.plan, tools) for identity, request in requests]
        evaluation = Evaluation(evaluate([case for case in cases if case], lambda: pipeline))
        click.echo(evaluation.figures.row(name))
        if out:
            out.mkdir(parents=True, exist_ok=True)
            (out / f"{name.replace(' ', '-')}.md").write_text(evaluation.markdown(name), "utf-8")
    pipeline.close()


if __name__ == "__main__":
    main()
