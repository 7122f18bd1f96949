"""`tinyagent mcp serve` and `tinyagent tools import mcp`: the commands around the Model Context Protocol.

What they do is in `pipeline.mcp_server` and `pipeline.mcp_import`.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import click

from pipeline.cli import settings_options
from pipeline.config import Config
from pipeline.errors import ConfigError, MissingExtra
from pipeline.mcp_import import (
    ImportFailure,
    accepted_path,
    app_name,
    difference,
    free_name,
    kept,
    spec_of,
    text_of,
    updated,
)
from pipeline.spec import McpTool, ToolSpec, load_spec
from pipeline.terminal import visible
from pipeline.tools.mcp import Definition, definitions


@click.group()
def mcp() -> None:
    """Serve the pipeline to clients of the Model Context Protocol.

    To use the tools of other servers, see 'tinyagent tools import mcp'.
    """


@mcp.command()
@settings_options
def serve(config: Config) -> None:
    """Serve on standard input and output, for a client to start.

    It offers the tools select, plan and run. Writes and sends are asked about through the client; where it cannot ask, nothing
    is written or sent.
    """
    try:
        from pipeline import mcp_server
    except ImportError as error:
        raise MissingExtra("mcp", "mcp") from error
    mcp_server.serve(config)


@click.group()
def import_() -> None:
    """Make tool specs of what others offer."""


@import_.command("mcp")
@click.option(
    "--to", "folder", type=click.Path(path_type=Path, file_okay=False), default=Path(), help="Folder; here by default."
)
@click.option("--app", help="The app that the tools belong to; the server's own name by default.")
@click.option("--only", multiple=True, metavar="TOOL", help="Import this tool of the server's only.")
@click.option("--accept", is_flag=True, help="Accept what changed of tools that were imported before.")
@settings_options
@click.argument("words", nargs=-1, metavar="[FILES | -- CMD...]")
def import_mcp(
    config: Config, folder: Path, app: str | None, only: tuple[str, ...], accept: bool, words: tuple[str, ...]
) -> int:
    """Turn the tools of an MCP server into YAML specs.

    CMD starts the server. Each spec keeps a digest of what the server says of the tool; when that changes, the tool is refused
    until the change is accepted: 'tinyagent tools import mcp --accept FILES' shows it and does.
    """
    if not words:
        raise click.UsageError("Give -- and the command that starts the server, or --accept and spec files.")
    if accept:
        return _accept([Path(word) for word in words])
    command = tuple(words)
    server, found = asyncio.run(definitions(command))
    app = app or app_name(server or command[0].rsplit("/", 1)[-1])
    if unknown := set(only) - {defined.name for defined in found}:
        offered = ", ".join(defined.name for defined in found)
        raise ConfigError(f"the server has no tool {sorted(unknown)[0]!r}", fix=f"its tools are {offered}")
    before = _imported(folder, command)
    taken = {*config.catalogue(), *(spec.name for spec in _specs(folder).values())}
    failed = changed = 0
    for defined in found:
        if only and defined.name not in only:
            continue
        if defined.name in before:
            path, accepted = before[defined.name]
            same = defined.digest == accepted
            click.echo(f"{path}: {'unchanged' if same else 'CHANGED on the server'}")
            if not same:
                changed += 1
                click.echo(visible(difference(path, accepted, defined)))
            continue
        try:
            name = free_name(defined, app, taken)
            fields, left_out = spec_of(defined, command, app, name)
        except ImportFailure as error:
            failed += 1
            click.echo(f"✗ {visible(str(error))}", err=True)
            continue
        taken.add(name)
        path = folder / f"{name}.yaml"
        _write(path, text_of(fields), defined, new=True)
        says = "read: the server says that it changes nothing" if fields["effect"] == "read" else "send: asked about"
        click.echo(f"{path}: {says}" + (f"; without {visible(', '.join(left_out))}" if left_out else ""))
    if changed:
        click.echo("Changed tools are refused until 'tinyagent tools import mcp --accept FILES'.", err=True)
    return 3 if (failed or changed) else 0


def _accept(files: list[Path]) -> int:
    """Show what changed of imported tools, ask, and write it into their specs."""
    refused = 0
    for path in files:
        spec = load_spec(path)
        if not isinstance(spec.implementation, McpTool):
            raise ConfigError(f"{path} is not of an MCP server's tool")
        server = spec.implementation.mcp
        _, found = asyncio.run(definitions(server.command))
        defined = next((d for d in found if d.name == server.tool), None)
        if defined is None:
            raise ConfigError(f"{path}: the server has no tool {server.tool!r} any more", fix="remove the file")
        if defined.digest == server.digest:
            click.echo(f"{path}: unchanged")
            continue
        click.echo(f"{path}:\n{visible(difference(path, server.digest, defined))}")
        fields = updated(path, defined)
        # Somebody who only wrote --accept has not seen the change before now.
        if sys.stdin.isatty() and not click.confirm("Accept it?"):
            refused += 1
            continue
        _write(path, text_of(fields), defined, new=False)
        click.echo(f"{path}: accepted, effect {fields['effect']}")
    return 3 if refused else 0


def _write(path: Path, text: str, defined: Definition, *, new: bool) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if new:
            with path.open("x", encoding="utf-8") as file:
                file.write(text)
        accepted_path(path).write_text(kept(defined), encoding="utf-8")
        if not new:
            replaced = path.with_suffix(".tmp")
            replaced.write_text(text, encoding="utf-8")
            os.replace(replaced, path)
    except FileExistsError:
        raise ConfigError(f"{path} exists already", fix="choose another folder with --to, or remove the file") from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}") from error


def _specs(folder: Path) -> dict[Path, ToolSpec]:
    return {path: load_spec(path) for path in sorted(folder.glob("*.y*ml"))} if folder.is_dir() else {}


def _imported(folder: Path, command: tuple[str, ...]) -> dict[str, tuple[Path, str]]:
    """Return the specs of a folder that were imported from a server, with their digests, by what the server calls its tool."""
    return {
        spec.implementation.mcp.tool: (path, spec.implementation.mcp.digest)
        for path, spec in _specs(folder).items()
        if isinstance(spec.implementation, McpTool)
        and spec.implementation.mcp.digest
        and spec.implementation.mcp.command == command
    }
