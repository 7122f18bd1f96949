"""The published TinyAgent data set → examples, for those who can download it (`squeeze-ai-lab/TinyAgent-dataset`, MIT, 734 MB).

Its file is one JSON object: by an id, the request (`input`) and what the teacher wrote (`output`), of which the entry of type `plan` has the prompt with the
time (`raw_input`) and the plan (`raw_output`), in the same language as ours but with every lookup written out and every time computed. Lookups are taken out
again as from our own seeds. A computed time is turned back into the words of the request that give it; where none do, the example is left out, since
our planner is to copy times, not to compute them.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from pipeline.dates import DateError, find_times, parse_moment
from pipeline.elaborate import bind
from pipeline.errors import TinyAgentError
from pipeline.plan import Plan, Value, parse_plan
from pipeline.spec import Catalogue, Type
from training.examples import CorpusError, Example, Offer
from training.seeds import side_of
from training.surface import Call, as_json, to_surface


class TinyAgentDataset:
    """The examples of a file.

    Args:
        path: `training_data.json` or `testing_data.json`.
        tools: The catalogue; its signatures are those of the data set.

    Attributes:
        left_out: What could not be made an example, by reason.

    Raises:
        CorpusError: While iterating: the file cannot be read, or is not that data set.
    """

    def __init__(self, path: Path, tools: Catalogue) -> None:
        self._path, self._tools = path, tools
        self.left_out: Counter[str] = Counter()

    def __iter__(self) -> Iterator[Example]:
        import ijson

        try:
            with self._path.open("rb") as file:
                for identity, entry in ijson.kvitems(file, ""):
                    example = self._example(identity, entry)
                    if example:
                        yield example
        except (OSError, ijson.JSONError) as error:
            raise CorpusError(
                f"{self._path} cannot be read: {error}",
                fix="it should be training_data.json of squeeze-ai-lab/TinyAgent-dataset",
            ) from error

    def _example(self, identity: str, entry: Any) -> Example | None:
        try:
            query = str(entry["input"]).strip()
            written = next(output for output in entry["output"] if output["type"] == "plan")
            asked, raw = str(written["raw_input"]), str(written["raw_output"])
        except (KeyError, TypeError, StopIteration):
            self.left_out["no plan"] += 1
            return None
        try:
            full = parse_plan(raw)
            calls = [(step.tool, bind(step, self._tools[step.tool])) for step in full.steps]
        except (TinyAgentError, KeyError):
            self.left_out["not a plan of our tools"] += 1
            return None
        try:
            plan = to_surface([self._in_words(call, query, _time(asked)) for call in calls], self._tools)
        except _Unsaid:
            self.left_out["a time that the request does not say"] += 1
            return None
        return Example(
            query,
            plan.text(),
            Offer(tuple(sorted(self._offered(asked, plan))), {}, (), ()),
            family=f"tinyagent:{identity}",
            source="tinyagent",
            split=side_of(identity),
        )

    def _offered(self, asked: str, plan: Plan) -> set[str]:
        """Return the tools that the prompt named, but for the lookups that are implied now."""
        named = {name for name in self._tools if re.search(rf"\b{name}\b", asked)}
        lookups = {tool.name for tool in self._tools.values() if tool.coerces}
        return (named - lookups) | {step.tool for step in plan.steps}

    def _in_words(self, call: tuple[str, Mapping[str, Value]], query: str, now: datetime | None) -> Call:
        """Return a call as the seeds have it: in JSON's values, times in the words of the request."""
        name, arguments = call
        words: dict[str, Any] = {}
        for key, value in arguments.items():
            parameter = self._tools[name].parameter(key)
            if parameter is None or parameter.all_day:
                pass
            elif parameter.type is Type.DATETIME and isinstance(value, str) and value:
                if parameter.ends and _is_default(arguments, parameter.ends, value):
                    continue
                value = _said(value, query, now)
            words[key] = as_json(value)
        return name, words


class _Unsaid(Exception):
    """A time is in no words of the request."""


def _said(value: str, query: str, now: datetime | None) -> str:
    if value in query:
        return value
    try:
        wanted = datetime.fromisoformat(value)
    except ValueError:
        raise _Unsaid from None
    if now is not None:
        for words in find_times(query, now):
            try:
                if parse_moment(words, now).start == wanted:
                    return words
            except DateError:
                continue
    raise _Unsaid


def _is_default(arguments: Mapping[str, Value], start: str, end: str) -> bool:
    """Whether an event lasts an hour, as one does whose end is not said."""
    try:
        return (datetime.fromisoformat(end) - datetime.fromisoformat(str(arguments[start]))).seconds == 3600
    except (ValueError, KeyError):
        return False


def _time(prompt: str) -> datetime | None:
    """Return the time that a prompt gives."""
    found = re.search(r"[Tt]oday's date is \w+ (\d{4}-\d\d-\d\d \d\d:\d\d)", prompt)
    return datetime.fromisoformat(found[1]) if found else None
