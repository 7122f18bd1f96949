"""Accounts at servers as a whole: settings, passwords, connections that fail, a request carried out in them, doctor and undo."""

from __future__ import annotations

import json
import logging
import sqlite3
import ssl
import sys
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import trustme
from click.testing import CliRunner
from imap_tools import MailBox
from local_servers import HOST, PASSWORD, USER, Breaking, Imap, Loop, Radicale, Smtp, authority, server_tls
from test_dav_account import Reader, card
from test_journal import Scripted
from vdirsyncer.storage.dav import CardDAVStorage

from pipeline import Config, Pipeline, approve_all
from pipeline.config import SelectionConfig
from pipeline.doctor import examine
from pipeline.errors import ConfigError, MissingExtra, TinyAgentError
from pipeline.journal import FILE, Journal
from pipeline.runs import runs
from pipeline.tools.context import Change, InDoubt, Unavailable, Unreachable
from pipeline.tools.desktop import imap, smtp
from pipeline.tools.desktop.accounts import MailAccount, calendar_account, contacts_account, mail_account, password

pytestmark = pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS:UserWarning")

NOW = datetime(2026, 5, 13, 9, 30)


@pytest.fixture(scope="module")
def loop() -> Iterator[Loop]:
    loop = Loop()
    yield loop
    loop.close()


@pytest.fixture(scope="module")
def ca() -> trustme.CA:
    return authority()


