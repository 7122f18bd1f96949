"""`tinyagent doctor`: whether everything is there that a request needs, and how to mend what is not.

Looks at the settings, the tools, the models, the data folder and the journal; with the backend "desktop" also at the accounts at servers
that the settings name, by logging in and asking what is there; with the backend "macos" also at osascript and at each app's
permission to be controlled, by asking it something harmless, which is when macOS asks the person. It changes nothing.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipeline.cli import json_option
from pipeline.config import Config, config_path
from pipeline.errors import ConfigError, TinyAgentError

if TYPE_CHECKING:
    from pipeline.tools.desktop.accounts import CalendarAccount, ContactsAccount, MailAccount

#: The app of macOS behind the tools of each of ours, which are called as in the specs.
MAC_APPS = {
    "calendar": "Calendar",
    "contacts": "Contacts",
    "files": "Finder",
    "mail": "Mail",
    "messages": "Messages",
    "notes": "Notes",
    "reminders": "Reminders",
}


_Settings = Mapping[str, Mapping[str, Any]]  # by app


@dataclass(frozen=True, slots=True)
class Check:
    """What was found out about one thing that is needed."""

    name: str
    ok: bool
    what: str  # it is, or what is wrong with it, in one line
    fix: str | None = None


@click.command()
@click.option("--config", "config_file", type=click.Path(path_type=Path), help="Settings file to read.")
@click.option("--data-dir", type=click.Path(path_type=Path, file_okay=False), help="Where your data is kept.")
@json_option
def doctor(config_file: Path | None, data_dir: Path | None, as_json: bool) -> int:
    """Check whether everything is there that a request needs, and say how to mend what is not.

    Accounts that the settings name are logged in to. With the backend "macos", each app is asked something harmless: macOS may ask you
    to allow it.
    """
    checks: list[Check] = []
    for check in examine(config_file, data_dir):
        checks.append(check)
        if not as_json:
            click.echo(f"{'✓' if check.ok else '✗'} {check.name}: {check.what}")
            if check.fix:
                click.echo(f"    To mend it: {check.fix}")
    if as_json:
        click.echo(json.dumps([asdict(check) for check in checks], ensure_ascii=False, indent=2))
    return 0 if all(check.ok for check in checks) else 1


def examine(config_file: Path | None = None, data_dir: Path | None = None) -> Iterator[Check]:
    """Yield what is found, each as soon as it is; where the settings are wrong, only that."""
    path = config_file or config_path()
    try:
        config = Config.load(config_file)
    except TinyAgentError as error:
        yield _failed("settings", error)
        return
    yield Check("settings", True, str(path) if path.exists() else f"the defaults, for there are none at {path}")
    if data_dir is not None:
        config = config.model_copy(update={"data_dir": data_dir})
    yield _checked("tools", lambda: _tools(config))
    yield _checked("planner", lambda: _planner(config))
    if config.selection.route == "auto":
        yield _checked("classifier", _classifier)
    if config.selection.route != "all":
        yield _checked("encoder", _encoder)
    yield _checked("data folder", lambda: _data_folder(config.data_dir))
    yield _checked("journal", lambda: _journal(config.data_dir))
    yield from _mac(config) if config.backend == "macos" else _accounts(config)


def _checked(name: str, look: Callable[[], str]) -> Check:
    try:
        return Check(name, True, look())
    except TinyAgentError as error:
        return _failed(name, error)


def _failed(name: str, error: TinyAgentError) -> Check:
    return Check(name, False, error.message, error.fix)


def _tools(config: Config) -> str:
    tools = config.catalogue()
    if not tools:
        raise ConfigError("all tools are switched off", fix="mend enabled_apps and disabled_apps")
    return f"{len(tools)}, of the apps {', '.join(sorted({spec.app for spec in tools.values()}))}"


def _planner(config: Config) -> str:
    from pipeline.models import DEFAULT, ModelError, adapter_path, locate, registry, verify

    settings = config.planner
    if settings.kind == "openai":
        return f"{settings.model} at {settings.base_url}, which was not asked"
    known = registry(config.models)
    if settings.model not in known:
        return f"the file {_file(Path(settings.model).expanduser(), 'planner.model')}"
    model = known[settings.model]
    path = locate(model)
    if path is None:
        raise ModelError(f"{model.name} is not here", fix=f"'tinyagent models pull {model.name}' fetches it")
    verify(path, model)
    if settings.adapter not in ("", "auto"):
        adapter: Path | None = _file(Path(settings.adapter).expanduser(), "planner.adapter")
    else:
        adapter = adapter_path() if settings.adapter and model.name == DEFAULT else None
        if adapter is None and settings.adapter and model.name == DEFAULT:
            raise ModelError(f"{model.name} has no adapter here", fix="reinstall tinyagent-edge")
    return f"{model.name}{f' with {adapter.name}' if adapter else ''}, {path}"


def _file(path: Path, setting: str) -> Path:
    if not path.is_file():
        raise ConfigError(f"there is no file {path}", fix=f"correct {setting}: a model's name, or a GGUF file")
    return path


def _classifier() -> str:
    from classifiers.inference import ToolClassifier

    classifier = ToolClassifier.load()
    classifier("text Priya that I'm late")
    return f"knows {len(classifier.labels)} tools"


def _encoder() -> str:
    from index import Embedder

    return f"all-MiniLM-L6-v2, {Embedder().digest[:12]}"


def _data_folder(data_dir: Path) -> str:
    """Write a file to the folder, or see whether it could be made, and leave nothing."""
    there = data_dir
    while not there.exists() and there != there.parent:
        there = there.parent
    try:
        if there == data_dir:
            tempfile.TemporaryFile(dir=data_dir).close()
            return str(data_dir)
    except OSError as error:
        raise ConfigError(
            f"{data_dir} cannot be written to: {error.strerror}",
            fix="give yourself the right to, or set another data_dir",
        ) from error
    if not (there.is_dir() and os.access(there, os.W_OK)):
        raise ConfigError(f"{data_dir} cannot be made in {there}", fix="set another data_dir")
    return f"{data_dir}, which is made when it is first written to, or by 'tinyagent init'"


def _journal(data_dir: Path) -> str:
    from pipeline.journal import FILE, Journal

    if not (data_dir / FILE).exists():
        return "nothing has been run yet"
    journal = Journal.of(data_dir)
    try:
        return "; ".join(f"the last run is {run.id}, {run.status}" for run in journal.runs(1)) or "no runs"
    finally:
        journal.close()


def _accounts(config: Config) -> Iterator[Check]:
    """Check each account at a server that the settings name and whose tools are in use."""
    from pipeline.tools.desktop.accounts import calendar_account, contacts_account, mail_account

    places: tuple[tuple[str, str, str, Callable[[_Settings], Any], Callable[[Any], str]], ...] = (
        ("mail", "imap", "mail by IMAP", mail_account, _imap),
        ("mail", "smtp", "mail by SMTP", mail_account, _smtp),
        (
            "calendar",
            "caldav",
            "calendar by CalDAV",
            partial(calendar_account, app="calendar"),
            partial(_caldav, "VEVENT"),
        ),
        (
            "reminders",
            "caldav",
            "reminders by CalDAV",
            partial(calendar_account, app="reminders"),
            partial(_caldav, "VTODO"),
        ),
        ("contacts", "carddav", "contacts by CardDAV", contacts_account, _carddav),
    )
    used = _apps(config)
    for app, setting, name, read, look in places:
        if app in used and setting in config.apps.get(app, {}):
            yield _checked(name, partial(_account, config, read, look))


def _account(config: Config, read: Callable[[_Settings], Any], look: Callable[[Any], str]) -> str:
    """Return what is found in an account; that its settings are wrong is found here as well."""
    return look(read(config.apps))


def _imap(account: MailAccount) -> str:
    from pipeline.tools.desktop import imap

    with imap.opened(account) as mailbox:
        return f"logged in as {account.user}; drafts go into {mailbox.drafts(make=False)}"


def _smtp(account: MailAccount) -> str:
    from pipeline.tools.desktop import smtp

    with smtp.connected(account):
        how = "mails are sent at once" if account.send else "not used: without send = true mails are drafted"
        return f"logged in as {account.user or 'nobody'}; {how}"


def _caldav(component: str, account: CalendarAccount) -> str:
    from pipeline.tools.desktop import caldav

    zone = caldav.zone_of(account)
    found = caldav.calendars(account, component)
    return f"{', '.join(found) or 'no calendar that takes them'}; times are in {zone or 'UTC'}"


def _carddav(account: ContactsAccount) -> str:
    from pipeline.tools.desktop import carddav

    return f"{len(carddav.cards(account))} cards"


def _apps(config: Config) -> set[str]:
    """Return the apps whose tools are in use."""
    try:
        return {spec.app for spec in config.catalogue().values()}
    except TinyAgentError:  # the check of the tools has told
        return set(MAC_APPS)


def _mac(config: Config) -> Iterator[Check]:
    """Check osascript and, if it is there, the permission to control each app whose tools are in use."""
    from datetime import datetime

    from pipeline.agents import PlainWriter
    from pipeline.tools.context import ToolContext
    from pipeline.tools.macos.osascript import Script, ask, program

    found = _checked("osascript", program)
    yield found
    if not found.ok:
        return
    ctx = ToolContext(config.data_dir, datetime.now(), "", PlainWriter(), config.apps)

    def asked(app: str) -> str:
        ask(ctx, Script(f"check_{app.lower()}", app))
        return f"this program may control {app}"

    apps = _apps(config)
    for name, app in MAC_APPS.items():
        if name in apps:
            yield _checked(f"the app {app}", partial(asked, app))
