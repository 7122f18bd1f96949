"""How good plans are: against gold plans, by the conventions' rules of comparison.

    tinyagent plan --batch dev.jsonl --out plans.jsonl
    python -m training.evaluation dev.jsonl plans.jsonl

A plan *succeeds* when its dependency graph is isomorphic to that of one of the gold plans, with tool names as labels (the metric of
the TinyAgent paper, arXiv 2409.00608, section 4). Its *arguments are right* when moreover every argument that the
gold plan states agrees: dates, numbers and references exactly, names, places and files without regard to case and
accents, free text by the words that it must contain. Knows nothing of how plans are made.
"""

from __future__ import annotations

import argparse
import json
import unicodedata
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path
from typing import Any

import networkx as nx

from pipeline.config import builtin_tools
from pipeline.plan import Plan, PlanError, Ref, Template, Value, parse_plan, parse_text, references, renumber
from pipeline.spec import Catalogue

Gold = Sequence[Mapping[str, Any]]  # steps of {"tool", "args"}


@dataclass(frozen=True, slots=True)
class Score:
    """What is right about one plan."""

    well_formed: bool
    recall: bool  # every tool of some gold plan was selected
    success: bool
    arguments: bool  # success, and all stated arguments right
    tools: int  # selected


def score(row: Mapping[str, Any], made: Mapping[str, Any], tools: Catalogue) -> Score:
    """Score one line of a batch's output against a row of the evaluation file."""
    selected = set(made.get("tools", ()))
    golds: list[Gold] = [plan["steps"] for plan in row["plans"]]
    recall = any({step["tool"] for step in gold} <= selected for gold in golds)
    try:
        plan = parse_plan(made["plan"])
    except (KeyError, PlanError):
        return Score(False, recall, False, False, len(selected))
    matches = [(gold, mapping) for gold in golds for mapping in isomorphisms(gold, plan)]
    right = any(arguments_agree(gold, plan, mapping, tools) for gold, mapping in matches)
    return Score(True, recall, bool(matches), right, len(selected))


def isomorphisms(gold: Gold, plan: Plan) -> Iterator[dict[int, int]]:
    """Yield each way in which the gold steps' numbers map to the plan's, tools and dependencies kept."""
    wanted, found = nx.DiGraph(), nx.DiGraph()
    for number, step in enumerate(gold, 1):
        wanted.add_node(number, tool=step["tool"])
        wanted.add_edges_from((k, number) for k in _dependencies(step["args"], number))
    for made in plan.steps:
        found.add_node(made.number, tool=made.tool)
        found.add_edges_from((k, made.number) for k in made.references)
    if len(wanted) != len(found) or wanted.size() != found.size():
        return  # networkx's iterator would also find the one graph inside the other
    matcher = nx.algorithms.isomorphism.DiGraphMatcher(wanted, found, node_match=lambda a, b: a["tool"] == b["tool"])
    yield from matcher.isomorphisms_iter()


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
            return all(_plain(renumber(_value(word, number), mapping)) in text for word in words)
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


def _plain(value: Value) -> str:
    """Return a value as text without case, accents and needless space."""
    match value:
        case Ref(step):
            return f"${step}"
        case Template(parts):
            return _plain("".join(f"${p.step}" if isinstance(p, Ref) else p for p in parts))
        case _:
            decomposed = unicodedata.normalize("NFKD", str(value).casefold())
            return " ".join("".join(c for c in decomposed if not unicodedata.combining(c)).split())


def report(rows: Sequence[Mapping[str, Any]], made: Mapping[str, Mapping[str, Any]], tools: Catalogue) -> str:
    """Return a table of all rows, by language, tag and number of steps, and the list of what failed."""
    groups: dict[str, list[Score]] = defaultdict(list)
    failures = []
    for row in rows:
        line = made.get(row["id"], {})
        result = score(row, line, tools)
        length = max(len(plan["steps"]) for plan in row["plans"])
        for group in ("all", *(f"tag {tag}" for tag in row.get("tags", ())), f"{length} steps"):
            groups[group].append(result)
        if not result.arguments:
            kind = "arguments" if result.success else "plan" if result.well_formed else "malformed"
            gold = " ; ".join(
                f"{s['tool']}{json.dumps(s['args'], ensure_ascii=False)}" for s in row["plans"][0]["steps"]
            )
            failures.append(
                f"[{kind}] {row['id']}: {row['query']}\n  made  {line.get('plan', line.get('error', 'nothing'))!r}\n  gold  {gold or 'join()'}"
            )
    lines = ["| rows | n | well-formed | recall | tools | success | arguments |", "|---|---|---|---|---|---|---|"]
    for group, scores in sorted(groups.items(), key=lambda item: (item[0] != "all", item[0])):
        n = len(scores)
        percent = [100 * sum(getattr(s, field) for s in scores) / n for field in ("well_formed", "recall")]
        ends = [100 * sum(getattr(s, field) for s in scores) / n for field in ("success", "arguments")]
        count = sum(s.tools for s in scores) / n
        lines.append(
            f"| {group} | {n} | {percent[0]:.1f} % | {percent[1]:.1f} % | {count:.2f} | {ends[0]:.1f} % | {ends[1]:.1f} % |"
        )
    return "\n".join([*lines, "", *failures])


def main() -> None:
    """Print the report from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", type=Path, help="evaluation file: id, query, plans, tags a line")
    parser.add_argument("plans", type=Path, help="output of 'tinyagent plan --batch'")
    parser.add_argument("--prefix", default="", help="only rows whose id starts so")
    arguments = parser.parse_args()
    rows = [json.loads(line) for line in arguments.rows.read_text("utf-8").splitlines()]
    made = {line["id"]: line for line in map(json.loads, arguments.plans.read_text("utf-8").splitlines())}
    print(report([row for row in rows if row["id"].startswith(arguments.prefix)], made, builtin_tools()))


if __name__ == "__main__":
    main()
