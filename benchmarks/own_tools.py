"""How tools are selected that the classifier has no label for: forty of ten trades, known by their YAML alone.

    python -m benchmarks.own_tools [FILE…] [--classifier FOLDER]

`own_tools.jsonl`, beside this file, has 120 hand-written requests that need them, alone or beside built-in tools; nothing was trained on them, and those
are left out whose tool has the name of one that was. In the catalogue are these tools, the built-in ones and the hundred and fifty invented ones of the
training seeds. Specs have a description alone, or besides it one or two example requests: half of the file, while the other half is asked. FILEs are rows with gold plans, as `tinyagent eval` takes
them: what other people's tools cost there, where none is needed. Needs the extra `train`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import mean

import click

from benchmarks.asked import read
from benchmarks.figures import table
from classifiers import ARTEFACT, ToolClassifier
from classifiers.contrast import written_tools
from index import ToolIndex
from pipeline.config import Config, builtin_tools
from pipeline.selection import SelectionOptions, Selector, clauses
from pipeline.spec import Catalogue, Example
from training.seeds import Seed, load_seeds

REQUESTS = Path(__file__).parent / "own_tools.jsonl"
FIRST = SelectionOptions().strangers


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("files", type=click.Path(path_type=Path, dir_okay=False, exists=True), nargs=-1)
@click.option(
    "--classifier",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=ARTEFACT,
    help="Another artefact.",
)
def main(files: tuple[Path, ...], folder: Path) -> None:
    """Print how many of the needed tools are found, and how many others are offered."""
    real, classifier = builtin_tools(), ToolClassifier.load(folder, alpha=Config().selection.miss_rate)
    trained, seeds = load_seeds(), measured_seeds()
    others = {tool.name: tool for seed in [*trained, *seeds] for tool in seed.tools}
    bare = Catalogue([*real.values(), *others.values()])
    rows: list[tuple[object, ...]] = []
    for told, parts in (("a description", [(bare, seeds)]), ("and one or two examples", _halves(bare, seeds, trained))):
        answers = [answer for tools, asked in parts for answer in _answers(tools, asked, real, classifier)]
        for label, beside in (("own tools alone", False), ("own and built-in tools", True)):
            near, found, offered = zip(*(answer[1:] for answer in answers if answer[0] == beside), strict=True)
            rows.append((label, told, len(near), f"{mean(near):.1%}", f"{mean(found):.1%}", f"{mean(offered):.2f}"))
    if files:
        selector = Selector(bare, ToolIndex.build(bare, classifier), classifier=classifier)
    for file in files:
        requests = read((file,), None)
        others_offered = [len({*selector.select(asked.text).tools} - {*real}) for asked in requests]
        rows.append((file.name, "a description", len(requests), "–", "–", f"{mean(others_offered):.2f}"))
    head = (
        "requests for",
        "own specs have",
        "rows",
        f"in the first {FIRST} for a clause",
        "all selected",
        "own tools offered",
    )
    click.echo(table(head, rows))


def measured_seeds() -> list[Seed]:
    """Return the requests of `own_tools.jsonl` whose tools have no name that something was trained on."""
    known = {tool.name for tool in written_tools()} | {tool.name for seed in load_seeds() for tool in seed.tools}
    return [seed for seed in load_seeds([REQUESTS]) if not {name for name, _ in seed.calls} & known]


def _answers(
    tools: Catalogue, asked: Sequence[Seed], real: Catalogue, classifier: ToolClassifier
) -> Iterator[tuple[bool, bool, bool, int]]:
    """Yield for each request whether it needs built-in tools too, whether its own are near, whether they are selected, and how many are."""
    index = ToolIndex.build(tools, classifier)
    selector = Selector(tools, index, classifier=classifier)
    for seed in asked:
        needed, text = {name for name, _ in seed.calls} - {*real}, seed.as_written
        near = {name for scores in index.search(text, clauses(text)) for name in _first(scores, real, FIRST)}
        chosen = {*selector.select(text).tools} - {*real}
        beside = any(name in real and not real[name].coerces for name, _ in seed.calls)
        yield beside, needed <= near, needed <= chosen, len(chosen)


def _halves(tools: Catalogue, seeds: Sequence[Seed], trained: Sequence[Seed]) -> list[tuple[Catalogue, list[Seed]]]:
    """Return two catalogues: in each the tools have half of the requests for them as examples, and the other half is to be asked.

    Their rivals have examples too, of the training seeds.
    """
    halves = []
    for half in (0, 1):
        texts: dict[str, list[str]] = {}
        for seed in trained:
            for name in {name for name, _ in seed.calls}:
                texts.setdefault(name, []).append(seed.as_written)
        asked = []
        for at, seed in enumerate(seeds):
            if at % 2 == half:
                asked.append(seed)
            else:
                for name, _ in seed.calls:
                    texts.setdefault(name, []).append(seed.as_written)
        told = {name: tuple(Example(request=text) for text in texts.get(name, ())[:2]) for name in tools}
        specs = [
            tool.model_copy(update={"examples": told[tool.name]}) if tool.app == "invented" else tool
            for tool in tools.values()
        ]
        halves.append((Catalogue(specs), asked))
    return halves


def _first(scores: Mapping[str, float], real: Catalogue, count: int) -> list[str]:
    return sorted((name for name in scores if name not in real), key=lambda name: -scores[name])[:count]


if __name__ == "__main__":
    main()
