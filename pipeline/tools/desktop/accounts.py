"""Accounts at servers: what the settings say of one, its password, and what a failed connection means.

The apps mail, calendar, reminders and contacts keep the user's data in files, unless `[apps.<app>]` in the settings names a server. A
password is never in the settings: it is read when it is needed, from an environment variable, a file or a program such as the system's
keyring, and stands in no error, log or journal. Connections are encrypted and the server's certificate is checked; without is only for
servers on this machine.
"""

from __future__ import annotations

import os
import socket
import ssl
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from pipeline.errors import ConfigError, did_you_mean
from pipeline.tools.context import Unavailable, Unreachable

COMMAND_S = 25.0  # that the program which knows the password may take
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


def _one_line(text: str) -> str:
    if not text.isprintable() or not text.strip():
        raise ValueError("must be text on one line")
    return text


Line = Annotated[str, AfterValidator(_one_line)]
UserPath = Annotated[Path, AfterValidator(Path.expanduser)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class Account(_Section):
    """Who logs in, and how the server is trusted."""

    user: Line | None = None
    password_env: Line | None = None  # an environment variable that holds the password
    password_file: UserPath | None = None  # a file whose first line it is
    password_command: Annotated[tuple[str, ...], Field(min_length=1)] | None = None  # a program that prints it
    ca_file: UserPath | None = None  # certificates (PEM) to trust beside the system's, for a server of one's own
    timeout: Annotated[float, Field(gt=0)] = 20.0  # seconds, for each answer of the server

    @model_validator(mode="after")
    def _one_password(self) -> Self:
        given = sum(source is not None for source in (self.password_env, self.password_file, self.password_command))
        if self.user is not None and given != 1:
            raise ValueError("with a user goes one of password_env, password_file and password_command")
        if self.user is None and given:
            raise ValueError("a password needs a user")
        return self


class Server(_Section):
    """Where a mail server is."""

    host: Line
    port: Annotated[int, Field(gt=0, lt=65536)] | None = None  # the usual one if left out
    security: Literal["tls", "starttls", "none"] = "tls"

    @model_validator(mode="after")
    def _secure(self) -> Self:
        if self.security == "none" and self.host not in LOOPBACK:
            raise ValueError('security = "none" is for servers on this machine only')
        return self


def _server(value: object) -> object:
    return {"host": value} if isinstance(value, str) else value


class MailAccount(Account):
    """`[apps.mail]`: an account by IMAP (RFC 9051) and SMTP (RFC 5321)."""

    sender: Annotated[str, Field(alias="from")] = ""
    imap: Annotated[Server | None, BeforeValidator(_server)] = None
    smtp: Annotated[Server | None, BeforeValidator(_server)] = None
    send: bool = False  # whether mails are sent at once; else they are drafts
    drafts: Line | None = None  # the folder of drafts; the one that the server marks so if left out
    sent: Line | None = None  # likewise
    save_sent: bool = True  # whether what is sent is put into that folder; some servers do it by themselves

    @model_validator(mode="after")
    def _can_send(self) -> Self:
        if self.send and self.smtp is None:
            raise ValueError("send = true needs smtp")
        return self


def _collection_url(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in LOOPBACK):
        raise ValueError("must be an https URL, or one of a server on this machine")
    if parts.username or parts.password:
        raise ValueError("must not hold a user or password; set user and password_command")
    return url


DavUrl = Annotated[str, AfterValidator(_collection_url)]


class CalendarAccount(Account):
    """`[apps.calendar]` and `[apps.reminders]`: calendars by CalDAV (RFC 4791)."""

    caldav: DavUrl
    default: str = ""  # the calendar or list that is meant where none is said; the first one if left out
    timezone: Line | None = None  # such as "Europe/Lisbon"; this machine's if left out


class ContactsAccount(Account):
    """`[apps.contacts]`: address books by CardDAV (RFC 6352)."""

    carddav: DavUrl


_A = TypeVar("_A", bound=Account)


def mail_account(settings: Mapping[str, Mapping[str, Any]]) -> MailAccount | None:
    """Return the mail account that the settings name, if they do.

    Raises:
        ConfigError: What they say of it is wrong.
    """
    found = settings.get("mail", {})
    return _read(MailAccount, "mail", found) if found.keys() & {"imap", "smtp"} else None


def calendar_account(settings: Mapping[str, Mapping[str, Any]], app: str) -> CalendarAccount | None:
    """Return the account that keeps the calendars ("calendar") or the lists ("reminders"), if one does.

    Raises:
        ConfigError: What the settings say of it is wrong.
    """
    found = settings.get(app, {})
    return _read(CalendarAccount, app, found) if "caldav" in found else None


def contacts_account(settings: Mapping[str, Mapping[str, Any]]) -> ContactsAccount | None:
    """Return the account that keeps the contacts, if one does.

    Raises:
        ConfigError: What the settings say of it is wrong.
    """
    found = settings.get("contacts", {})
    return _read(ContactsAccount, "contacts", found) if "carddav" in found else None


def _read(kind: type[_A], app: str, settings: Mapping[str, Any]) -> _A:
    try:
        return kind.model_validate(dict(settings))
    except ValidationError as error:
        first = error.errors()[0]
    name = ".".join(("apps", app, *(str(part) for part in first["loc"])))
    if first["type"] == "extra_forbidden":
        section = Server if len(first["loc"]) > 1 else kind
        known = [field.alias or name for name, field in section.model_fields.items()]
        fix = f"the settings are {', '.join(known)}"
        if first["loc"][-1] == "password":
            fix = (
                "a password does not belong there: name a program that prints it in password_command, or a password_env"
            )
        raise ConfigError(f"{name} is not a setting", fix=did_you_mean(str(first["loc"][-1]), known, fix))
    raise ConfigError(f"{name}: {first['msg'].removeprefix('Value error, ')}", fix="mend it in config.toml")


def password(account: Account) -> str:
    """Return the password of an account that has a user.

    Raises:
        Unavailable: It cannot be had. The error does not tell what was read.
    """
    if account.password_env is not None:
        found = os.environ.get(account.password_env, "")
        where, fix = f"the environment variable {account.password_env}", "set it before you start"
    elif account.password_file is not None:
        where, fix = f"the first line of {account.password_file}", "put it there, readable by you alone"
        try:
            found = account.password_file.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise Unavailable(
                f"the password cannot be read from {account.password_file}: {_why(error)}", fix=fix
            ) from None
    else:
        command = [os.path.expanduser(word) for word in account.password_command or ()]
        where, fix = f"what {command[0]!r} prints", "see what it says when you run it yourself"
        try:
            done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=COMMAND_S)
        except (OSError, ValueError, subprocess.TimeoutExpired) as error:
            raise Unavailable(f"{command[0]!r}, which knows the password, failed: {_why(error)}", fix=fix) from None
        if done.returncode:
            raise Unavailable(f"{command[0]!r}, which knows the password, ended with status {done.returncode}", fix=fix)
        found = done.stdout.decode("utf-8", "replace")
    line = next(iter(found.splitlines()), "")
    if not line:
        raise Unavailable(f"there is no password for {account.user}: {where} is empty", fix=fix)
    return line


