"""`tinyagent serve` starts the service and ends it in order; `tinyagent page` shows its page in a browser."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from pipeline.cli import settings_options
from pipeline.config import Config
from pipeline.errors import ConfigError, MissingExtra

if TYPE_CHECKING:
    import uvicorn

    from pipeline.pipeline import Pipeline

EXIT_S = 9.0  # after a signal to end, the process is gone, whatever hangs
LEFT_S = 2  # for connections to close when all runs have ended


@click.command()
@click.option("--host", metavar="ADDR", help="Address to listen on; 127.0.0.1 by default.")
@click.option("--port", type=click.IntRange(0, 65535), help="Port to listen on; 8765 by default, 0 takes a free one.")
@click.option("--expose", is_flag=True, help="Allow an address that other machines can reach.")
@click.option("--allow-host", "hosts", multiple=True, metavar="NAME", help="Another name by which it may be called.")
@click.option("--new-token", is_flag=True, help="Make a new token; clients with the old one are locked out.")
@click.option(
    "--log", "lines", type=click.Choice(["text", "json"]), default="text", show_default=True, help="Form of the logs."
)
@click.option("--log-content", is_flag=True, help="For debugging: log requests, arguments and results, too.")
@click.option("--trace", is_flag=True, help="Send OpenTelemetry spans to OTEL_EXPORTER_OTLP_ENDPOINT.")
@settings_options
def serve(
    config: Config,
    host: str | None,
    port: int | None,
    expose: bool,
    hosts: tuple[str, ...],
    new_token: bool,
    lines: str,
    log_content: bool,
    trace: bool,
) -> None:
    """Serve the pipeline over HTTP to programs on this machine, until interrupted.

    Each request must bear the token, which is made at the first start and kept in .tinyagent/token in the data folder, for your eyes
    only. Writes and sends wait until a client approves them (docs/service.md). On SIGTERM or Ctrl-C lookups stop, a write or send under
    way comes to its end, nothing else begins, and the process ends within 10 seconds.

    \b
    tinyagent serve --data-dir data
    curl -H "Authorization: Bearer $(cat data/.tinyagent/token)" \\
         -H "Content-Type: application/json" -d '{"request": "text Priya I am late"}' \\
         -N http://127.0.0.1:8765/v1/runs

    An OpenAI client takes http://127.0.0.1:8765/v1 for its base URL and the token for its key. Settings are in [service] of config.toml.
    """
    settings = config.service.model_copy(
        update={
            "host": host or config.service.host,
            "port": config.service.port if port is None else port,
            "hosts": (*config.service.hosts, *hosts),
            "log_content": config.service.log_content or log_content,
            "trace": config.service.trace or trace,
        }
    )
    from pipeline.pipeline import Pipeline

    pipeline = Pipeline(config.model_copy(update={"service": settings}))
    run(pipeline, expose=expose, new_token=new_token, lines=lines)


def run(pipeline: Pipeline, *, expose: bool = False, new_token: bool = False, lines: str = "text") -> None:
    """Serve a pipeline until a signal comes.

    Args:
        pipeline: With its settings, those of the service among them.
        expose: Whether an address may be listened on that other machines can reach.
        new_token: Whether another token is made.
        lines: The form of the logs, "text" or "json".

    Raises:
        ConfigError: The address is not to be had, or not without `expose`; the token cannot be read.
        MissingExtra: A package is missing.
    """
    try:
        import uvicorn

        from pipeline.service.app import create_app
    except ImportError as error:
        raise MissingExtra(error.name or "fastapi", "service") from None
    from pipeline.service.access import token
    from pipeline.service.logs import configure
    from pipeline.service.sessions import code

    settings = pipeline.config.service
    bound = _bound(settings.host, settings.port, expose)
    secret, path = token(pipeline.config.data_dir, new=new_token)
    configure(lines=lines)
    app = create_app(pipeline, secret)
    options: dict[str, Any] = {
        "log_config": None,
        "access_log": False,  # it would tell addresses; `app` logs what is asked
        "proxy_headers": False,  # else any client could say where it comes from
        "server_header": False,
        "ws": "none",
        "timeout_graceful_shutdown": LEFT_S,
    }
    address, port = bound.getsockname()[:2]
    shown = f"[{address}]" if ":" in address else address
    click.echo(f"tinyagent listens on http://{shown}:{port}")
    click.echo(f"The token is in {path}", err=True)
    if sys.stderr.isatty():
        click.echo(f"The page, once and within 10 minutes: {_link(address, port, code(secret))}", err=True)
    click.echo("'tinyagent page' opens it at any time.", err=True)
    if not _is_loopback(address):
        click.echo(
            "Warning: other machines can reach this address, and nothing on the way is encrypted, the token included. "
            "'ssh -L 8765:127.0.0.1:8765 this-machine' reaches a service that listens on 127.0.0.1.",
            err=True,
        )
    if settings.log_content:
        click.echo("Warning: the logs tell what you say and what your data says.", err=True)
    _server(uvicorn.Config(app, **options)).run(sockets=[bound])


@click.command()
@click.option("--port", type=click.IntRange(1, 65535), help="Port that the service listens on; 8765 by default.")
@click.option("--print", "printed", is_flag=True, help="Print the link instead of opening it.")
@settings_options
def page(config: Config, port: int | None, printed: bool) -> None:
    """Open the service's page in your browser.

    The link lets one browser in, once, within 10 minutes. It goes to the browser by way of a file that only you can read, since others on this
    machine can see with which arguments a program is started. Browsers in a Snap or Flatpak may not read that file; give them what --print prints.
    """
    import webbrowser

    from pipeline.service.access import token
    from pipeline.service.sessions import code

    secret, path = token(config.data_dir)
    link = _link(config.service.host, port or config.service.port or 8765, code(secret))
    if printed:
        click.echo(link)
        return
    way = path.with_name("page.html")
    way.unlink(missing_ok=True)
    with os.fdopen(os.open(way, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
        file.write(
            f'<!doctype html><meta name="referrer" content="no-referrer"><meta http-equiv="refresh" content="0;url={link}">\n'
        )
    if not webbrowser.open(way.as_uri()):
        raise ConfigError(
            "there is no browser here that could be opened", fix="'tinyagent page --print' prints the link"
        )


def _link(address: str, port: int, code: str) -> str:
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(address, f"[{address}]" if ":" in address else address)
    return f"http://{host}:{port}/#code={code}"


def _bound(host: str, port: int, expose: bool) -> socket.socket:
    """Return a socket that listens.

    Raises:
        ConfigError: The address is none of this machine's, is taken, or is for others to reach without their being allowed to.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        raise ConfigError(
            f"{host!r} is not an address: {error}", fix="leave --host out to listen on 127.0.0.1"
        ) from None
    family, kind, protocol, _, address = found[0]
    if not expose and not all(_is_loopback(str(where[0])) for *_, where in found):
        raise ConfigError(
            f"other machines could reach {host}, and all that the pipeline can do",
            fix="leave --host out, or give --expose as well if that is what you want",
        )
    bound = socket.socket(family, kind, protocol)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
        bound.listen(128)
    except OSError as error:
        bound.close()
        fix = "is it running already? --port takes another port, and 0 a free one"
        raise ConfigError(f"{host}:{port} cannot be listened on: {error.strerror}", fix=fix) from None
    return bound


def _is_loopback(address: str) -> bool:
    return address == "::1" or address.startswith("127.")


def _server(config: uvicorn.Config) -> uvicorn.Server:
    import uvicorn

    class Server(uvicorn.Server):
        """A server that ends the runs before it waits for connections, which wait for the runs."""

        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            guard = threading.Timer(EXIT_S, os._exit, [1])  # the journal is whole at any moment
            guard.daemon = True
            guard.start()
            await self.config.app.state.hub.close()  # type: ignore[union-attr]
            await super().shutdown(sockets)

        @contextmanager
        def capture_signals(self) -> Generator[None, None, None]:
            """Take the signals to end as what they are, and not once more when all is done, as uvicorn would."""
            signals = (signal.SIGINT, signal.SIGTERM)
            before = {number: signal.signal(number, self.handle_exit) for number in signals}
            try:
                yield
            finally:
                for number, handler in before.items():
                    signal.signal(number, handler)

    return Server(config)
