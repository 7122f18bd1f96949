"""Tool specs: what a tool is, as its author declares it in one YAML file.

`load_spec` reads one file, `load_catalogue` folders of them, into frozen `ToolSpec` objects that every
other stage works from: the index embeds their descriptions and examples, the prompt and the grammar take
their signatures, elaboration their types, the executor their effects and implementations. A wrong file is a
`SpecError` that names the file, the line, the field and the mend. This module knows nothing of how a spec
is used.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_core import ErrorDetails
from yaml.constructor import ConstructorError

from pipeline.errors import TinyAgentError

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")


class SpecError(TinyAgentError):
    """A tool spec is wrong. `path`, `line` (from 1) and `field` say where."""

    exit_code = 2

    def __init__(
        self,
        message: str,
        *,
        path: Path | None = None,
        line: int | None = None,
        field: str = "",
        fix: str | None = None,
    ) -> None:
        where = f"{path}:{line}: " if path and line else f"{path}: " if path else ""
        super().__init__(f"{where}{field}: {message}" if field else f"{where}{message}", fix=fix)
        self.path, self.line, self.field = path, line, field


class Effect(StrEnum):
    """What running a tool does to the world; decides when it may start and who is asked."""

    READ = "read"  # looks something up; may run early and be retried
    OPEN = "open"  # shows something on the screen
    WRITE = "write"  # changes the user's own data
    SEND = "send"  # reaches other people


class Type(StrEnum):
    """What a value is. An email, phone, path or url may also be said as a name (see `Coercion`)."""

    STRING = "string"
    INTEGER = "integer"
    NUMBER = "number"
    BOOLEAN = "boolean"
    ENUM = "enum"
    DATETIME = "datetime"
    DURATION = "duration"  # in the full plan a number of minutes
    EMAIL = "email"
    PHONE = "phone"
    PATH = "path"
    URL = "url"
    STATUS = "status"  # returned only: a word on how it went, of no use as an argument


COERCIBLE = frozenset({Type.EMAIL, Type.PHONE, Type.PATH, Type.URL})


def fits(returned: Type, wanted: Type) -> bool:
    """Return whether the result of a tool that returns `returned` may stand where `wanted` is wanted.

    Anything but a status can stand in text. Where a number, a choice or a time is wanted, a tool's text is
    taken on trust: its value is only known when the plan runs. An address, a number to call, a path or a
    URL comes only from a tool that returns just that.
    """
    if Type.STATUS in (returned, wanted):
        return False
    if wanted is Type.STRING or returned is wanted:
        return True
    return returned is Type.STRING and wanted not in COERCIBLE


class _FaultError(ValueError):
    """What a validator finds wrong; `place` leads from what it validates to where it is."""

    def __init__(self, message: str, *place: str | int) -> None:
        super().__init__(message)
        self.place = place


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Parameter(_Model):
    """One argument of a tool."""

    name: str
    type: Type
    list: bool = False  # written `list[email]` in YAML
    description: str = ""
    required: bool = True
    default: Any = None  # what an unsaid argument is in the full plan; a datetime's is a duration
    choices: tuple[str, ...] = ()  # the values of an enum
    verbatim: bool = False  # a string that is words of the request: a name, a place, a folder
    ends: str = ""  # the datetime parameter whose end this datetime is
    lasts: str = ""  # the datetime parameter from which on this number of minutes counts, if that says an end
    all_day: str = ""  # the boolean parameter that says that this datetime has no time of day

    @model_validator(mode="before")
    @classmethod
    def _read_type(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        data = dict(data)
        kind = data.get("type")
        if isinstance(kind, str) and (m := re.fullmatch(r"list\[(\w+)\]", kind)):
            data["type"], data["list"] = m[1], True
        if "default" in data:
            data.setdefault("required", False)
        if data.get("required") is False and data.get("default") is None:
            data["default"] = [] if data.get("list") else _EMPTY.get(str(kind), "")
        return data

    @field_validator("name")
    @classmethod
    def _check_name(cls, name: str) -> str:
        if not NAME.fullmatch(name):
            raise ValueError("a parameter's name is letters, digits and '_', a letter first")
        return name

    @field_validator("type")
    @classmethod
    def _check_type(cls, kind: Type) -> Type:
        if kind is Type.STATUS:
            raise ValueError("'status' is only for 'returns'")
        return kind

    @model_validator(mode="after")
    def _check_choices(self) -> Parameter:
        if (self.type is Type.ENUM) != bool(self.choices):
            raise ValueError("an enum, and only an enum, has 'choices'")
        return self

    @model_validator(mode="after")
    def _check_verbatim(self) -> Parameter:
        if self.verbatim and self.type is not Type.STRING:
            raise _FaultError("only a string is said to be verbatim; names, files and times always are", "verbatim")
        return self

    @model_validator(mode="after")
    def _check_default(self) -> Parameter:
        if self.required:
            if self.default is not None:
                raise _FaultError("a required parameter has no default", "default")
            return self
        if self.list != isinstance(self.default, list):
            raise _FaultError("the default of a list, and only of a list, is a list", "default")
        for value in self.default if self.list else [self.default]:
            if self.type is Type.ENUM:
                if value not in self.choices:
                    raise _FaultError(
                        f"the default of an enum is one of its choices: {', '.join(self.choices)}", "default"
                    )
            elif type(value) not in _PLAIN.get(self.type, (str,)):
                raise _FaultError(f"{value!r} is no default of type {self.type}", "default")
        return self


# What an unsaid argument is where the spec does not say; of other types, "".
_EMPTY: Mapping[str, Any] = {"integer": 0, "number": 0, "boolean": False}
# How a default is written; of other types, as text.
_PLAIN: Mapping[Type, tuple[type, ...]] = {
    Type.INTEGER: (int,),
    Type.NUMBER: (int, float),
    Type.BOOLEAN: (bool,),
    Type.DURATION: (str, int, float),
}


class Returns(_Model):
    """What a tool gives back."""

    type: Type = Type.STATUS
    description: str = ""
    # Whether a value may choose who is written to, which file is used and which page is opened, as the address book's may.
    # What other people wrote, in mails, notes and documents, may not: see `pipeline.effects`.
    trusted: bool = False


class Coercion(_Model):
    """What a lookup tool offers: a value said as `source` becomes one of the tool's return type."""

    source: Annotated[str, Field(alias="from")]  # what the person says: "person", "file name"


