"""The functions that come with a chat request: JSON-schema functions → tool specs, and calls of those back to arguments in JSON.

A function's parameters become parameters of ours: text, numbers, booleans, choices, times, and lists of those. An object in an object is taken
apart (`address.city` becomes `address_city`) and put together again. What no plan can say, such as a list of objects, may be missing where
it is not required; where it is, the function is refused. Names that ours cannot have get others. Nothing here plans or runs.
"""

from __future__ import annotations

import re
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pipeline.elaborate import DATETIME_FORMAT
from pipeline.errors import TinyAgentError
from pipeline.plan import JOIN
from pipeline.spec import Catalogue, CommandTool, Effect, Parameter, Returns, ToolSpec, Type

MAX_DEPTH = 4  # of objects in objects
MAX_PARAMETERS = 200  # of a function, the objects that they stand in among them
MAX_CHOICES = 2000  # of a function's parameters, all together
SUMMARY = 80  # characters: the room that the short prompt has
APP = "caller"


class FunctionError(TinyAgentError):
    """A function cannot be planned with. `param` says where in the request."""

    def __init__(self, message: str, param: str, fix: str | None = None) -> None:
        super().__init__(f"{param}: {message}", fix=fix)
        self.param = param


@dataclass(frozen=True, slots=True)
class Leaf:
    """Where a parameter of ours stands in the function's arguments."""

    path: tuple[str, ...]
    is_date: bool = False  # a day without a time
    is_time: bool = False
    null: bool = False  # required, but null where nothing is said


@dataclass(frozen=True, slots=True)
class Function:
    """A function of the caller's."""

    name: str  # as the caller calls it
    spec: ToolSpec
    leaves: Mapping[str, Leaf] = field(default_factory=dict)  # by the parameter's name

    def arguments(self, values: Mapping[str, object], said: Sequence[str]) -> dict[str, Any]:
        """Return a call's arguments as the function takes them.

        Args:
            values: By parameter, as the full plan has them.
            said: The parameters that the plan gives a value; of others, the function knows what it does.
        """
        made: dict[str, Any] = {}
        for name, leaf in self.leaves.items():
            given = name in said and values[name] != ""
            if given or leaf.null:
                inner = made
                for key in leaf.path[:-1]:
                    inner = inner.setdefault(key, {})
                inner[leaf.path[-1]] = _json(values[name], leaf) if given else None
        return made


def functions(given: Sequence[Mapping[str, Any]]) -> dict[str, Function]:
    """Return the functions of a request by the names of their specs.

    Args:
        given: Each with `name`, and maybe `description` and `parameters` (a JSON schema).

    Raises:
        FunctionError: One of them cannot be planned with, or two have one name.
    """
    found: dict[str, Function] = {}
    names: set[str] = set()
    for i, function in enumerate(given):
        at = f"tools[{i}].function"
        if function["name"] in names:
            raise FunctionError(f"there are two functions {function['name']!r}", f"{at}.name", "rename one of them")
        names.add(function["name"])
        name = _name(function["name"], {*found, JOIN})
        description = _line(function.get("description") or "") or f"Call the function {function['name']}"
        leaves: dict[str, Leaf] = {}
        parameters: list[Parameter] = []
        schema = function.get("parameters") or {}
        _Reader(schema, leaves, parameters).read(schema, (), True, f"{at}.parameters")
        parameters.sort(key=lambda parameter: not parameter.required)
        spec = ToolSpec(
            name=name,
            app=APP,
            description=description if len(description) >= 10 else f"{function['name']}: {description}.".ljust(10, "."),
            summary=_summary(description),
            parameters=tuple(parameters),
            returns=Returns(type=Type.STRING, description="What it gives back."),
            effect=Effect.WRITE,  # never taken for a lookup that may be made early or left out
            implementation=CommandTool(command=("false",)),  # it is the caller who calls it
        )
        found[name] = Function(function["name"], spec, leaves)
    return found


def catalogue(found: Mapping[str, Function]) -> Catalogue:
    """Return the functions as a catalogue."""
    return Catalogue(function.spec for function in found.values())


