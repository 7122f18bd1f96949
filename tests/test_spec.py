"""Tool specs: what an author writes, what it means, and what is said when it is wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from pipeline.spec import (
    COERCIBLE,
    Catalogue,
    CommandTool,
    Effect,
    HttpTool,
    McpTool,
    SpecError,
    ToolSpec,
    Type,
    fits,
    load_catalogue,
    load_spec,
    schema_text,
    spec_schema,
)

SPECS = Path(__file__).parent.parent / "tool_specs"

PING = """\
name: ping
app: net
description: Say whether a host answers.
parameters:
  - {name: host, type: string}
  - name: count
    type: integer
    default: 3
returns: {type: string}
effect: read
examples:
  - is the router up
implementation:
  command: [ping, "-c{count}", "{host}"]
"""


def write(folder: Path, text: str, name: str = "ping.yaml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def tool(**fields: Any) -> ToolSpec:
    return ToolSpec.model_validate(
        {
            "name": "t",
            "app": "tests",
            "description": "A tool made up for a test.",
            "effect": "read",
            "implementation": {"python": "tests:t"},
            **fields,
        }
    )


# --- What a spec says ---


def test_a_file_declares_a_tool(tmp_path: Path) -> None:
    ping = load_spec(write(tmp_path, PING))
    host, count = ping.parameters
    assert (host.type, host.required) == (Type.STRING, True)
    assert (count.type, count.required, count.default) == (Type.INTEGER, False, 3)
    assert ping.required == (host,)
    assert ping.effect is Effect.READ
    assert ping.examples[0].request == "is the router up"
    assert isinstance(ping.implementation, CommandTool)


def test_a_list_is_written_as_its_items_in_brackets() -> None:
    spec = tool(parameters=[{"name": "to", "type": "list[email]"}])
    assert (spec.parameters[0].type, spec.parameters[0].list) == (Type.EMAIL, True)


@pytest.mark.parametrize(
    ("kind", "default"),
    [("string", ""), ("list[email]", []), ("integer", 0), ("number", 0), ("boolean", False), ("datetime", "")],
)
def test_an_optional_argument_without_a_default_is_empty(kind: str, default: object) -> None:
    parameter = tool(parameters=[{"name": "p", "type": kind, "required": False}]).parameters[0]
    assert parameter.default == default and type(parameter.default) is type(default)


def test_a_tool_that_says_nothing_of_its_result_returns_a_status() -> None:
    assert tool().returns.type is Type.STATUS


def test_an_http_tool_is_a_url_with_places_for_arguments() -> None:
    spec = tool(
        parameters=[{"name": "city", "type": "string"}],
        implementation={"url": "https://wttr.example/{city}", "headers": {"Accept": "text/plain"}},
    )
    assert isinstance(spec.implementation, HttpTool) and spec.implementation.method == "GET"


def test_a_tool_of_an_mcp_server_is_the_command_of_the_server_and_its_name_there() -> None:
    spec = tool(implementation={"mcp": {"command": ["my-server", "--stdio"], "tool": "get_weather"}})
    assert isinstance(spec.implementation, McpTool)
    assert spec.implementation.mcp.command == ("my-server", "--stdio")


def test_the_digest_changes_with_anything_in_the_spec(tmp_path: Path) -> None:
    ping = load_spec(write(tmp_path, PING))
    assert load_spec(write(tmp_path, PING + "# a remark\n", "a.yaml")).digest == ping.digest
    assert load_spec(write(tmp_path, PING.replace("router", "server"), "b.yaml")).digest != ping.digest


# --- What may stand where ---


def test_text_takes_any_result_and_a_status_goes_nowhere() -> None:
    kinds = set(Type) - {Type.STATUS}
    assert all(fits(kind, Type.STRING) for kind in kinds)
    assert all(fits(kind, kind) for kind in kinds)
    assert not any(fits(Type.STATUS, kind) for kind in Type)


def test_a_result_in_words_is_trusted_to_be_a_number_a_choice_or_a_time_but_no_address() -> None:
    trusted = {kind for kind in Type if fits(Type.STRING, kind)}
    assert trusted == set(Type) - COERCIBLE - {Type.STATUS}
    assert not fits(Type.EMAIL, Type.PHONE)
    assert not fits(Type.INTEGER, Type.DATETIME)


# --- The catalogue ---


def test_the_catalogue_is_in_the_order_of_names(tmp_path: Path) -> None:
    write(tmp_path, PING.replace("name: ping", "name: zip"), "a.yaml")
    write(tmp_path, PING, "b.yml")
    write(tmp_path, "no: spec", "notes.txt")
    assert list(load_catalogue([tmp_path])) == ["ping", "zip"]
    assert list(load_catalogue([tmp_path / "b.yml"])) == ["ping"]


def test_apps_can_be_turned_on_and_off(tmp_path: Path) -> None:
    write(tmp_path, PING)
    write(tmp_path, PING.replace("name: ping", "name: beep").replace("app: net", "app: fun"), "beep.yaml")
    assert list(load_catalogue([tmp_path], enabled=iter(["net"]))) == ["ping"]
    assert list(load_catalogue([tmp_path], disabled=iter(["net"]))) == ["beep"]
    with pytest.raises(SpecError, match=r"no tool belongs to an app 'nett' \(the apps are fun, net\)"):
        load_catalogue([tmp_path], enabled=["nett"])


def test_a_tool_brings_the_lookups_that_its_arguments_may_need() -> None:
    tools = load_catalogue([SPECS])
    assert tools.prerequisites(["send_sms"]) == {"get_phone_number"}
    assert tools.prerequisites(["compose_new_email"]) == {"get_email_address", "open_and_get_file_path"}
    assert tools.prerequisites(["send_sms", "get_phone_number"]) == frozenset()
    assert tools.prerequisites(["create_note"]) == frozenset()


def test_a_part_of_the_catalogue_is_a_catalogue() -> None:
    tools = load_catalogue([SPECS])
    assert list(tools.only({"send_sms", "create_note"})) == ["create_note", "send_sms"]
    assert tools.only(["send_sms"]).coercion_to(Type.PHONE) is None
    assert tools.only(tools).digest == tools.digest != tools.only(["send_sms"]).digest


# --- The tools that come with the project ---


def test_the_sixteen_tools_have_the_signatures_of_the_published_models() -> None:
    signatures = {name: " ".join(p.name for p in spec.parameters) for name, spec in load_catalogue([SPECS]).items()}
    assert signatures == {
        "append_note_content": "name content folder",
        "compose_new_email": "recipients cc subject context attachments",
        "create_calendar_event": "title start_date end_date location invitees notes calendar",
        "create_note": "name content folder",
        "create_reminder": "name due_date notes list_name priority all_day",
        "forward_email": "recipients cc context attachments",
        "get_email_address": "name",
        "get_phone_number": "name",
        "get_zoom_meeting_link": "topic start_time duration meeting_invitees",
        "maps_open_location": "location",
        "maps_show_directions": "start_location end_location transport",
        "open_and_get_file_path": "file_name",
        "open_note": "name folder",
        "reply_to_email": "cc context attachments",
        "send_sms": "recipients message",
        "summarize_pdf": "pdf_path",
    }


def test_the_schema_beside_the_specs_is_that_of_the_code() -> None:
    assert (SPECS / "schema.json").read_text(encoding="utf-8") == schema_text()


@pytest.mark.parametrize("path", sorted(SPECS.glob("*.yaml")), ids=lambda path: path.stem)
def test_an_editor_that_knows_the_schema_finds_no_fault_in_a_spec(path: Path) -> None:
    jsonschema.validate(yaml.safe_load(path.read_text(encoding="utf-8")), json.loads(schema_text()))
    assert load_spec(path).name == path.stem


@pytest.mark.parametrize(
    ("right", "wrong"),
    [("type: integer", "type: int"), ("effect: read", "effect: red"), ("app: net", "ap: net")],
)
def test_an_editor_that_knows_the_schema_finds_what_the_loader_finds(right: str, wrong: str) -> None:
    schema = spec_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(yaml.safe_load(PING), schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(yaml.safe_load(PING.replace(right, wrong)), schema)


# --- What is said of a wrong file: where, what, and how to mend it ---


def change(old: str, new: str) -> str:
    assert PING.count(old) == 1
    return PING.replace(old, new)


TYPES = "string, integer, number, boolean, enum, datetime, duration, email, phone, path, url"
WRONG = {
    "an unknown field": (
        PING + "colour: red\n",
        "15: colour: there is no such field; there are name, app, description, summary, parameters, returns, "
        "effect, coerces, rules, examples, timeout, retries, idempotent, implementation",
    ),
    "a misspelt field": (
        change("description: Say", "descripton: Say"),
        "3: descripton: there is no such field; there are name, app, description, summary, parameters, "
        "returns, effect, coerces, rules, examples, timeout, retries, idempotent, implementation (did you mean 'description'?)",
    ),
    "a misspelt field of a parameter": (
        change("default: 3", "defualt: 3"),
        "8: parameters.1.defualt: there is no such field; there are name, type, description, required, "
        "default, choices, verbatim, ends, lasts, all_day (did you mean 'default'?)",
    ),
    "a missing field": (change("effect: read\n", ""), "1: effect: is missing (add a line 'effect: …')"),
    "a missing field of a parameter": (
        change("    type: integer\n", ""),
        "6: parameters.1.type: is missing (add a line 'type: …')",
    ),
    "a type that there is not": (
        change("type: integer", "type: int"),
        f"7: parameters.1.type: 'int' is not one of {TYPES} (did you mean 'integer'?)",
    ),
    "a list of a type that there is not": (
        change("type: integer", "type: list[colour]"),
        f"7: parameters.1.type: 'colour' is not one of {TYPES}",
    ),
    "a type as a list": (
        change("type: integer\n    default: 3", "type: [integer]\n    required: false"),
        f"7: parameters.1.type: ['integer'] is not one of {TYPES}",
    ),
    "a status as a parameter": (
        change("type: integer", "type: status"),
        "7: parameters.1.type: 'status' is only for 'returns'",
    ),
    "a list inside braces": (
        change("host, type: string}", "host, type: list[string]}"),
        "5: is not YAML: expected ',' or '}', but got '[' (inside braces, put list[…] in quotes)",
    ),
    "a result of no type": (
        change("returns: {type: string}", "returns: {type: text}"),
        f"9: returns.type: 'text' is not one of {TYPES}, status",
    ),
    "a result that is a word": (
        change("returns: {type: string}", "returns: string"),
        "9: returns: a mapping is wanted (write {type: …, description: …})",
    ),
    "parameters as a mapping": (
        change("parameters:\n  - {name: host, type: string}\n  - name: count", "parameters:\n  host:"),
        "4: parameters: a list is wanted (write each item on a line of its own, after '- ')",
    ),
    "a parameter that is a word": (
        change("{name: host, type: string}", "host"),
        "5: parameters.0: a mapping is wanted (write {name: …, type: …})",
    ),
    "a parameter twice": (
        change("name: count", "name: host"),
        "6: parameters.1.name: parameter 'host' is declared twice",
    ),
    "a field twice": (PING + "effect: send\n", "15: is not YAML: 'effect' is given twice"),
    "an effect that there is not": (
        change("effect: read", "effect: delete"),
        "10: effect: 'delete' is not one of read, open, write, send",
    ),
    "a name that is none": (
        change("name: ping", "name: ping-host"),
        "1: name: a tool's name is letters, digits and '_', and not 'join'",
    ),
    "a tool called join": (
        change("name: ping", "name: join"),
        "1: name: a tool's name is letters, digits and '_', and not 'join'",
    ),
    "a name that YAML takes for a number": (
        change("name: ping", "name: 112"),
        "1: name: 112 is not text (put it in quotes)",
    ),
    "a default of another type": (
        change("default: 3", "default: many"),
        "8: parameters.1.default: 'many' is no default of type integer",
    ),
    "a required parameter with a default": (
        change("default: 3", "default: 3\n    required: true"),
        "8: parameters.1.default: a required parameter has no default",
    ),
    "a default of a list that is none": (
        change("type: integer\n", "type: list[integer]\n"),
        "8: parameters.1.default: the default of a list, and only of a list, is a list",
    ),
    "an enum without choices": (
        change("host, type: string}", "host, type: enum}"),
        "5: parameters.0: an enum, and only an enum, has 'choices'",
    ),
    "choices without an enum": (
        change("host, type: string}", "host, type: string, choices: [a, b]}"),
        "5: parameters.0: an enum, and only an enum, has 'choices'",
    ),
    "choices that YAML takes for truth values": (
        change("host, type: string}", "host, type: enum, choices: [yes, no]}"),
        "5: parameters.0.choices.0: True is not text "
        "(put it in quotes: to YAML, a bare yes, no, on or off is true or false)",
    ),
    "a default that is no choice": (
        change("host, type: string}", "host, type: enum, choices: [a, b], default: c}"),
        "5: parameters.0.default: the default of an enum is one of its choices: a, b",
    ),
    "a date that ends no date": (
        change("type: integer\n    default: 3", "type: datetime\n    ends: host"),
        "8: parameters.1.ends: 'count' is not a datetime, or 'host' not one that it can end",
    ),
    "an all-day flag that is none": (
        change("type: integer\n    default: 3", "type: datetime\n    all_day: whole"),
        "8: parameters.1.all_day: 'count' is not a datetime, or 'whole' not a boolean with a default",
    ),
    "a coercion to nothing that is coerced to": (
        PING + "coerces: {from: person}\n",
        "15: coerces: a tool that coerces returns one of email, path, phone, url",
    ),
    "a coercion of a number": (
        change("{name: host, type: string}", "{name: host, type: integer}") + "coerces: {from: person}\n",
        "15: coerces: a tool that coerces has one required parameter, of type string",
    ),
    "a misspelt field of a coercion": (
        PING + "coerces: {form: person}\n",
        "15: coerces.form: there is no such field; there are from (did you mean 'from'?)",
    ),
    "an example that is a number": (
        change("is the router up", "112"),
        "12: examples.0: a mapping is wanted (or just the request, in words)",
    ),
    "an example that YAML takes for a mapping": (
        change("is the router up", "tell me: is the router up"),
        "12: examples.0.tell me: there is no such field; there are request, plan "
        '(put a request with ": " in it in quotes)',
    ),
    "an example with a misspelt field": (
        change("is the router up", "{request: is it up, plam: []}"),
        "12: examples.0.plam: there is no such field; there are request, plan (did you mean 'plan'?)",
    ),
    "an example with a plan that is no list": (
        change("is the router up", "{request: is it up, plan: join()}"),
        "12: examples.0.plan: a list is wanted (write each item on a line of its own, after '- ')",
    ),
    "an example without a request": (
        change("is the router up", "plan: [join()]"),
        "12: examples.0.request: is missing (add a line 'request: …')",
    ),
    "a command for a shell": (
        change('[ping, "-c{count}", "{host}"]', "ping {host}"),
        "14: implementation.command: write the command as a list, one argument an item; it is never given to a shell",
    ),
    "a command of nothing": (
        change('[ping, "-c{count}", "{host}"]', "[]"),
        "14: implementation.command: is empty",
    ),
    "a command with an unknown place": (
        change('"{host}"', '"{hots}"'),
        "14: implementation.command.2: {hots} is not a parameter",
    ),
    "a URL with an unknown place": (
        change('command: [ping, "-c{count}", "{host}"]', "url: https://a.example/{hots}"),
        "14: implementation.url: {hots} is not a parameter",
    ),
    "a body with an unknown place": (
        change(
            'command: [ping, "-c{count}", "{host}"]',
            'url: https://a.example\n  method: POST\n  body:\n    hosts:\n      - "{hots}"',
        ),
        "18: implementation.body.hosts.0: {hots} is not a parameter",
    ),
    "a URL that is none": (
        change('command: [ping, "-c{count}", "{host}"]', "url: a.example"),
        "14: implementation.url: a URL starts with https:// or http://",
    ),
    "a method that there is not": (
        change('command: [ping, "-c{count}", "{host}"]', "url: https://a.example\n  method: GTE"),
        "15: implementation.method: 'GTE' is not one of GET, POST, PUT, PATCH, DELETE (did you mean 'GET'?)",
    ),
    "a function without a module": (
        change('command: [ping, "-c{count}", "{host}"]', "python: ping"),
        "14: implementation.python: write it as 'package.module:function'; only {backend} is filled in",
    ),
    "an MCP server that is a word": (
        change('command: [ping, "-c{count}", "{host}"]', "mcp: my-server"),
        "14: implementation.mcp: a mapping is wanted (write {command: […], tool: …})",
    ),
    "an MCP server without a tool": (
        change('command: [ping, "-c{count}", "{host}"]', "mcp: {command: [my-server]}"),
        "14: implementation.mcp.tool: is missing (add a line 'tool: …')",
    ),
    "an MCP server with a tool of no name": (
        change('command: [ping, "-c{count}", "{host}"]', 'mcp: {command: [my-server], tool: ""}'),
        "14: implementation.mcp.tool: is empty",
    ),
    "an MCP server for a shell": (
        change('command: [ping, "-c{count}", "{host}"]', "mcp: {command: my-server --stdio, tool: ping}"),
        "14: implementation.mcp.command: write the command as a list, one argument an item; it is never given to a shell",
    ),
    "an MCP server of nothing": (
        change('command: [ping, "-c{count}", "{host}"]', "mcp: {command: [], tool: ping}"),
        "14: implementation.mcp.command: is empty",
    ),
    "an MCP server whose command has a place for an argument": (
        change('command: [ping, "-c{count}", "{host}"]', 'mcp: {tool: ping, command: [my-server, "--to={host}"]}'),
        "14: implementation.mcp.command.1: {host} is not filled in: the server's tool gets its arguments by name",
    ),
    "a misspelt field of an MCP server": (
        change('command: [ping, "-c{count}", "{host}"]', "mcp: {command: [my-server], tol: ping}"),
        "14: implementation.mcp.tol: there is no such field; there are command, tool, digest (did you mean 'tool'?)",
    ),
    "a field beside an MCP server": (
        change('command: [ping, "-c{count}", "{host}"]', "mcp: {command: [my-server], tool: ping}") + "  env: {}\n",
        "15: implementation.env: there is no such field; there are mcp",
    ),
    "an implementation of no kind": (
        change("  command:", "  cmd:"),
        "13: implementation: give one of 'python', 'command', 'url' and 'mcp'",
    ),
    "an implementation of two kinds": (
        PING + "  python: net:ping\n",
        "13: implementation: give one of 'python', 'command', 'url' and 'mcp'",
    ),
    "a field of another kind of implementation": (
        PING + "  headers: {}\n",
        "15: implementation.headers: there is no such field; there are command",
    ),
    "a time-out that is no number": (PING + "timeout: soon\n", "15: timeout: 'soon' is not a number"),
    "a time-out of nothing": (PING + "timeout: 0\n", "15: timeout: 0 is not above 0"),
    "a description of a word": (
        change("Say whether a host answers.", "Ping."),
        "3: description: is too short: at least 10 characters are wanted",
    ),
    "a summary that is a story": (
        PING + f"summary: {'so ' * 30}\n",
        "15: summary: is too long: at most 80 characters fit",
    ),
    "a bracket that is open": ("name: [ping\napp: net\n", "2: is not YAML: expected ',' or ']', but got ':'"),
    "a colon in the text": (
        change("host answers.", "host answers: yes or no."),
        '3: is not YAML: mapping values are not allowed here (put text with ": " in it in quotes)',
    ),
    "a tab": (
        change("  - {name", "\t- {name"),
        r"5: is not YAML: found character '\t' that cannot start any token (indent with spaces, not with tabs)",
    ),
    "a month that there is not": (
        change("default: 3", "default: 2026-13-01"),
        " is not YAML: month must be in 1..12",
    ),
    "brackets without end": ("[" * 3000, " is not YAML: brackets are nested too deeply"),
    "two specs in a file": (f"{PING}---\n{PING}", "15: is not YAML: but found another document"),
    "an object of Python": (
        "!!python/object:os.system {}",
        "1: is not YAML: could not determine a constructor for the tag 'tag:yaml.org,2002:python/object:os.system'",
    ),
    "nothing": (
        "",
        "1: a spec is a mapping with 'name', 'app', 'description', … "
        "('tinyagent tools new NAME' writes a spec to start from)",
    ),
    "a list": (
        "- ping\n- pong\n",
        "1: a spec is a mapping with 'name', 'app', 'description', … "
        "('tinyagent tools new NAME' writes a spec to start from)",
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_spec_is_told_by_file_line_field_and_mend(what: str, tmp_path: Path) -> None:
    text, said = WRONG[what]
    path = write(tmp_path, text)
    with pytest.raises(SpecError) as error:
        load_spec(path)
    assert str(error.value).removeprefix(f"{path}:") == said
    assert error.value.path == path and error.value.exit_code == 2


def test_a_file_that_is_no_text_is_told_so(tmp_path: Path) -> None:
    path = tmp_path / "ping.yaml"
    path.write_bytes(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(SpecError, match=r"is not a text file \(save it as UTF-8\)"):
        load_spec(path)
    path.write_bytes(b"name: \x00\n")
    with pytest.raises(SpecError, match="is not YAML: special characters are not allowed"):
        load_spec(path)


def test_a_file_that_is_not_there_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="cannot be read: No such file or directory"):
        load_spec(tmp_path / "ping.yaml")
    with pytest.raises(SpecError, match=r"no such file or folder \(name a folder of YAML specs\)"):
        load_catalogue([tmp_path / "specs"])


def test_two_files_cannot_declare_one_tool(tmp_path: Path) -> None:
    first, second = write(tmp_path, PING), write(tmp_path, f"# mine\n{PING}", "ping2.yaml")
    with pytest.raises(SpecError) as error:
        load_catalogue([tmp_path])
    assert str(error.value) == (
        f"{second}:2: name: the tool 'ping' is declared already in {first} (rename one of the two, or remove a file)"
    )
    assert (error.value.path, error.value.line, error.value.field) == (second, 2, "name")


def test_a_catalogue_can_be_made_of_specs_at_hand() -> None:
    assert list(Catalogue([tool(name="b"), tool(name="a")])) == ["a", "b"]
