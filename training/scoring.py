"""How good a plan is: against gold plans, by the conventions' rules of comparison.

A plan *succeeds* when its dependency graph is isomorphic to that of one of the gold plans, with tool names as labels (the metric of
the TinyAgent paper, arXiv 2409.00608, section 4). Its *arguments are right* when moreover every argument that the
gold plan states agrees: dates, numbers and references exactly, names, places and files without regard to case and
accents, free text by the words that it must have, or their beginnings. Its *distance* is the least number of steps and dependencies to add, take
away or rename that makes it a gold plan (graph edit distance). Knows nothing of how plans are made.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Any

import networkx as nx

from pipeline.plan import Plan, PlanError, Ref, Template, Value, parse_plan, parse_text, references, renumber
from pipeline.spec import Catalogue
from training.checks import plain

Gold = Sequence[Mapping[str, Any]]  # steps of {"tool", "args"}


@dataclass(frozen=True, slots=True)
class Score:
    """What is right about one plan."""

    well_formed: bool
    recall: bool  # every tool of some gold plan was selected
    success: bool
    arguments: bool  # success, and all stated arguments right
    tools: int  # selected
    distance: int  # to the nearest gold plan; of what is no plan, that of the empty one


def score(golds: Sequence[Gold], made: Mapping[str, Any], tools: Catalogue) -> Score:
    """Score one line of a batch's output.

    Args:
        golds: Plans that are equally right.
        made: What the batch interface wrote.
        tools: The catalogue that the plans call.
    """
    selected = set(made.get("tools", ()))
    recall = any({step["tool"] for step in gold} <= selected for gold in golds)
    try:
        plan = parse_plan(made["plan"])
    except (KeyError, PlanError):
        return Score(False, recall, False, False, len(selected), min(_distance(gold, Plan()) for gold in golds))
    matches = [(gold, mapping) for gold in golds for mapping in isomorphisms(gold, plan)]
    right = any(arguments_agree(gold, plan, mapping, tools) for gold, mapping in matches)
    distance = 0 if matches else min(_distance(gold, plan) for gold in golds)
    return Score(True, recall, bool(matches), right, len(selected), distance)


def isomorphisms(gold: Gold, plan: Plan) -> Iterator[dict[int, int]]:
    """Yield each way in which the gold steps' numbers map to the plan's, tools and dependencies kept."""
    wanted, found = _gold_graph(gold), _graph(plan)
    if len(wanted) != len(found) or wanted.size() != found.size():
        return  # networkx's iterator would also find the one graph inside the other
    yield from nx.algorithms.isomorphism.DiGraphMatcher(wanted, found, node_match=_same_tool).isomorphisms_iter()


def _gold_graph(gold: Gold) -> nx.DiGraph:
    graph = nx.DiGraph()
    for number, step in enumerate(gold, 1):
        graph.add_node(number, tool=step["tool"])
        graph.add_edges_from((k, number) for k in _dependencies(step["args"], number))
    return graph


def _graph(plan: Plan) -> nx.DiGraph:
    graph = nx.DiGraph()
    for step in plan.steps:
        graph.add_node(step.number, tool=step.tool)
        graph.add_edges_from((k, step.number) for k in step.references)
    return graph


def _same_tool(one: Mapping[str, str], other: Mapping[str, str]) -> bool:
    return one["tool"] == other["tool"]


def _distance(gold: Gold, plan: Plan) -> int:
    # Exact for plans of a few steps; of long ones the best that is found in two seconds.
    return int(nx.graph_edit_distance(_gold_graph(gold), _graph(plan), node_match=_same_tool, timeout=2))


def arguments_agree(gold: Gold, plan: Plan, mapping: Mapping[int, int], tools: Catalogue) -> bool:
    """Whether the plan has every argument that the gold plan states."""
    for number, step in enumerate(gold, 1):
        made = plan.steps[mapping[number] - 1]
        names = [parameter.name for parameter in tools[made.tool].parameters]
        given = dict(zip(names, made.args, strict=False))
        if not all(_agree(value, given.get(name), number, mapping) for name, value in step["args"].items()):
            return False
    return True


def _dependencies(args: Mapping[str, Any], number: int) -> set[int]:
    return {ref.step for value in args.values() for ref in references(_value(value, number))}


def _value(value: Any, number: int) -> Value:
    match value:
        case str():
            return parse_text(value, number)
        case {"contains": words}:
            return tuple(_value(word, number) for word in words)
        case list():
            return tuple(_value(item, number) for item in value)
        case _:
            return value  # type: ignore[no-any-return]


def _agree(gold: Any, made: Value, number: int, mapping: Mapping[int, int]) -> bool:
    match gold:
        case {"contains": words}:
            text = _plain(made)
            return all(_has(text, _plain(renumber(_value(word, number), mapping))) for word in words)
        case list():
            if not isinstance(made, tuple) or len(made) != len(gold):
                return False
            return any(
                all(_agree(g, m, number, mapping) for g, m in zip(gold, order, strict=True))
                for order in permutations(made)
            )
        case str():
            return _plain(renumber(_value(gold, number), mapping)) == _plain(made)
        case _:
            return bool(gold == made)


def _has(text: str, words: str) -> bool:
    """Whether words of a text begin so: "late" is in "later" and not in "chocolate", a number is not in a longer one, nor "$1" in "$12"."""
    before = r"(?<!\w)" if re.match(r"\w", words) else ""
    after = r"(?!\d)" if re.search(r"\d\Z", words) else ""
    return re.search(before + re.escape(words) + after, text) is not None


def _plain(value: Value) -> str:
    """Return a value as text without case, accents and needless space."""
    match value:
        case Ref(step):
            return f"${step}"
        case Template(parts):
            return _plain("".join(f"${p.step}" if isinstance(p, Ref) else p for p in parts))
        case _:
            return plain(str(value))