@pytest.fixture
def login(ca: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What all accounts have in common."""
    trusted = tmp_path / "ca.pem"
    ca.cert_pem.write_to_path(str(trusted))
    monkeypatch.setenv("THE_PASSWORD", PASSWORD)
    return {"user": USER, "password_env": "THE_PASSWORD", "ca_file": str(trusted), "timeout": 10}


# ── settings ─────────────────────────────────────────────────────────────────────────────────────────


def test_without_a_server_there_is_no_account() -> None:
    settings: dict[str, dict[str, Any]] = {
        "mail": {"from": "me@example.org"},
        "calendar": {"default": "Home"},
        "contacts": {},
    }
    assert mail_account(settings) is None
    assert calendar_account(settings, "calendar") is None
    assert contacts_account(settings) is None


def test_a_server_may_be_just_its_name() -> None:
    account = mail_account({"mail": {"imap": "imap.example.org", "user": "me", "password_env": "P"}})
    assert account and account.imap
    assert (account.imap.host, account.imap.port, account.imap.security) == ("imap.example.org", None, "tls")


PASSWORD_SET = {"user": "me", "password_env": "P"}


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"imap": "x", "user": "me", "password": "hunter2"}, "apps.mail.password is not a setting"),
        ({"imap": {"host": "x", "prot": 1}, **PASSWORD_SET}, "apps.mail.imap.prot is not a setting"),
        ({"imap": "x", "user": "me"}, "one of password_env, password_file and password_command"),
        (
            {"imap": "x", "password_file": "f", **PASSWORD_SET},
            "one of password_env, password_file and password_command",
        ),
        ({"imap": "x", "password_env": "P"}, "a password needs a user"),
        ({"imap": "x", "user": "me", "password_command": []}, "apps.mail.password_command"),
        ({"imap": "x", "user": "me", "password_command": "pass show mail"}, "apps.mail.password_command"),
        ({"imap": "x\r\nA1 LOGOUT", **PASSWORD_SET}, "text on one line"),
        ({"imap": "x", "user": "me\r\n", "password_env": "P"}, "text on one line"),
        ({"imap": "x", "drafts": "a\nb", **PASSWORD_SET}, "text on one line"),
        ({"imap": {"host": "mail.example.org", "security": "none"}, **PASSWORD_SET}, "on this machine only"),
        ({"imap": {"host": "x", "port": 0}, **PASSWORD_SET}, "apps.mail.imap.port"),
        ({"imap": "x", "send": True, **PASSWORD_SET}, "send = true needs smtp"),
        ({"imap": "x", "timeout": 0, **PASSWORD_SET}, "apps.mail.timeout"),
    ],
)
def test_a_wrong_setting_is_named(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        mail_account({"mail": settings})
    assert caught.value.fix
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["http://dav.example.org/", "ftp://x/", "dav.example.org", "https://me:secret@dav.example.org/"]
)
def test_a_url_that_would_show_the_password(url: str) -> None:
    for read in (
        lambda: calendar_account({"calendar": {"caldav": url}}, "calendar"),
        lambda: contacts_account({"contacts": {"carddav": url}}),
    ):
        with pytest.raises(ConfigError, match="must") as caught:
            read()
        assert "secret" not in str(caught.value)


# ── passwords ────────────────────────────────────────────────────────────────────────────────────────


def with_password(**source: Any) -> MailAccount:
    account = mail_account({"mail": {"imap": "x", "user": "me", **source}})
    assert account
    return account


def test_where_a_password_may_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("P", "of the environment")
    assert password(with_password(password_env="P")) == "of the environment"
    path = tmp_path / "secret"
    path.write_text("of the file\nnot this\n")
    assert password(with_password(password_file=str(path))) == "of the file"
    printing = [
        sys.executable,
        "-c",
        "import sys; print('of the ' + sys.argv[1])",
        "$(program); ü",
    ]  # no shell reads it
    assert password(with_password(password_command=printing)) == "of the $(program); ü"


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ({"password_env": "NOT_SET_ANYWHERE"}, "the environment variable NOT_SET_ANYWHERE is empty"),
        ({"password_file": "/nowhere/secret"}, "cannot be read from /nowhere/secret: No such file"),
        (
            {"password_command": ["no-such-program-here"]},
            "'no-such-program-here', which knows the password, failed: No such file",
        ),
        ({"password_command": [sys.executable, "-c", "print('hunter2'); raise SystemExit(3)"]}, "ended with status 3"),
        ({"password_command": [sys.executable, "-c", ""]}, "is empty"),
        ({"password_command": [sys.executable, "-c", "\0"]}, "failed: ValueError"),
    ],
)
def test_a_password_that_cannot_be_had(source: dict[str, Any], said: str) -> None:
    with pytest.raises(Unavailable, match=said) as caught:
        password(with_password(**source))
    assert caught.value.fix
    assert "hunter2" not in str(caught.value)


def test_a_program_that_hangs_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.tools.desktop.accounts.COMMAND_S", 0.2)
    with pytest.raises(Unavailable, match="took longer"):
        password(with_password(password_command=[sys.executable, "-c", "import time; time.sleep(60)"]))


# ── connections ──────────────────────────────────────────────────────────────────────────────────────


def read(account: MailAccount) -> None:
    with imap.opened(account) as mailbox:
        mailbox.drafts(make=False)


def hello(account: MailAccount) -> None:
    with smtp.connected(account):
        pass


def account_at(
    login: Mapping[str, Any], port: int, security: str = "tls", host: str = HOST, **changes: Any
) -> MailAccount:
    server = {"host": host, "port": port, "security": security}
    account = mail_account({"mail": {"imap": server, "smtp": server, **login, **changes}})
    assert account
    return account


@pytest.mark.parametrize(("kind", "use"), [(Imap, read), (Smtp, hello)])
def test_both_ways_of_encryption(
    kind: Any, use: Any, loop: Loop, ca: trustme.CA, login: dict[str, Any], start: Any
) -> None:
    use(account_at(login, start(kind(loop, tls=server_tls(ca))).port))
    starttls = start(kind(loop, starttls=server_tls(ca)))
    use(account_at(login, starttls.port, "starttls"))
    plain = start(kind(loop))
    use(account_at(login, plain.port, "none"))
    with pytest.raises(Unavailable, match="STARTTLS"):  # and never goes on without
        use(account_at(login, plain.port, "starttls"))
    with pytest.raises(Unavailable, match="no encrypted connection to") as caught:
        use(account_at(login, starttls.port, "tls"))
    assert 'security = "starttls"' in str(caught.value.fix)


@pytest.mark.parametrize(("kind", "use"), [(Imap, read), (Smtp, hello)])
@pytest.mark.parametrize("security", ["tls", "starttls"])
def test_a_certificate_is_checked(
    kind: Any, use: Any, security: str, loop: Loop, ca: trustme.CA, login: dict[str, Any], start: Any
) -> None:
    server = start(kind(loop, **{security: server_tls(ca)}))
    nobody_knows_it = {name: value for name, value in login.items() if name != "ca_file"}
    with pytest.raises(Unavailable, match=r"certificate .* is not trusted") as caught:
        use(account_at(nobody_knows_it, server.port, security))
    assert "ca_file" in str(caught.value.fix)
    with pytest.raises(Unavailable, match=r"certificate .* is not trusted: .*localhost"):  # it is another's
        use(account_at(login, server.port, security, host="localhost"))


@pytest.mark.parametrize(("kind", "use"), [(Imap, read), (Smtp, hello)])
def test_a_wrong_password_is_told_and_stands_nowhere(
    kind: Any,
    use: Any,
    loop: Loop,
    ca: trustme.CA,
    login: dict[str, Any],
    start: Any,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("THE_PASSWORD", "hunter2hunter2")
    server = start(kind(loop, tls=server_tls(ca)))
    with pytest.raises(Unavailable, match=f"refuses the user {USER} or the password") as caught:
        use(account_at(login, server.port))
    assert "app password" in str(caught.value.fix)
    logged = "\n".join(
        record.getMessage() for record in caplog.records if not record.name.startswith(("mail.log", "pymap"))
    )  # the servers' own
    assert "hunter2" not in f"{caught.value} {logged}"
    assert "aHVudGVyM" not in logged  # in base64


@pytest.mark.parametrize("use", [read, hello])
def test_nobody_answers(use: Any, login: dict[str, Any]) -> None:
    with pytest.raises(Unreachable, match="port 9 refuses the connection"):
        use(account_at(login, 9, "none"))


@pytest.mark.parametrize("use", [read, hello])
@pytest.mark.parametrize(
    ("greeting", "answer", "error", "said"),
    [
        (b"", None, Unreachable, "broke off|did not answer"),  # hangs up at the first word, or nobody speaks first
        (
            b"hello, I am no mail server\r\n",
            b"what?\r\n",
            Unavailable,
            "broke off|does not take us|refused|does not speak",
        ),
        (
            b"\xff\xfe\x00" * 100 + b"\r\n",
            b"\xff\r\n",
            Unavailable,
            "broke off|does not take us|refused|does not speak",
        ),
        (b"* OK x\r\n", None, Unavailable, "broke off|does not take us|refused"),  # hangs up at the first command
        (b"220 x\r\n", None, Unavailable, "broke off|refused"),
        (b"* OK x\r\n", b"* LIST (\\Drafts (\r\nA BAD\r\n", Unavailable, "."),
        (b"220 x\r\n", b"500 what\r\n", Unavailable, "."),
        (b"220 x\r\n", b"250-" + b"x" * 20_000 + b"\r\n", Unavailable, "."),
    ],
)
def test_a_server_that_is_none(
    use: Any,
    login: dict[str, Any],
    start: Any,
    greeting: bytes,
    answer: bytes | None,
    error: type[TinyAgentError],
    said: str,
) -> None:
    server = start(Breaking(greeting, lambda line: answer))
    with pytest.raises(error, match=said):
        use(account_at(login, server.port, "none", timeout=0.5))


DIALOGUE = {
    b"CAPABILITY": b"* CAPABILITY IMAP4rev1 AUTH=PLAIN\r\n",
    b"EXAMINE": b"* OK [UIDVALIDITY 7] x\r\n* 0 EXISTS\r\n",
    b"UID SEARCH": b"* SEARCH\r\n",
}


@pytest.mark.parametrize("at", [b"SELECT", b"EXAMINE", b"SEARCH", b"APPEND"])
def test_an_imap_server_that_hangs_up_in_mid_command(login: dict[str, Any], start: Any, at: bytes) -> None:
    """Only where it was handed the draft may it have taken it."""

    waiting: list[bytes] = []  # the tag of a login

    def answer(line: bytes) -> bytes | None:
        if at in line:
            return None
        tag, _, command = line.strip().partition(b" ")
        if command.startswith(b"AUTHENTICATE"):
            waiting.append(tag)
            return b"+ \r\n"
        if waiting:
            return waiting.pop() + b" OK in\r\n"
        data = next((said for start, said in DIALOGUE.items() if command.startswith(start)), b"")
        return data + tag + b" OK done\r\n"

    server = start(Breaking(b"* OK ready\r\n", answer))
    account = account_at(login, server.port, "none", drafts="Drafts", timeout=5)
    if at == b"SELECT":
        change = Change(Path(), True, digest="7.1 <a@b>", account="mail", place="Drafts")
        with pytest.raises(Unreachable, match="broke off"), imap.opened(account) as mailbox:
            mailbox.remove(change)
        return
    with pytest.raises(InDoubt if at == b"APPEND" else Unreachable), imap.opened(account) as mailbox:
        mailbox.put("Drafts", b"Subject: x\r\n\r\nx\r\n", "<a@b>", draft=True)


def test_the_package_that_is_needed_is_named(login: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "imapclient", None)
    with pytest.raises(MissingExtra) as caught:
        read(account_at(login, 9, "none"))
    assert caught.value.fix == "pip install 'tinyagent-edge[mail]'"


def test_certificates_that_are_none(login: dict[str, Any], tmp_path: Path) -> None:
    for content in (None, "no certificate"):
        path = tmp_path / "other.pem"
        if content:
            path.write_text(content)
        with pytest.raises(ConfigError, match="no certificates can be read from"):
            read(account_at(login, 9, ca_file=str(path)))


# ── a request carried out in accounts ────────────────────────────────────────────────────────────────

PLAN = """\
1. compose_new_email(["Zoë"], subject="Kick-off")
2. create_calendar_event("Kick-off", "tomorrow at 10", invitees=["Zoë"])
3. create_reminder("call Zoë", due_date="tomorrow")
4. join()"""


@pytest.fixture
def apps(loop: Loop, ca: trustme.CA, login: dict[str, Any], start: Any, tmp_path: Path) -> dict[str, dict[str, Any]]:
    """Accounts for everything, with one contact."""
    mails = start(Imap(loop, {"Drafts": "Drafts"}, tls=server_tls(ca)))
    sends = start(Smtp(loop, tls=server_tls(ca)))
    groupware = start(Radicale(tmp_path / "radicale"))
    other = Reader(groupware.url)
    other.upload(
        CardDAVStorage, other.make(CardDAVStorage, "people"), card("Zoë Quinn", "555-0106", "EMAIL:zoe@example.com")
    )
    return {
        "mail": {"imap": {"host": HOST, "port": mails.port}, "smtp": {"host": HOST, "port": sends.port}, **login},
        "calendar": {"caldav": groupware.url, "timezone": "Europe/Lisbon", **login},
        "reminders": {"caldav": groupware.url, "timezone": "Europe/Lisbon", **login},
        "contacts": {"carddav": groupware.url, **login},
    }


def left(apps: dict[str, dict[str, Any]]) -> tuple[list[str], list[str], list[str]]:
    """Return the drafts, events and reminders in the accounts."""
    mail = apps["mail"]
    context = ssl.create_default_context(cafile=mail["ca_file"])
    with MailBox(HOST, mail["imap"]["port"], ssl_context=context).login_utf8(USER, PASSWORD) as box:
        box.folder.set("Drafts")
        drafts = [f"{message.subject} to {message.to[0]}" for message in box.fetch()]
    other = Reader(apps["calendar"]["caldav"])
    events, todos = (
        [str(found["summary"]) for place in other.components(kind).values() for found in place]
        for kind in ("VEVENT", "VTODO")
    )
    return drafts, events, todos


def test_a_request_is_carried_out_in_the_accounts_and_taken_back(
    apps: dict[str, dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data_dir = tmp_path / "data"
    config = Config(data_dir=data_dir, selection=SelectionConfig(route="all"), apps=apps)
    pipeline = Pipeline(config, planner=Scripted(PLAN))
    result = pipeline.run("mail Zoë, plan the kick-off and remind me to call her", NOW, approve=approve_all)
    assert result.answer.complete, result.answer.text
    assert left(apps) == (["Kick-off to zoe@example.com"], ["Kick-off"], ["call Zoë"])
    assert {path.name for path in data_dir.iterdir()} <= {".tinyagent", ".lock"}  # nothing of it is in files
    everything = b"".join(path.read_bytes() for path in (data_dir / ".tinyagent").iterdir() if path.is_file())
    assert PASSWORD.encode() not in everything and b"THE_PASSWORD" not in everything

    settings = tmp_path / "config.toml"
    settings.write_text("\n".join(f"[apps.{app}]\n" + _toml(values) for app, values in apps.items()), encoding="utf-8")
    monkeypatch.setenv("TINYAGENT_CONFIG", str(settings))
    undone = CliRunner().invoke(
        runs, ["undo", "--json", "--data-dir", str(data_dir)], standalone_mode=False, catch_exceptions=False
    )
    assert undone.return_value == 0, undone.stdout
    assert {change["step"]: change["done"] for change in json.loads(undone.stdout)["changes"]} == {
        2: True,
        3: True,
        4: True,
    }
    assert left(apps) == ([], [], [])


def _toml(values: dict[str, Any]) -> str:
    def item(value: Any) -> str:
        if isinstance(value, dict):
            return "{" + ", ".join(f"{name} = {item(inner)}" for name, inner in value.items()) + "}"
        return json.dumps(value)

    return "".join(f"{name} = {item(value)}\n" for name, value in values.items())


def test_a_journal_that_knew_no_accounts_is_gone_on_with(tmp_path: Path) -> None:
    path = tmp_path / FILE
    path.parent.mkdir(parents=True)
    old = sqlite3.connect(path)
    old.executescript(
        """CREATE TABLE runs (id TEXT PRIMARY KEY, request TEXT NOT NULL, now TEXT NOT NULL, begun TEXT NOT NULL,
               status TEXT NOT NULL DEFAULT 'running', answer TEXT NOT NULL DEFAULT '');
           CREATE TABLE changes (
               run TEXT NOT NULL REFERENCES runs, attempt INTEGER NOT NULL, number INTEGER NOT NULL, path BLOB NOT NULL,
               created INTEGER NOT NULL, removed BLOB NOT NULL, inserted BLOB NOT NULL, before BLOB NOT NULL, digest TEXT NOT NULL,
               undone INTEGER NOT NULL DEFAULT 0);
           INSERT INTO runs VALUES ('run-1', 'r', '2026-05-13T09:30:00', '2026-05-13T09:30:00', 'done', '');
           INSERT INTO changes VALUES ('run-1', 0, 1, CAST('/x/a.md' AS BLOB), 1, x'', x'', x'', 'd', 0);
           PRAGMA user_version = 1;"""
    )
    old.close()
    journal = Journal(path)
    assert [change for _, change, _ in journal.changes("run-1")] == [Change(Path("/x/a.md"), True, digest="d")]
    journal.close()
    again = Journal(path)
    assert len(again.changes("run-1")) == 1
    again.close()


# ── doctor ───────────────────────────────────────────────────────────────────────────────────────────


def found(apps: dict[str, dict[str, Any]], tmp_path: Path, **more: str) -> dict[str, tuple[bool, str, str | None]]:
    path = tmp_path / "config.toml"
    head = "".join(f"{name} = {value}\n" for name, value in more.items())
    path.write_text(
        head + "\n".join(f"[apps.{app}]\n" + _toml(values) for app, values in apps.items()), encoding="utf-8"
    )
    return {
        check.name: (check.ok, check.what, check.fix)
        for check in examine(path, tmp_path / "data")
        if " by " in check.name
    }


def test_doctor_tells_that_accounts_are_well(apps: dict[str, dict[str, Any]], tmp_path: Path) -> None:
    Reader(apps["calendar"]["caldav"]).make(CardDAVStorage, "more")
    apps["mail"]["send"] = True
    checks = found(apps, tmp_path)
    assert checks["mail by IMAP"] == (True, f"logged in as {USER}; drafts go into Drafts", None)
    assert checks["mail by SMTP"] == (True, f"logged in as {USER}; mails are sent at once", None)
    assert checks["contacts by CardDAV"] == (True, "1 cards", None)
    for name in ("calendar by CalDAV", "reminders by CalDAV"):  # the first event would make one, but nobody knows
        ok, what, fix = checks[name]
        assert not ok and "there is no calendar at" in what and "make one" in str(fix)
    assert left(apps) == ([], [], [])  # and has changed nothing


def test_doctor_tells_what_is_wrong_with_accounts_and_how_to_mend_it(
    apps: dict[str, dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    apps["mail"]["smtp"] = {"host": HOST, "port": 9}
    apps["calendar"]["caldav"] = "http://dav.example.org/"
    apps["contacts"]["password_env"] = "NOT_SET_ANYWHERE"
    apps["reminders"]["timezone"] = "Lisboa"
    checks = found(apps, tmp_path)
    assert checks["mail by IMAP"][0]
    for name, said, mend in (
        ("mail by SMTP", "port 9 refuses the connection", "check the network"),
        ("calendar by CalDAV", "must be an https URL", "config.toml"),
        ("contacts by CardDAV", "NOT_SET_ANYWHERE is empty", "set it before you start"),
        ("reminders by CalDAV", "no time zone 'Lisboa'", "Europe/Lisbon"),
    ):
        ok, what, fix = checks[name]
        assert not ok and said in what and mend in str(fix), name
    assert found(apps, tmp_path, disabled_apps='["mail", "calendar", "contacts", "reminders"]') == {}  # not in use


def test_doctor_asks_no_server_where_there_is_no_account(tmp_path: Path) -> None:
    assert found({"mail": {"from": USER}, "calendar": {"default": "x"}}, tmp_path) == {}
