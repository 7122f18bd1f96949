"""Mail in an account: written by the tools through real servers (pymap, aiosmtpd), read back by another library (imap-tools)."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

import pytest
import trustme
from imap_tools import MailBox, MailMessage
from local_servers import HOST, PASSWORD, USER, Imap, Loop, Smtp, authority, server_tls

from pipeline.errors import ConfigError
from pipeline.tools.context import (
    Change,
    InDoubt,
    InvalidArgument,
    Monitor,
    ToolContext,
    Unavailable,
    Unreachable,
    Written,
    recording,
)
from pipeline.tools.desktop import imap as imap_folders
from pipeline.tools.desktop import smtp as smtp_client
from pipeline.tools.desktop.mail import (
    compose_new_email,
    forward_email,
    preview_compose,
    preview_forward,
    preview_reply,
    reply_to_email,
)
from pipeline.tools.desktop.undo import CannotUndo, take_back

pytestmark = pytest.mark.filterwarnings(
    "ignore:Requiring AUTH while not requiring TLS:UserWarning"
)  # TLS is from the start

NOW = datetime(2026, 5, 13, 9, 30)
FOLDERS = {"Entwürfe & mehr": "Drafts", "Gesendet": "Sent", "Archive": ""}
ANNA = "anna@example.net"


class Echo:
    """Stands in for the writing models: says what it was asked."""

    def compose(
        self, *, request: str, context: str, recipients: list[str], thread: str = "", monitor: Monitor | None = None
    ) -> Written:
        return Written(f"Asked: {request}\nKnowing: {context}")

    def summarize(self, pages: Iterable[str], *, request: str = "", monitor: Monitor | None = None) -> Written:
        raise AssertionError("mail needs no summary")


class Says(Echo):
    """Says one thing."""

    def __init__(self, text: str) -> None:
        self.text = text

    def compose(
        self, *, request: str, context: str, recipients: list[str], thread: str = "", monitor: Monitor | None = None
    ) -> Written:
        return Written(self.text)


@pytest.fixture(scope="module")
def loop() -> Iterator[Loop]:
    loop = Loop()
    yield loop
    loop.close()


@pytest.fixture(scope="module")
def ca() -> trustme.CA:
    return authority()


@pytest.fixture
def trusted(ca: trustme.CA, tmp_path: Path) -> Path:
    path = tmp_path / "ca.pem"
    ca.cert_pem.write_to_path(str(path))
    return path


@pytest.fixture
def inbox(loop: Loop, ca: trustme.CA, start: Callable[[Any], Any]) -> Imap:
    server: Imap = start(Imap(loop, FOLDERS, tls=server_tls(ca)))
    return server


@pytest.fixture
def outgoing(loop: Loop, ca: trustme.CA, start: Callable[[Any], Any]) -> Smtp:
    server: Smtp = start(Smtp(loop, tls=server_tls(ca)))
    return server


@pytest.fixture
def ctx(inbox: Imap, trusted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ToolContext:
    """An account at the IMAP server."""
    monkeypatch.setenv("MAIL_PASSWORD", PASSWORD)
    settings = {
        "imap": {"host": HOST, "port": inbox.port},
        "user": USER,
        "password_env": "MAIL_PASSWORD",
        "ca_file": str(trusted),
        "timeout": 10,
    }
    return ToolContext(tmp_path / "data", NOW, "say yes", Echo(), {"mail": settings})


@pytest.fixture
def sending(ctx: ToolContext, outgoing: Smtp) -> ToolContext:
    """The same, which sends."""
    return with_settings(ctx, smtp={"host": HOST, "port": outgoing.port}, send=True)


def with_settings(ctx: ToolContext, **changes: Any) -> ToolContext:
    return replace(ctx, settings={"mail": {**ctx.settings["mail"], **changes}})


@contextmanager
def client(ctx: ToolContext) -> Iterator[MailBox]:
    settings = ctx.settings["mail"]
    context = ssl.create_default_context(cafile=settings["ca_file"])
    with MailBox(HOST, settings["imap"]["port"], ssl_context=context).login_utf8(USER, PASSWORD) as box:
        yield box


def messages(ctx: ToolContext, folder: str) -> list[MailMessage]:
    with client(ctx) as box:
        box.folder.set(folder)
        return list(box.fetch(mark_seen=False))


def deliver(ctx: ToolContext, *raw: bytes, folder: str = "INBOX") -> None:
    with client(ctx) as box:
        for data in raw:
            box.append(data.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"), folder)


def letter(number: int, **fields: str) -> bytes:
    header = {
        "From": "Anna Schmidt <anna@example.net>",
        "To": USER,
        "Subject": f"Letter {number}",
        "Date": "Tue, 12 May 2026 10:00:00 +0000",
        "Message-ID": f"<letter-{number}@example.net>",
    } | fields
    lines = "".join(f"{name.replace('_', '-')}: {value}\n" for name, value in header.items())
    return f"{lines}\nLetter {number} says hello.\n".encode()


def mail(**changes: Any) -> dict[str, Any]:
    return {"recipients": [ANNA], "cc": [], "subject": "Thursday", "context": "", "attachments": []} | changes


def no_cc(**changes: Any) -> dict[str, Any]:
    return {"cc": [], "context": "", "attachments": []} | changes


# ── drafts ───────────────────────────────────────────────────────────────────────────────────────────


def test_a_draft_lies_in_the_account_as_it_was_meant(ctx: ToolContext, tmp_path: Path) -> None:
    paper = tmp_path / "Zeugnis für Jörg.pdf"
    paper.write_bytes(b"%PDF-1.4 \r\n.\r\n\x00\xff")
    subject = "Grüße – 会議 am Donnerstag, und noch viel mehr, damit die Zeile auch wirklich lang genug wird 🎉"
    done = compose_new_email(
        ctx, **mail(subject=subject, cc=["omar@example.com"], context="Ünïcode ✓", attachments=[str(paper)])
    )
    assert done == f"Drafted {subject!r} to {ANNA}, with Zeugnis für Jörg.pdf."
    (draft,) = messages(ctx, "Entwürfe & mehr")  # a name in modified UTF-7, found by its mark
    assert set(draft.flags) >= {"\\Draft", "\\Seen"}
    assert draft.subject == subject
    assert (draft.from_, draft.to, draft.cc, draft.bcc) == (USER, (ANNA,), ("omar@example.com",), ())
    assert draft.text.replace("\r\n", "\n") == "Asked: say yes\nKnowing: Ünïcode ✓\n"
    (attached,) = draft.attachments
    assert (attached.filename, attached.payload) == ("Zeugnis für Jörg.pdf", paper.read_bytes())
    assert "x-unsent" not in draft.headers
    assert not (ctx.data_dir / "mail").exists()  # nothing is left in files


def test_a_call_made_again_finds_its_draft(ctx: ToolContext) -> None:
    keyed = replace(ctx, key="20260513-093000-abc123.0.2")
    assert compose_new_email(keyed, **mail()) == compose_new_email(keyed, **mail())
    (draft,) = messages(ctx, "Entwürfe & mehr")
    (message_id,) = draft.headers["message-id"]
    assert message_id.endswith("@example.com>")
    assert "20260513" not in message_id  # when it was asked for is nobody's business
    compose_new_email(replace(ctx, key="20260513-093000-abc123.0.3"), **mail())
    compose_new_email(ctx, **mail())
    compose_new_email(ctx, **mail())
    assert len(messages(ctx, "Entwürfe & mehr")) == 4


@pytest.mark.parametrize(
    ("folders", "setting", "found"),
    [
        ({"Drafts": "", "Sent": ""}, None, "Drafts"),  # no marks: a usual name
        ({"Sent": "Sent"}, None, "Drafts"),  # none: it is made
        ({"Drafts": "Drafts", "Ébauches": ""}, "Ébauches", "Ébauches"),  # said in the settings
    ],
)
def test_where_drafts_go(
    loop: Loop,
    ca: trustme.CA,
    ctx: ToolContext,
    start: Callable[[Any], Any],
    folders: dict[str, str],
    setting: str | None,
    found: str,
) -> None:
    server = start(Imap(loop, folders, tls=server_tls(ca)))
    here = with_settings(ctx, imap={"host": HOST, "port": server.port}, **({"drafts": setting} if setting else {}))
    compose_new_email(here, **mail())
    assert [draft.subject for draft in messages(here, found)] == ["Thursday"]


def test_a_folder_that_is_not_there_is_told(ctx: ToolContext) -> None:
    with pytest.raises(Unavailable, match="refused"):
        compose_new_email(with_settings(ctx, drafts="Nowhere"), **mail())


def test_a_mail_of_a_megabyte(ctx: ToolContext) -> None:
    text = "\n".join(f".{n:07d} " + "x" * 80 for n in range(12_000))
    compose_new_email(replace(ctx, writer=Says(text)), **mail())
    (draft,) = messages(ctx, "Entwürfe & mehr")
    assert draft.text.replace("\r\n", "\n") == text + "\n"


# ── replies and forwarded mails ──────────────────────────────────────────────────────────────────────


def test_a_reply_to_what_came_last_is_in_its_thread(ctx: ToolContext) -> None:
    thread = "<first@example.net> <second@example.net>"
    deliver(ctx, letter(1), letter(2, Date="Mon, 5 Jan 1970 00:00:00 +0000", References=thread, Subject="Fête ☕"))
    assert reply_to_email(ctx, **no_cc(cc=["omar@example.com"])) == f"Drafted 'Re: Fête ☕' to {ANNA}."
    (draft,) = messages(ctx, "Entwürfe & mehr")
    assert draft.headers["in-reply-to"] == ("<letter-2@example.net>",)
    assert draft.headers["references"] == (f"{thread} <letter-2@example.net>",)
    assert (draft.to, draft.cc) == ((ANNA,), ("omar@example.com",))
    assert draft.text.replace("\r\n", "\n").endswith("Anna Schmidt <anna@example.net> wrote:\n> Letter 2 says hello.\n")
    assert not any("\\Seen" in message.flags for message in messages(ctx, "INBOX"))  # reading leaves no trace


def test_what_the_person_was_shown_is_answered_also_when_another_comes(ctx: ToolContext) -> None:
    deliver(ctx, letter(1))
    seen = preview_reply(ctx, **no_cc())
    body = seen.shown["body"]
    assert seen.shown == {"to": ANNA, "answers": "Letter 1, from Anna Schmidt <anna@example.net>", "body": body}
    deliver(ctx, letter(2))
    reply_to_email(replace(ctx, previewed=seen.identity), **no_cc())
    (draft,) = messages(ctx, "Entwürfe & mehr")
    assert draft.subject == "Re: Letter 1"
    with client(ctx) as box:
        box.delete(box.uids())
    with pytest.raises(Unavailable, match="not in the inbox any more"):
        reply_to_email(replace(ctx, previewed=seen.identity), **no_cc())


def test_the_selected_message_is_named_by_its_message_id(ctx: ToolContext) -> None:
    deliver(ctx, letter(1), letter(2))
    pointer = ctx.data_dir / "mail" / "selected"
    pointer.parent.mkdir(parents=True)
    pointer.write_text("<letter-1@example.net>\n")
    shown = preview_forward(ctx, recipients=[ANNA], **no_cc()).shown
    assert shown["forwards"] == "Letter 1, from Anna Schmidt <anna@example.net>"
    for wrong in ("2026 letter.eml", "<a@b> UNSEEN", '<x"y@b>\r\nA1 LOGOUT'):
        pointer.write_text(wrong)
        with pytest.raises(Unavailable, match="no Message-ID"):
            preview_forward(ctx, recipients=[ANNA], **no_cc())
    pointer.write_text('<"quo\\ted"@b>')
    with pytest.raises(Unavailable, match="not in the inbox"):
        preview_forward(ctx, recipients=[ANNA], **no_cc())


def test_an_empty_inbox(ctx: ToolContext) -> None:
    with pytest.raises(Unavailable, match="the inbox is empty"):
        preview_reply(ctx, **no_cc())


def test_a_message_too_large_to_be_read(ctx: ToolContext, monkeypatch: pytest.MonkeyPatch) -> None:
    deliver(ctx, letter(1))
    monkeypatch.setattr(imap_folders, "MAX_BYTES", 100)
    with pytest.raises(Unavailable, match="more than"):
        reply_to_email(ctx, **no_cc())


def test_a_forwarded_mail_goes_along_whole(ctx: ToolContext) -> None:
    body = "naïve 8-bit\n.\nFrom here on\n"
    original = letter(1, MIME_Version="1.0", Content_Type="text/plain; charset=utf-8", Content_Transfer_Encoding="8bit")
    deliver(ctx, original.partition(b"\n\n")[0] + f"\n\n{body}".encode())
    forward_email(ctx, recipients=["omar@example.com"], **no_cc())
    (draft,) = messages(ctx, "Entwürfe & mehr")
    assert draft.subject == "Fwd: Letter 1"
    (part,) = [p for p in draft.obj.walk() if p.get_content_type() == "message/rfc822"]
    inner = message_from_bytes(part.get_payload(0).as_bytes(), policy=policy.default)
    assert inner["Message-ID"] == "<letter-1@example.net>"
    assert inner.get_content().replace("\r\n", "\n") == body


HOSTILE = [
    {"Subject": "hello\n Bcc: eve@evil.example"},  # a folded line
    {"Subject": "=?utf-8?q?hello=0D=0ABcc=3A_eve=40evil.example?="},
    {"From": "=?utf-8?q?Anna=0D=0ABcc=3A_eve=40evil.example?= <anna@example.net>"},
    {"Message_ID": "<a@b>\n Bcc: eve@evil.example"},
    {"References": "=?utf-8?q?=3Ca=40b=3E=0D=0ABcc=3A_eve=40evil.example?="},
    {"Reply_To": "anna@example.net,\n eve@evil.example"},
]


@pytest.mark.parametrize("fields", HOSTILE, ids=range(len(HOSTILE)))
def test_what_others_wrote_becomes_no_header_and_no_recipient(
    sending: ToolContext, outgoing: Smtp, fields: dict[str, str]
) -> None:
    deliver(sending, letter(1, **fields))
    try:
        reply_to_email(sending, **no_cc())
    except Unavailable as error:  # what cannot be read is not answered
        assert "cannot be read" in str(error)
        assert outgoing.received == []
        return
    (envelope,) = outgoing.received
    assert envelope.rcpt_tos == [ANNA]
    sent = message_from_bytes(envelope.content, policy=policy.default)
    assert set(sent.keys()) <= {
        "From", "To", "Subject", "Date", "Message-ID", "In-Reply-To", "References", "MIME-Version", "Content-Type",
        "Content-Transfer-Encoding",
    }  # fmt: skip


@pytest.mark.parametrize(
    "changes",
    [
        {"recipients": ["anna@example.net\r\nRCPT TO:<eve@evil.example>"]},
        {"recipients": ["anna@example.net>\r\nBcc: eve@evil.example"]},
        {"cc": ["anna@example.net\neve@evil.example"]},
        {"recipients": []},
    ],
)
def test_an_address_is_one_or_nothing_is_done(sending: ToolContext, outgoing: Smtp, changes: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument):
        compose_new_email(sending, **mail(**changes))
    assert outgoing.received == []


def test_a_subject_of_several_lines_is_one(sending: ToolContext, outgoing: Smtp) -> None:
    compose_new_email(sending, **mail(subject="hello\r\nBcc: eve@evil.example\r\n\r\nbody\u2028more"))
    (envelope,) = outgoing.received
    sent = message_from_bytes(envelope.content, policy=policy.default)
    assert sent["Bcc"] is None
    assert sent["Subject"] == "hello Bcc: eve@evil.example body more"


# ── taking back ──────────────────────────────────────────────────────────────────────────────────────


def drafted(ctx: ToolContext) -> Change:
    with recording() as changes:
        compose_new_email(ctx, **mail())
    (change,) = changes
    return change


@pytest.mark.parametrize("without", [(), (b"UIDPLUS",)], ids=["UIDPLUS", "without"])
def test_a_draft_is_taken_back_and_nothing_else(
    loop: Loop, ca: trustme.CA, ctx: ToolContext, start: Callable[[Any], Any], without: tuple[bytes, ...]
) -> None:
    server = start(Imap(loop, FOLDERS, tls=server_tls(ca), without=without))
    here = with_settings(ctx, imap={"host": HOST, "port": server.port})
    deliver(here, letter(1), folder="Entwürfe & mehr")
    change = drafted(here)
    assert take_back(change, here.data_dir, here.settings) == "removed the draft from Entwürfe & mehr"
    assert [message.subject for message in messages(here, "Entwürfe & mehr")] == ["Letter 1"]
    with pytest.raises(CannotUndo, match="not in Entwürfe & mehr any more"):
        take_back(change, here.data_dir, here.settings)


def test_without_uidplus_what_others_marked_as_deleted_stays(
    loop: Loop, ca: trustme.CA, ctx: ToolContext, start: Callable[[Any], Any]
) -> None:
    server = start(Imap(loop, FOLDERS, tls=server_tls(ca), without=(b"UIDPLUS",)))
    here = with_settings(ctx, imap={"host": HOST, "port": server.port})
    deliver(here, letter(1), folder="Entwürfe & mehr")
    with client(here) as box:
        box.folder.set("Entwürfe & mehr")
        box.client.uid("STORE", ",".join(box.uids()), "+FLAGS", "\\Deleted")
    take_back(drafted(here), here.data_dir, here.settings)
    marked = {message.subject: "\\Deleted" in message.flags for message in messages(here, "Entwürfe & mehr")}
    assert marked == {"Letter 1": True, "Thursday": True}  # the program that shows them hides both


def test_a_draft_that_was_edited_or_is_of_another_account_is_left(
    loop: Loop, ca: trustme.CA, ctx: ToolContext, start: Callable[[Any], Any]
) -> None:
    change = drafted(ctx)
    with client(ctx) as box:  # a mail program keeps what was edited as a new message
        box.folder.set(change.place)
        [old] = list(box.fetch())
        box.append(old.obj.as_bytes().replace(b"Asked", b"Edited"), change.place)
        box.delete(old.uid)
    with pytest.raises(CannotUndo, match="any more"):
        take_back(change, ctx.data_dir, ctx.settings)
    assert len(messages(ctx, change.place)) == 1
    other = start(Imap(loop, FOLDERS, tls=server_tls(ca)))
    there = with_settings(ctx, imap={"host": HOST, "port": other.port})
    deliver(there, letter(1), folder=change.place)
    with pytest.raises(CannotUndo, match="any more"):
        take_back(change, there.data_dir, there.settings)
    assert len(messages(there, change.place)) == 1
    with pytest.raises(CannotUndo, match="do not name any more"):
        take_back(change, ctx.data_dir, {})


# ── sending ──────────────────────────────────────────────────────────────────────────────────────────


def test_before_a_mail_is_sent_its_body_is_shown_and_that_it_goes_out(ctx: ToolContext, sending: ToolContext) -> None:
    shown = preview_compose(sending, **mail()).shown
    assert shown["sent"] == "at once, not drafted"
    assert shown["body"].startswith("Asked: say yes")
    assert "sent" not in preview_compose(ctx, **mail()).shown


def test_a_mail_is_sent_and_a_copy_kept(sending: ToolContext, outgoing: Smtp) -> None:
    done = compose_new_email(
        sending, **mail(recipients=[ANNA, "omar@example.com"], cc=["lena@example.org"], context="übrigens\n.")
    )
    assert done == f"Sent 'Thursday' to {ANNA} and omar@example.com."
    (envelope,) = outgoing.received
    assert envelope.mail_from == USER
    assert envelope.rcpt_tos == [ANNA, "omar@example.com", "lena@example.org"]
    assert outgoing.hello == "[127.0.0.1]"  # the machine's name stays here
    (copy,) = messages(sending, "Gesendet")
    assert "\\Draft" not in copy.flags
    assert copy.obj.as_bytes().replace(b"\r\n", b"\n").strip() == envelope.content.replace(b"\r\n", b"\n").strip()
    assert messages(sending, "Entwürfe & mehr") == []


def test_a_mail_is_not_sent_twice(sending: ToolContext, outgoing: Smtp) -> None:
    keyed = replace(sending, key="run.0.1")
    with recording() as changes:
        assert compose_new_email(keyed, **mail()) == compose_new_email(keyed, **mail())
    assert len(outgoing.received) == 1
    assert len(messages(sending, "Gesendet")) == 1
    assert changes == []  # what has left cannot be taken back


def test_it_goes_to_all_or_to_nobody(
    sending: ToolContext, start: Callable[[Any], Any], loop: Loop, ca: trustme.CA
) -> None:
    for answer, kind in (("550 no such user", InvalidArgument), ("450 later, please", Unreachable)):
        server = start(Smtp(loop, tls=server_tls(ca), refused={"omar@example.com": answer}))
        here = with_settings(sending, smtp={"host": HOST, "port": server.port})
        with pytest.raises(kind, match=r"does not take omar@example\.com .*nothing was sent"):
            compose_new_email(here, **mail(recipients=[ANNA, "omar@example.com"]))
        assert server.received == []
    assert messages(sending, "Gesendet") == []


def test_without_an_answer_to_the_text_it_is_in_doubt(sending: ToolContext, outgoing: Smtp) -> None:
    outgoing.after_data = ""
    with pytest.raises(InDoubt, match="broke off") as caught:
        compose_new_email(sending, **mail())
    assert "may have been sent" in str(caught.value.fix)
    assert len(outgoing.received) == 1  # and nothing was tried again
    outgoing.after_data = "554 looks like spam"
    with pytest.raises(InvalidArgument, match=r"looks like spam; nothing was sent"):
        compose_new_email(sending, **mail())
    outgoing.after_data = "451 try later"
    with pytest.raises(Unreachable, match="nothing was sent"):
        compose_new_email(sending, **mail())
    assert messages(sending, "Gesendet") == []


def test_a_copy_that_cannot_be_kept_is_no_failure(sending: ToolContext, outgoing: Smtp, inbox: Imap) -> None:
    outgoing.on_data = inbox.close
    done = compose_new_email(sending, **mail())
    assert done.startswith(f"Sent 'Thursday' to {ANNA}. No copy of it was kept: {HOST}, port {inbox.port} refuses")
    assert len(outgoing.received) == 1


def test_servers_that_keep_copies_by_themselves(sending: ToolContext, outgoing: Smtp) -> None:
    compose_new_email(with_settings(sending, save_sent=False), **mail())
    assert len(outgoing.received) == 1
    assert messages(sending, "Gesendet") == []


def test_a_mail_larger_than_the_server_takes(
    sending: ToolContext, start: Callable[[Any], Any], loop: Loop, ca: trustme.CA
) -> None:
    server = start(Smtp(loop, tls=server_tls(ca), limit=2**20))
    here = with_settings(replace(sending, writer=Says("x " * 2**20)), smtp={"host": HOST, "port": server.port})
    with pytest.raises(InvalidArgument, match=r"takes 1\.0 at most"):
        compose_new_email(here, **mail())
    assert server.received == []


def test_a_body_cannot_end_the_mail_and_begin_another(sending: ToolContext, outgoing: Smtp) -> None:
    evil = "MAIL FROM:<eve@evil.example>\r\nRCPT TO:<bob@example.com>\r\nDATA\r\nFrom: eve@evil.example\r\n\r\nhi"
    smuggled = (
        b"Content-Type: text/plain\n\nhello\n.\r"
        + evil.encode()
        + b"\r\n.\r\n"
        + evil.encode()
        + b"\n.\n"
        + evil.encode()
    )
    deliver(sending, letter(1).partition(b"\n\n")[0] + b"\n" + smuggled)
    forward_email(sending, recipients=[ANNA], **no_cc())
    compose_new_email(replace(sending, writer=Says(f"hello\n.\n{evil}\r.\r{evil}")), **mail())
    assert [envelope.rcpt_tos for envelope in outgoing.received] == [[ANNA], [ANNA]]


def test_a_server_without_eight_bits_is_sent_seven(sending: ToolContext, outgoing: Smtp) -> None:
    deliver(
        sending,
        letter(1, MIME_Version="1.0", Content_Type="text/plain; charset=utf-8").replace(b"hello", "hellö".encode()),
    )
    forward_email(replace(sending, writer=Says("Grüße")), recipients=[ANNA], **no_cc())
    message = message_from_bytes(outgoing.received[0].content, policy=policy.SMTP)
    data = smtp_client.wire(message, eight_bits=False)
    assert data.isascii()
    whole = message_from_bytes(data, policy=policy.default)
    (inner,) = whole.iter_attachments()
    assert "hellö" in inner.get_content().get_content()
    assert "Grüße" in whole.get_body().get_content()


def test_no_address_to_send_from(sending: ToolContext, outgoing: Smtp) -> None:
    # A user that is no address, and no card of one's own.
    settings = dict(sending.settings["mail"], user="alex")
    with pytest.raises(ConfigError, match="address to be sent from"):
        compose_new_email(replace(sending, settings={"mail": settings}), **mail())
    assert outgoing.received == []