def _why(error: Exception) -> str:
    if isinstance(error, subprocess.TimeoutExpired):
        return f"it took longer than {COMMAND_S:.0f} s"
    return (error.strerror if isinstance(error, OSError) else None) or type(error).__name__


def tls(account: Account) -> ssl.SSLContext:
    """Return how the account's server is trusted: by the system's certificates and those of `ca_file`.

    Raises:
        ConfigError: `ca_file` cannot be read.
    """
    context = ssl.create_default_context()
    if account.ca_file is not None:
        try:
            context.load_verify_locations(account.ca_file)
        except OSError as error:  # of which ssl.SSLError is one
            raise ConfigError(
                f"no certificates can be read from {account.ca_file}: {error.strerror or error}",
                fix="ca_file is a file of certificates in PEM",
            ) from None
    return context


def login_refused(host: str, account: Account) -> Unavailable:
    """Return the error of a server that takes the user or the password for wrong."""
    return Unavailable(
        f"{host} refuses the user {account.user} or the password",
        fix="check both; with two-factor authentication, make an app password on the provider's page",
    )


@contextmanager
def connecting(host: str, port: int, timeout: float) -> Iterator[None]:
    """Turn what goes wrong with a connection into an error that says what it means and how to mend it.

    For as long as nothing was asked of the server that changes something.

    Raises:
        Unreachable: The server does not answer, for now.
        Unavailable: It is not to be trusted, or does not speak this.
    """
    try:
        yield
    except OSError as error:
        raise broken(error, host, port, timeout) from error


def broken(error: BaseException, host: str, port: int, timeout: float) -> Unavailable:
    """Return what an error of a connection means (see `connecting`)."""
    at = f"{host}, port {port}"
    network = "check the network, and the server's name and port in the settings"
    match error:
        case ssl.SSLCertVerificationError():
            return Unavailable(
                f"the certificate of {at} is not trusted: {error.verify_message}",
                fix="check that this is your server's name; if it is your own server, set ca_file to its certificate",
            )
        case ssl.SSLError():
            return Unavailable(
                f"no encrypted connection to {at}: {error.reason or error}",
                fix='check the port, and whether the server wants security = "starttls"',
            )
        case socket.gaierror():
            return Unreachable(f"there is no host {host}: {error.strerror}", fix=network)
        case TimeoutError():
            return Unreachable(f"{at} did not answer within {timeout:g} s", fix=network)
        case ConnectionRefusedError():
            return Unreachable(f"{at} refuses the connection", fix=network)
        case OSError():
            return Unreachable(
                f"the connection to {at} broke off: {error.strerror or type(error).__name__}", fix=network
            )
        case _:
            return Unreachable(f"{at} does not answer as it should: {type(error).__name__}", fix=network)
