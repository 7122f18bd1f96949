"""How the index does as the catalogue grows: the built-in tools among thousands of generated ones.

    python -m benchmarks.index_scale [--sizes 16,1000,10000] [--graph]

Requests are the seeds of one or more tools that neither the index nor the classifier was made from, as they were written. "First 8" is
the share of the requests with every tool of the plan among the 8 that the index ranks first. `--graph` searches by a graph of neighbours (HNSW)
at every size, to compare with looking at all. What the whole selector makes of such catalogues is in the report of `make bench`. Needs
the extra `train`.
"""

from __future__ import annotations

import itertools
import random
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import click

import index.tool_index
from classifiers import ToolClassifier
from index import ToolIndex
from pipeline.config import Config, builtin_tools
from pipeline.selection import clauses, highest
from pipeline.spec import Catalogue, ToolSpec
from training.seeds import load_seeds, split


@click.command()
@click.option("--sizes", default="16,1000,10000", help="Tools in the catalogue.", show_default=True)
@click.option("--requests", default=300, help="How many to search for.", show_default=True)
@click.option("--graph", is_flag=True, help="Search by a graph at every size.")
def main(sizes: str, requests: int, graph: bool) -> None:
    """Print a table, a row a size."""
    if graph:
        index.tool_index.GRAPH_FROM = 0
    classifier, real = ToolClassifier.load(alpha=Config().selection.miss_rate), builtin_tools()
    seeds = [seed for seed in split(load_seeds())["test"] if seed.calls and not seed.tools and seed.language == "en"]
    seeds = seeds[:requests]
    click.echo("| tools | entries | first 8 | search, ms | load, s | build, s |")
    click.echo("|---|---|---|---|---|---|")
    for size in map(int, sizes.split(",")):
        tools = Catalogue([*real.values(), *itertools.islice(generated(), size - len(real))])
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch) / "index"
            started = time.perf_counter()
            ToolIndex.build(tools, classifier).save(folder)
            built = time.perf_counter() - started
            started = time.perf_counter()
            loaded = ToolIndex.load(folder, classifier)
            read = time.perf_counter() - started
        assert loaded is not None
        found, times = 0, []
        for seed in seeds:
            needed = {tool for tool, _ in seed.calls}
            started = time.perf_counter()
            scores = highest(loaded.search(seed.as_written, clauses(seed.as_written)))
            times.append(time.perf_counter() - started)
            first = sorted(scores, key=lambda name: -scores[name])[:8]
            # Lookups come from the types of the tools that were found.
            found += needed <= {*first, *real.prerequisites(name for name in first if name in real)}
        click.echo(
            f"| {size:,} | {len(loaded.owners):,} | {found / len(seeds):.1%} | {median(times) * 1000:.1f} | {read:.2f} "
            f"| {built:.1f} |"
        )


def generated() -> Iterator[ToolSpec]:
    """Yield specs of tools that nobody wrote, each with a description and two example requests, in a random order."""
    kinds = list(itertools.product(_VERBS, _THINGS, _WHERES))
    random.Random(0).shuffle(kinds)
    for verb, thing, where in kinds:
        yield ToolSpec.model_validate(
            {
                "name": "_".join(f"{verb} {thing} {where}".split()),
                "app": where,
                "description": f"{verb.capitalize()} a {thing} in the {where}.",
                "effect": "write",
                "parameters": [{"name": "name", "type": "string", "description": f"Which {thing}."}],
                "examples": [f"{verb} the {thing} in our {where}", f"please {verb} my {thing}, it is in the {where}"],
                "implementation": {"command": ["true"]},
            }
        )


_VERBS = (
    (
        "archive approve audit back_up bill calibrate cancel compress convert crop deploy duplicate encrypt estimate export flag "
        "grade import index inspect invoice lock measure merge migrate mute order pause polish price print publish rank refund rotate "
        "sample scan sign stamp tag test trim unlock validate weigh"
    )
    .replace("_", " ")
    .split()
)
_THINGS = (
    "album aquarium battery boiler budget camera campaign catalogue certificate coupon dataset drone engine fence firmware freezer "
    "garden greenhouse heater invoice kiln lamp lease ledger loan microscope mixer newsletter oven parcel patent payroll playlist "
    "podcast printer pump recipe robot sensor shipment sprinkler subscription telescope tenant thermostat ticket tyre vaccine "
    "vineyard warehouse workflow"
).split()
_WHERES = "laboratory workshop clinic warehouse studio archive greenhouse fleet bakery museum".split()

if __name__ == "__main__":
    main()
