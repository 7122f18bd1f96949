"""How tools are selected that the classifier has no label for: forty of ten trades, known by their YAML alone.

    python -m benchmarks.own_tools [FILE…]

`own_tools.jsonl`, beside this file, has 120 hand-written requests that need them, alone or beside built-in tools; nothing was trained on them. In
the catalogue are these tools, the built-in ones and the hundred invented ones of the training seeds. The specs have a description and no example
requests, the hardest case: a spec with two or three does better. FILEs are rows with gold plans, as `tinyagent eval` takes
them: what other people's tools cost there, where none is needed. Needs the extra `train`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from statistics import mean

import click

from benchmarks.asked import read
from benchmarks.figures import table
from classifiers import ToolClassifier
from index import ToolIndex
from pipeline.config import Config, builtin_tools
from pipeline.selection import SelectionOptions, Selector, clauses
from pipeline.spec import Catalogue
from training.seeds import Seed, load_seeds

REQUESTS = Path(__file__).parent / "own_tools.jsonl"


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("files", type=click.Path(path_type=Path, dir_okay=False, exists=True), nargs=-1)
def main(files: tuple[Path, ...]) -> None:
    """Print how many of the needed tools are found, and how many others are offered."""
    real, classifier = builtin_tools(), ToolClassifier.load(alpha=Config().selection.miss_rate)
    seeds = load_seeds([REQUESTS])
    others = {tool.name: tool for seed in [*seeds, *load_seeds()] for tool in seed.tools}
    tools = Catalogue([*real.values(), *others.values()])
    index = ToolIndex.build(tools, classifier)
    selector, first = Selector(tools, index, classifier=classifier), SelectionOptions().strangers
    lookups = {tool.name for tool in real.values() if tool.coerces}
    rows = []
    for label, beside in (("own tools alone", False), ("own and built-in tools", True)):
        asked = [seed for seed in seeds if beside == any(t in real and t not in lookups for t, _ in seed.calls)]
        near, found, offered = list[bool](), list[bool](), list[int]()
        for seed in asked:
            needed, text = _foreign(seed, real), seed.as_written
            ranked = [_first(scores, real, first) for scores in index.search(text, clauses(text))]
            near.append(needed <= {name for names in ranked for name in names})
            chosen = {name for name in selector.select(text).tools if name not in real}
            found.append(needed <= chosen)
            offered.append(len(chosen))
        rows.append((label, len(asked), f"{mean(near):.1%}", f"{mean(found):.1%}", f"{mean(offered):.2f}"))
    for file in files:
        requests = read((file,), None)
        offered = [sum(name not in real for name in selector.select(asked.text).tools) for asked in requests]
        rows.append((file.name, len(requests), "–", "–", f"{mean(offered):.2f}"))
    head = (
        "requests for",
        "rows",
        f"in the first {first} for a clause",
        "all selected",
        "tools offered that are not built in",
    )
    click.echo(table(head, rows))


def _first(scores: Mapping[str, float], real: Catalogue, count: int) -> list[str]:
    return sorted((name for name in scores if name not in real), key=lambda name: -scores[name])[:count]


def _foreign(seed: Seed, real: Catalogue) -> set[str]:
    return {tool for tool, _ in seed.calls if tool not in real}


if __name__ == "__main__":
    main()
