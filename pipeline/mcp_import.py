"""The tools of an MCP server → tool specs, and what of them changed since.

`spec_of` turns what a server says of a tool into the fields of a spec: its JSON Schema into our types, its hints into an effect. A
hint is the server's word and nothing more, so that only `readOnlyHint` counts, and all else asks before each call. What was accepted
stands beside the spec, in `NAME.mcp.json`, and its digest in the spec: a server that describes its tool otherwise later (a
"rug pull") is refused by `pipeline.tools.mcp` until `difference` is shown and `updated` is written. This module talks to no server.
"""

from __future__ import annotations

import difflib
import itertools
import json
import re
from collections.abc import Collection, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from pipeline.errors import TinyAgentError
from pipeline.spec import NAME, Effect, ToolSpec, Type
from pipeline.tools.mcp import Definition

SUMMARY = 80  # characters
_FORMATS = {
    "email": Type.EMAIL,
    "uri": Type.URL,
    "url": Type.URL,
    "date-time": Type.DATETIME,
    "date": Type.DATETIME,
}
_KINDS = {"string": Type.STRING, "integer": Type.INTEGER, "number": Type.NUMBER, "boolean": Type.BOOLEAN}


class ImportFailure(TinyAgentError):
    """A server's tool cannot be made a spec."""


def spec_of(defined: Definition, command: tuple[str, ...], app: str, name: str) -> tuple[dict[str, Any], list[str]]:
    """Return the fields of a spec, in the order in which they are written, and the server's parameters that it leaves out.

    Args:
        defined: What the server says of its tool.
        command: Starts the server.
        app: The app that the tool is to belong to.
        name: What the tool is to be called.

    Raises:
        ImportFailure: The tool needs a parameter that no type of ours fits.
    """
    parameters, left_out = _parameters(defined)
    description = " ".join(defined.description.split())
    if len(description) < 10:
        description = f"{defined.name} of {app}: {description}".rstrip(": ")
    fields: dict[str, Any] = {"name": name, "app": app, "description": description}
    first = re.split(r"(?<=[.!?])\s", description)[0].rstrip(".")
    fields["summary"] = first if len(first) <= SUMMARY else first[: SUMMARY - 1].rstrip() + "…"
    fields["effect"] = str(Effect.READ if defined.annotations.get("readOnlyHint") is True else Effect.SEND)
    if parameters:
        fields["parameters"] = parameters
    fields["returns"] = {"type": "string", "description": f"What {defined.name} answers."}
    fields["implementation"] = {"mcp": {"command": list(command), "tool": defined.name, "digest": defined.digest}}
    try:
        ToolSpec.model_validate(fields)
    except ValidationError as error:
        first_error = error.errors()[0]
        where = ".".join(map(str, first_error["loc"]))
        raise ImportFailure(f"{defined.name}: {where}: {first_error['msg']}") from None
    return fields, left_out


def free_name(defined: Definition, app: str, taken: Collection[str]) -> str:
    """Return what to call a tool: as the server does, as far as names here allow; after its app, and numbered, where that is taken."""
    plain = _named(defined.name, "tool")
    longer = _named(f"{app}_{plain}", plain)
    names = itertools.chain((plain, longer), (f"{longer[:60]}_{number}" for number in itertools.count(2)))
    return next(name for name in names if name not in taken and name != "join")


def app_name(text: str) -> str:
    """Return a server's name as the name of an app."""
    return _named(text.casefold(), "mcp")


def _named(text: str, otherwise: str) -> str:
    name = re.sub(r"[^A-Za-z0-9_]+", "_", text).strip("_")
    name = re.sub(r"^[^A-Za-z]+", "", name)[:64]
    return name if NAME.fullmatch(name) else otherwise


# ── types ────────────────────────────────────────────────────────────────────────────────────────────


def _parameters(defined: Definition) -> tuple[list[dict[str, Any]], list[str]]:
    schema = defined.input_schema
    properties, needed = schema.get("properties") or {}, schema.get("required") or []
    if not isinstance(properties, dict) or not isinstance(needed, list):
        raise ImportFailure(f"{defined.name}: what the server says of its parameters is no JSON Schema")
    found: list[dict[str, Any]] = []
    left_out: list[str] = []
    # A signature has the needed ones first.
    for name in sorted(properties, key=lambda name: name not in needed):
        declared = _resolved(properties[name], schema)
        kind = _kind(declared, schema) if NAME.fullmatch(name) else None
        if kind is None:
            if name in needed:
                raise ImportFailure(
                    f"{defined.name} needs {name!r}, which no type here fits: {json.dumps(properties[name])[:120]}",
                    fix="leave the tool out with --only, or write its spec and a program that calls it",
                )
            left_out.append(name)
            continue
        parameter = {"name": name, **kind}
        if text := " ".join(str(declared.get("description") or declared.get("title") or "").split()):
            parameter["description"] = text
        if name not in needed:
            default = declared.get("default")
            if kind["type"] == "enum" and default not in kind["choices"]:
                # A choice has no value for "not said"; a text has.
                said = f"One of {', '.join(kind['choices'])}."
                parameter |= {"type": "string", "description": f"{parameter.get('description', '')} {said}".strip()}
                del parameter["choices"]
            plain = default is not None and _is_plain(default, parameter)
            parameter |= {"default": default} if plain else {"required": False}
        found.append(parameter)
    return found, left_out