class _Reader:
    """Reads a function's parameters out of their schema."""

    def __init__(self, root: Mapping[str, Any], leaves: dict[str, Leaf], parameters: list[Parameter]) -> None:
        self._root, self._leaves, self._parameters = root, leaves, parameters
        self._properties = self._choices = 0  # that were read: references make a short schema a large one

    def read(self, schema: Any, path: tuple[str, ...], required: bool, at: str) -> None:
        """Read the properties of an object, or one that is not."""
        schema, nullable = self._resolved(schema, at)
        if len(path) <= MAX_DEPTH and (schema.get("type") == "object" or not path):
            properties = schema.get("properties") or {}
            wanted = schema.get("required") or []
            if isinstance(properties, Mapping) and isinstance(wanted, Sequence) and (properties or not path):
                for name, inner in properties.items():
                    self._properties += 1
                    if self._properties > MAX_PARAMETERS:
                        fix = "leave out what need not be said"
                        raise FunctionError(f"there are more than {MAX_PARAMETERS} parameters", at, fix)
                    needed = required and not nullable and name in wanted
                    self.read(inner, (*path, str(name)), needed, f"{at}.{name}")
                return
        self._leaf(schema, path, required, nullable, at)

    def _leaf(self, schema: Mapping[str, Any], path: tuple[str, ...], required: bool, nullable: bool, at: str) -> None:
        facts = self._type(schema, at)
        if facts is None:
            if required and not nullable:
                fix = "plans have text, numbers, booleans, choices, times and lists of those; make it one, or optional"
                raise FunctionError("a plan cannot have such a value", at, fix)
            return
        name = _name("_".join(path), self._leaves)
        shape = schema.get("format") if facts["type"] == Type.DATETIME else None
        self._leaves[name] = Leaf(path, shape == "date", shape == "date-time", null=required and nullable)
        facts |= {"name": name, "description": _line(str(schema.get("description") or ""))}
        if not required or nullable:
            facts["required"] = False
            if "choices" in facts and "list" not in facts:
                facts["default"] = facts["choices"][0]  # what stands for an unsaid one; it is left out again
        self._parameters.append(Parameter.model_validate(facts))

    def _type(self, schema: Mapping[str, Any], at: str, *, in_list: bool = False) -> dict[str, Any] | None:
        """Return what `Parameter` says of a type; None for one that it cannot."""
        choices = schema.get("enum") if "const" not in schema else [schema["const"]]
        if isinstance(choices, list):
            self._choices += len(choices)
            if self._choices > MAX_CHOICES:
                raise FunctionError(f"there are more than {MAX_CHOICES} choices", at, "make it a text")
            words = [word for word in choices if isinstance(word, str) and _CHOICE.fullmatch(word)]
            if words and len(words) == len([word for word in choices if word is not None]):
                return {"type": Type.ENUM, "choices": tuple(dict.fromkeys(words))}
        match schema.get("type"):
            case "array" if not in_list:  # of a list in a list no plan can speak, and such a schema may have no end
                items, _ = self._resolved(schema.get("items") or {}, at)
                inner = self._type(items, at, in_list=True)
                if inner is None or inner["type"] is Type.DATETIME:
                    return None
                return {**inner, "list": True}
            case "string" if schema.get("format") in ("date", "date-time"):
                return {"type": Type.DATETIME}
            case str(kind) if kind in _TYPES:
                return {"type": _TYPES[kind]}
            case None if not schema.get("properties"):
                return {"type": Type.STRING}
        return None

    def _resolved(self, schema: Any, at: str) -> tuple[Mapping[str, Any], bool]:
        """Return a schema without references, and whether null may stand in its place."""
        nullable = False
        for _ in range(8):
            if not isinstance(schema, Mapping):
                break
            if isinstance(reference := schema.get("$ref"), str):
                schema = self._referred(reference, at)
                continue
            if isinstance(kinds := schema.get("type"), list):
                nullable |= "null" in kinds
                others = [kind for kind in kinds if kind != "null"]
                schema = {**schema, "type": others[0] if len(others) == 1 else "anything"}
            options = schema.get("anyOf") or schema.get("oneOf") or schema.get("allOf")
            if not isinstance(options, list):
                return schema, nullable
            others = [o for o in options if not (isinstance(o, Mapping) and o.get("type") == "null")]
            nullable |= len(others) < len(options)
            if len(others) != 1:
                return {"type": "anything"}, nullable
            outer = {k: v for k, v in schema.items() if k not in ("anyOf", "oneOf", "allOf")}
            schema = {**others[0], **outer} if isinstance(others[0], Mapping) else None
        if schema is True:
            return {}, nullable
        raise FunctionError("this is not a JSON schema that can be followed", at)

    def _referred(self, reference: str, at: str) -> Any:
        found: Any = self._root
        for key in reference.removeprefix("#/").split("/"):
            found = found.get(key) if isinstance(found, Mapping) else None
        if not reference.startswith("#/") or found is None:
            raise FunctionError(f"{reference!r} is not in the schema", at)
        return found


_TYPES: Mapping[str, Type] = {
    "string": Type.STRING,
    "integer": Type.INTEGER,
    "number": Type.NUMBER,
    "boolean": Type.BOOLEAN,
}
_CHOICE = re.compile(r"[^\x00-\x1f\"\\]{1,80}")  # what a grammar and a plan can have as one word


def _name(wanted: str, taken: Container[str]) -> str:
    """Return a name like the wanted one that a tool or a parameter can have, and that is not taken."""
    name = re.sub(r"[^A-Za-z0-9_]", "_", wanted)[:60]
    if not name[:1].isalpha() or not name.isascii():
        name = f"f_{name}"
    made, number = name, 1
    while made in taken:
        number += 1
        made = f"{name}_{number}"
    return made


def _line(text: str) -> str:
    """Return a text on one line, sound for every encoding."""
    return " ".join(text.encode("utf-8", "replace").decode().split())


def _summary(description: str) -> str:
    """Return the first sentence of a description, as far as there is room for it."""
    first = re.split(r"(?<=\w)[.!?](?:\s|$)", description)[0]
    return first if len(first) <= SUMMARY else first[: SUMMARY - 1].rsplit(" ", 1)[0] + "…"


def _json(value: object, leaf: Leaf) -> Any:
    """Return a value as JSON Schema's formats want it: a date (RFC 3339) without a time, or a time with a T."""
    if isinstance(value, tuple):
        return list(value)
    if not (leaf.is_date or leaf.is_time) or not isinstance(value, str):
        return value
    try:
        moment = datetime.strptime(value, DATETIME_FORMAT if " " in value else "%Y-%m-%d")
    except ValueError:
        return value
    return moment.date().isoformat() if leaf.is_date else moment.isoformat()