class Example(_Model):
    """A request that needs this tool, for the index, and optionally its plan, for few-shot prompts."""

    request: str
    plan: tuple[str, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _read(cls, data: Any) -> Any:
        return {"request": data} if isinstance(data, str) else data


class PythonTool(_Model):
    """A Python function `module:function`; `{backend}` in it is the configured backend."""

    python: str
    # Likewise; called before the call is approved, to tell what it will act on (`pipeline.tools.context.Preview`).
    preview: str = ""
    process: bool = (
        False  # in a process of its own, which is killed at a time-out; a thread could only be left to itself
    )

    @field_validator("python", "preview")
    @classmethod
    def _check(cls, value: str) -> str:
        if value and not re.fullmatch(r"(?:[\w.]|\{backend\})+:\w+", value):
            raise ValueError("write it as 'package.module:function'; only {backend} is filled in")
        return value


def _check_words(value: Any) -> Any:
    if isinstance(value, str):
        raise ValueError("write the command as a list, one argument an item; it is never given to a shell")
    return value


Words = Annotated[tuple[str, ...], Field(min_length=1), BeforeValidator(_check_words)]  # a program and its arguments


class CommandTool(_Model):
    """A program, run without a shell; `{parameter}` in an argument is that argument's value."""

    command: Words


class HttpTool(_Model):
    """An HTTP call. `{parameter}` in the URL is percent-encoded; a body is sent as JSON."""

    url: str
    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"] = "GET"
    headers: Mapping[str, str] = Field(default_factory=dict)
    idempotency_header: str = ""  # under which the service takes a key; with one key, it acts once
    body: Mapping[str, Any] | None = None

    @field_validator("url")
    @classmethod
    def _check(cls, value: str) -> str:
        if not value.startswith(("https://", "http://")):
            raise ValueError("a URL starts with https:// or http://")
        return value


class McpServer(_Model):
    """A server of the Model Context Protocol, and which of its tools is meant."""

    command: Words  # starts the server, which then speaks on its input and output
    tool: Annotated[str, Field(min_length=1)]
    # SHA-256, in hexadecimal, of what the server says of its tool (`pipeline.tools.mcp.Definition`): with another, it is refused.
    digest: Annotated[str, Field(pattern="^([0-9a-f]{64})?$")] = ""

    @field_validator("command")
    @classmethod
    def _check(cls, command: tuple[str, ...]) -> tuple[str, ...]:
        for position, word in enumerate(command):
            if found := re.search(r"\{\w+\}", word):
                raise _FaultError(
                    f"{found[0]} is not filled in: the server's tool gets its arguments by name", position
                )
        return command


class McpTool(_Model):
    """A tool of an MCP server, which is given the arguments by name."""

    mcp: McpServer


def _kind_of_implementation(value: Any) -> str | None:
    kinds = ("python", "command", "url", "mcp")
    found = [kind for kind in kinds if (kind in value if isinstance(value, dict) else hasattr(value, kind))]
    return found[0] if len(found) == 1 else None


class ToolSpec(_Model):
    """A tool, declared completely."""

    name: str
    app: str
    description: Annotated[str, Field(min_length=10)]
    summary: Annotated[str, Field(max_length=80)] = ""  # the few words that the short prompt has room for
    parameters: tuple[Parameter, ...] = ()
    returns: Returns = Returns()
    effect: Effect
    coerces: Coercion | None = None
    rules: tuple[str, ...] = ()  # advice to planners that follow instructions
    examples: tuple[Example, ...] = ()
    timeout: Annotated[float, Field(gt=0)] = 30.0  # seconds
    retries: Annotated[int, Field(ge=0, le=5)] = (
        2  # of a read whose service cannot be reached; nothing else is tried twice
    )
    idempotent: bool = False  # whether two calls with one `ToolContext.key` act once
    implementation: Annotated[
        Annotated[PythonTool, Tag("python")]
        | Annotated[CommandTool, Tag("command")]
        | Annotated[HttpTool, Tag("url")]
        | Annotated[McpTool, Tag("mcp")],
        Discriminator(
            _kind_of_implementation,
            custom_error_type="implementation",
            custom_error_message="give one of 'python', 'command', 'url' and 'mcp'",
        ),
    ]

    @field_validator("name")
    @classmethod
    def _check_name(cls, name: str) -> str:
        if not NAME.fullmatch(name) or name == "join":
            raise ValueError("a tool's name is letters, digits and '_', and not 'join'")
        return name

    @model_validator(mode="after")
    def _check_parameters(self) -> ToolSpec:
        by_name: dict[str, Parameter] = {}
        for position, p in enumerate(self.parameters):
            if p.name in by_name:
                raise _FaultError(f"parameter {p.name!r} is declared twice", "parameters", position, "name")
            by_name[p.name] = p
        for position, p in enumerate(self.parameters):
            dated = p.type is Type.DATETIME and not p.list
            start, flag = by_name.get(p.ends), by_name.get(p.all_day)
            if p.ends and not (dated and start and _kind(start) == "datetime" and not start.ends):
                raise _FaultError(
                    f"{p.name!r} is not a datetime, or {p.ends!r} not one that it can end",
                    *("parameters", position, "ends"),
                )
            start = by_name.get(p.lasts)
            counted = not p.list and p.type in (Type.INTEGER, Type.NUMBER, Type.DURATION)
            if p.lasts and not (counted and start and _kind(start) == "datetime" and not start.ends):
                raise _FaultError(
                    f"{p.name!r} is no number of minutes, or {p.lasts!r} not a datetime that begins it",
                    *("parameters", position, "lasts"),
                )
            if p.all_day and not (dated and flag and _kind(flag) == "boolean" and not flag.required):
                raise _FaultError(
                    f"{p.name!r} is not a datetime, or {p.all_day!r} not a boolean with a default",
                    *("parameters", position, "all_day"),
                )
        return self

    @model_validator(mode="after")
    def _check_coercion(self) -> ToolSpec:
        if self.coerces:
            if [_kind(p) for p in self.required] != ["string"]:
                raise _FaultError("a tool that coerces has one required parameter, of type string", "coerces")
            if self.returns.type not in COERCIBLE:
                kinds = ", ".join(sorted(COERCIBLE))
                raise _FaultError(f"a tool that coerces returns one of {kinds}", "coerces")
        return self

    @model_validator(mode="after")
    def _check_implementation(self) -> ToolSpec:
        for place, text in _texts(self.implementation.model_dump(include={"command", "url", "body"})):
            for used in re.findall(r"\{(\w+)\}", text):
                if self.parameter(used) is None:
                    raise _FaultError(f"{{{used}}} is not a parameter", "implementation", *place)
        return self

    @property
    def repeatable(self) -> bool:
        """Whether a call whose end is unknown may simply be made again, with the key that it had."""
        header = isinstance(self.implementation, HttpTool) and self.implementation.idempotency_header
        return self.effect is Effect.READ or self.idempotent or bool(header)

    @property
    def required(self) -> tuple[Parameter, ...]:
        """The parameters that a call must give."""
        return tuple(p for p in self.parameters if p.required)

    def parameter(self, name: str) -> Parameter | None:
        """Return the parameter of that name, or None."""
        return next((p for p in self.parameters if p.name == name), None)

    @property
    def digest(self) -> str:
        """SHA-256 of the declaration, in hexadecimal: changes when anything in the spec does."""
        return hashlib.sha256(self.model_dump_json(by_alias=True).encode()).hexdigest()


def _kind(parameter: Parameter) -> str:
    """Return a parameter's type as YAML writes it."""
    return f"list[{parameter.type}]" if parameter.list else str(parameter.type)


def _texts(value: Any, place: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Yield the texts in a value of JSON, each with the keys and positions that lead to it."""
    match value:
        case str():
            yield place, value
        case Mapping():
            for key, item in value.items():
                yield from _texts(item, (*place, key))
        case list() | tuple():
            for position, item in enumerate(value):
                yield from _texts(item, (*place, position))


class Catalogue(Mapping[str, ToolSpec]):
    """The tools that can be called, by name, in one canonical order (sorted by name)."""

    def __init__(self, specs: Iterable[ToolSpec]) -> None:
        self._specs = {spec.name: spec for spec in sorted(specs, key=lambda s: s.name)}

    def __getitem__(self, name: str) -> ToolSpec:
        return self._specs[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._specs)

    def __len__(self) -> int:
        return len(self._specs)

    def coercion_to(self, kind: Type) -> ToolSpec | None:
        """Return the tool that turns a name into a value of `kind`, or None."""
        return self._coercions.get(kind)

    @cached_property
    def _coercions(self) -> dict[Type, ToolSpec]:
        """By what they give, the tools that turn a name into it; the first of several."""
        return {spec.returns.type: spec for spec in reversed(self._specs.values()) if spec.coerces}

    def prerequisites(self, names: Iterable[str]) -> frozenset[str]:
        """Return the lookup tools that calls of `names` may need, the names themselves excluded."""
        chosen, found = set(names), set[str]()
        queue = list(chosen)
        while queue:
            for parameter in self[queue.pop()].parameters:
                tool = self.coercion_to(parameter.type)
                if tool and tool.name not in chosen | found:
                    found.add(tool.name)
                    queue.append(tool.name)
        return frozenset(found)

    def only(self, names: Iterable[str]) -> Catalogue:
        """Return the catalogue of just these tools."""
        return Catalogue(self[name] for name in names)

    @cached_property
    def digest(self) -> str:
        """SHA-256 over all specs, in hexadecimal."""
        return hashlib.sha256("".join(s.digest for s in self.values()).encode()).hexdigest()


def load_spec(path: Path) -> ToolSpec:
    """Read one YAML file.

    Raises:
        SpecError: The file cannot be read, is not YAML, or does not declare a tool.
    """
    data, root = _read_yaml(path)
    try:
        return ToolSpec.model_validate(data)
    except ValidationError as error:
        # A misspelt field is also a missing one: what is there tells more than what is not.
        first = min(error.errors(), key=lambda e: e["type"] != "extra_forbidden")
        location = first["loc"]
        if location[0:1] == ("implementation",):
            location = location[:1] + location[2:]  # without the tag of the kind
        message, fix = _explain(first)
        if isinstance(fault := first.get("ctx", {}).get("error"), _FaultError):
            location += fault.place
        raise SpecError(
            message,
            path=path,
            line=_line_of(root, location),
            field=".".join(str(part) for part in location),
            fix=fix,
        ) from None


def load_catalogue(
    folders: Iterable[Path], *, enabled: Iterable[str] | None = None, disabled: Iterable[str] = ()
) -> Catalogue:
    """Read every `*.yaml` file of the folders (files may be named too).

    Args:
        folders: Where to look, in order.
        enabled: The apps to keep; None keeps all.
        disabled: The apps to leave out.

    Raises:
        SpecError: A file is wrong, a folder is missing, or two files claim one tool name.
    """
    origin: dict[str, Path] = {}
    specs: list[ToolSpec] = []
    only, without = None if enabled is None else set(enabled), set(disabled)
    for path in _spec_files(folders):
        spec = load_spec(path)
        if spec.name in origin:
            raise SpecError(
                f"the tool {spec.name!r} is declared already in {origin[spec.name]}",
                path=path,
                line=_line_of(_read_yaml(path)[1], ("name",)),
                field="name",
                fix="rename one of the two, or remove a file",
            )
        origin[spec.name] = path
        specs.append(spec)
    apps = {spec.app for spec in specs}
    for app in sorted((only or set()) | without):
        if app not in apps:
            raise SpecError(f"no tool belongs to an app {app!r}", fix=f"the apps are {', '.join(sorted(apps))}")
    keep = (apps if only is None else only) - without
    return Catalogue(spec for spec in specs if spec.app in keep)


def spec_schema() -> dict[str, Any]:
    """Return the JSON Schema of a spec file, for editors that check as one types."""
    schema = ToolSpec.model_json_schema(by_alias=True)
    # What YAML may say is wider than the model: `list[email]`, and a bare request as an example.
    kinds = [kind.value for kind in Type if kind is not Type.STATUS]
    parameter = schema["$defs"]["Parameter"]
    parameter["properties"].pop("list")
    parameter["properties"]["type"] = {"enum": [*kinds, *(f"list[{kind}]" for kind in kinds)]}
    schema["properties"]["examples"]["items"] = {"anyOf": [{"type": "string"}, {"$ref": "#/$defs/Example"}]}
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    return schema


def schema_text() -> str:
    """Return the schema as the text of `tool_specs/schema.json`."""
    return json.dumps(spec_schema(), indent=2, ensure_ascii=False) + "\n"


def _spec_files(folders: Iterable[Path]) -> Iterator[Path]:
    for folder in folders:
        if folder.is_file():
            yield folder
        elif folder.is_dir():
            yield from sorted(p for p in folder.iterdir() if p.suffix in {".yaml", ".yml"})
        else:
            raise SpecError("no such file or folder", path=folder, fix="name a folder of YAML specs")


class _Loader(yaml.SafeLoader):
    """YAML without keys that are given twice (YAML 1.2, 3.2.1.1), of which PyYAML would keep the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if key.value in seen:
                raise ConstructorError(None, None, f"{key.value!r} is given twice", key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def _read_yaml(path: Path) -> tuple[dict[Any, Any], yaml.Node]:
    """Return what a file says, and its nodes, which know their lines."""
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise SpecError("is not a text file", path=path, fix="save it as UTF-8") from None
    except OSError as error:
        raise SpecError(f"cannot be read: {error.strerror}", path=path) from error
    try:
        loader = _Loader(text)
        root = loader.get_single_node()
        data = loader.construct_document(root) if root else None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        problem = str(getattr(error, "problem", None) or getattr(error, "reason", error))
        raise SpecError(
            f"is not YAML: {problem}",
            path=path,
            line=mark.line + 1 if mark else None,
            fix=next((fix for part, fix in _YAML_FIXES.items() if part in problem), None),
        ) from error
    except ValueError as error:  # a date of month 13
        raise SpecError(f"is not YAML: {error}", path=path) from error
    except RecursionError:
        raise SpecError("is not YAML: brackets are nested too deeply", path=path) from None
    if not isinstance(data, dict) or root is None:
        raise SpecError(
            "a spec is a mapping with 'name', 'app', 'description', …",
            path=path,
            line=1,
            fix="'tinyagent tools new NAME' writes a spec to start from",
        )
    return data, root


# What usually lies behind what PyYAML says.
_YAML_FIXES: Mapping[str, str] = {
    "mapping values are not allowed": 'put text with ": " in it in quotes',
    "but got '['": "inside braces, put list[…] in quotes",
    "\\t": "indent with spaces, not with tabs",
}


def _line_of(root: yaml.Node, location: Sequence[str | int]) -> int:
    """Return the line (from 1) of the deepest part of `location` that stands in the file."""
    node, line = root, root.start_mark.line
    for part in location:
        if isinstance(node, yaml.MappingNode):
            found = [pair for pair in node.value if pair[0].value == part]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int):
            found = [(item, item) for item in node.value[part : part + 1]]
        else:
            found = []
        if not found:
            break
        line, node = found[0][0].start_mark.line, found[0][1]
    return int(line) + 1


def _explain(error: ErrorDetails) -> tuple[str, str | None]:
    """Return what pydantic found wrong in plain words, and its mend where there is one."""
    location, given, context = error["loc"], error["input"], error.get("ctx", {})
    field = str(location[-1]) if location else ""
    match error["type"]:
        case "missing":
            return "is missing", f"add a line '{field}: …'"
        case "extra_forbidden":
            known = _fields(location)
            fix = _near(field, known)
            if location[0] == "examples" and not fix:
                fix = 'put a request with ": " in it in quotes'
            return f"there is no such field; there are {', '.join(known)}", fix
        case "enum" | "literal_error":
            words = re.findall(r"'([^']+)'", str(context["expected"]))
            if location[0] == "parameters":
                words.remove(Type.STATUS)
            return f"{given!r} is not one of {', '.join(words)}", _near(given, words)
        case "string_type" if isinstance(given, bool):
            return (
                f"{given} is not text",
                "put it in quotes: to YAML, a bare yes, no, on or off is true or false",
            )
        case "string_type":
            return f"{given!r} is not text", None if isinstance(given, list | dict) else "put it in quotes"
        case "float_type" | "float_parsing":
            return f"{given!r} is not a number", None
        case "bool_type" | "bool_parsing":
            return f"{given!r} is neither true nor false", None
        case "tuple_type":
            return "a list is wanted", "write each item on a line of its own, after '- '"
        case "model_type" | "dict_type" | "mapping_type":
            return "a mapping is wanted", _MAPPINGS.get(field if field == "mcp" else str(location[0]))
        case "string_too_short" if context["min_length"] == 1:
            return "is empty", None
        case "string_too_short":
            return f"is too short: at least {context['min_length']} characters are wanted", None
        case "string_too_long":
            return f"is too long: at most {context['max_length']} characters fit", None
        case "too_short":
            return "is empty", None
        case "greater_than":
            return f"{given} is not above {context['gt']:g}", None
        case "value_error":
            return str(context["error"]), None
        case _:
            return error["msg"][:1].lower() + error["msg"][1:], None


_MAPPINGS: Mapping[str, str] = {
    "parameters": "write {name: …, type: …}",
    "returns": "write {type: …, description: …}",
    "coerces": "write {from: …}",
    "examples": "or just the request, in words",
    "mcp": "write {command: […], tool: …}",
}


def _fields(location: Sequence[str | int]) -> list[str]:
    """Return the fields that may stand where `location` ends."""
    model: type[_Model] = ToolSpec
    if len(location) > 1:
        kind = location[1:-1] if location[0] == "implementation" else location[:1]
        model = _MODELS[".".join(map(str, kind))]
    names = [field.alias or name for name, field in model.model_fields.items()]
    return [name for name in names if (model, name) != (Parameter, "list")]


_MODELS: Mapping[str, type[_Model]] = {
    "parameters": Parameter,
    "returns": Returns,
    "coerces": Coercion,
    "examples": Example,
    "python": PythonTool,
    "command": CommandTool,
    "url": HttpTool,
    "mcp": McpTool,
    "mcp.mcp": McpServer,
}


def _near(word: object, known: Sequence[str]) -> str | None:
    near = difflib.get_close_matches(word, known, n=1) if isinstance(word, str) else []
    return f"did you mean {near[0]!r}?" if near else None