def _resolved(declared: Any, schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return a schema without references, and without null as an alternative."""
    for _ in range(10):  # a reference may lead to another, and no server need be trusted not to lead in circles
        if not isinstance(declared, dict):
            return {}
        beside = {key: value for key, value in declared.items() if key in ("description", "title", "default")}
        reference = declared.get("$ref")
        options = declared.get("anyOf") or declared.get("oneOf")
        several = [one for one in options if one != {"type": "null"}] if isinstance(options, list) else []
        if isinstance(reference, str) and reference.startswith("#/"):
            target: Any = schema
            for part in reference[2:].split("/"):
                target = target.get(part) if isinstance(target, dict) else None
            declared = {**target, **beside} if isinstance(target, dict) else {}
        elif len(several) == 1 and isinstance(several[0], dict):
            declared = {**several[0], **beside}
        else:
            break
    kinds = declared.get("type")
    if isinstance(kinds, list):
        rest = [kind for kind in kinds if kind != "null"]
        declared = {**declared, "type": rest[0] if len(rest) == 1 else None}
    return dict(declared)


def _kind(declared: Mapping[str, Any], schema: Mapping[str, Any], *, item: bool = False) -> dict[str, Any] | None:
    """Return a schema as `type`, and `choices` of an enum; None if no type of ours fits, and for an item of a list that is no single one."""
    choices = declared.get("enum") or ([declared["const"]] if "const" in declared else None)
    if choices is not None:
        texts = isinstance(choices, list) and all(isinstance(choice, str) and choice for choice in choices)
        if item:
            return None
        return {"type": "enum", "choices": list(choices)} if texts else None
    kind = declared.get("type")
    if kind == "array":
        items = None if item else _kind(_resolved(declared.get("items"), schema), schema, item=True)
        return {"type": f"list[{items['type']}]"} if items else None
    if kind == "string":
        return {"type": str(_FORMATS.get(str(declared.get("format")), Type.STRING))}
    return {"type": str(_KINDS[kind])} if isinstance(kind, str) and kind in _KINDS else None


def _is_plain(default: Any, kind: Mapping[str, Any]) -> bool:
    """Return whether a default is one that a parameter of that kind can have here."""
    if kind["type"].startswith("list["):
        inner = kind["type"][5:-1]
        return isinstance(default, list) and all(_is_plain(item, {"type": inner}) for item in default)
    match kind["type"]:
        case "integer":
            return type(default) is int
        case "number":
            return type(default) in (int, float)
        case "boolean":
            return type(default) is bool
        case "enum":
            return default in kind["choices"]
        case "datetime":
            return False  # ours are lengths from another time
        case _:
            return isinstance(default, str)


# ── files ────────────────────────────────────────────────────────────────────────────────────────────

_HEAD = """\
# Imported by 'tinyagent tools import mcp'. Check the effect: read is not asked about, send is, before each call.
# Add examples, requests as people put them: they help to find the tool.
"""


def text_of(fields: Mapping[str, Any]) -> str:
    """Return a spec as the text of its file."""
    return _HEAD + yaml.safe_dump(dict(fields), sort_keys=False, allow_unicode=True, width=120)


def accepted_path(path: Path) -> Path:
    """Return where what was accepted is kept, beside a spec."""
    return path.with_suffix(".mcp.json")


def kept(defined: Definition) -> str:
    """Return what a server says of a tool as it is kept and compared."""
    return json.dumps(asdict(defined), indent=2, ensure_ascii=False, sort_keys=True) + "\n"


def difference(path: Path, digest: str, now: Definition) -> str:
    """Return what a server says otherwise of a tool now, line by line; all of it where what was accepted is not there.

    Args:
        path: Of the spec.
        digest: In the spec.
        now: What the server says.
    """
    try:
        before = accepted_path(path).read_text(encoding="utf-8")
        if Definition(**json.loads(before)).digest != digest:
            before = ""  # somebody changed it
    except (OSError, ValueError, TypeError):
        before = ""
    return "".join(difflib.unified_diff(before.splitlines(True), kept(now).splitlines(True), "accepted", "now", n=1))


def updated(path: Path, now: Definition) -> dict[str, Any]:
    """Return a spec's fields with what the server says now: its parameters, description and digest; the author's own stay.

    The effect stays too, unless the server says no more that its tool only reads.
    """
    old = yaml.safe_load(path.read_text(encoding="utf-8"))
    made, _ = spec_of(now, tuple(old["implementation"]["mcp"]["command"]), old["app"], old["name"])
    effect = made["effect"] if old["effect"] == Effect.READ else old["effect"]
    fresh = {key: made[key] for key in ("description", "summary", "parameters", "implementation") if key in made}
    rest = {key: value for key, value in old.items() if key not in fresh and key != "parameters"}
    fields = {**rest, **fresh, "effect": effect}
    order = [*made, *(key for key in fields if key not in made)]
    return {key: fields[key] for key in order if key in fields}
