"""Mail: drafts as `.eml` files (RFC 5322) under `mail/drafts/`, which mail programs open ready to send, or in an account.

A reply or forward acts on the selected message: the one of `mail/inbox/` that the text file `mail/selected`
names, else the newest. With an account by IMAP in the settings the inbox is the account's, `mail/selected` holds a Message-ID, and
drafts go into the account's folder of drafts. Addresses and attachments are checked before the writing model is asked for a body,
and all of it before a file is written. What others wrote is quoted and goes to the writing model, and becomes
a header only as an address, a message id or one line of subject. Nothing is sent, unless the account says `send = true`.
"""

from __future__ import annotations

import hashlib
import mimetypes
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from email.parser import BytesHeaderParser
from email.utils import format_datetime, getaddresses, make_msgid, parseaddr, parsedate_to_datetime
from html.parser import HTMLParser
from pathlib import Path

from pipeline.errors import ConfigError
from pipeline.tools.arguments import email_address, email_addresses, header_line, one_line, paragraphs, required_line
from pipeline.tools.context import InvalidArgument, Preview, ToolContext, ToolError, Unavailable, Written, report
from pipeline.tools.desktop import contacts, files, names, store
from pipeline.tools.desktop.accounts import MailAccount, mail_account

#: A line may have 998 bytes (RFC 5322, 2.1.1); at 78 the library would break message ids apart.
_POLICY = policy.SMTP.clone(max_line_length=998)
_MAX_REFERENCES = 10  # message ids kept of a long thread


def compose_new_email(
    ctx: ToolContext,
    /,
    *,
    recipients: list[str],
    cc: list[str],
    subject: str,
    context: str,
    attachments: list[str],
) -> str:
    """Draft a mail whose body the writing model writes, and return a status line.

    Args:
        ctx: What the run lends.
        recipients: Email addresses, one at least.
        cc: Email addresses.
        subject: One line.
        context: What earlier steps found that the mail is to use, or "".
        attachments: Paths, or names as `open_and_get_file_path` takes them.

    Raises:
        InvalidArgument: An address is none, there is no recipient or no subject.
        NotFound: An attachment does not exist.
        Ambiguous: An attachment's name fits several files.
        Unavailable: An attachment cannot be read, or the draft cannot be written.
        InDoubt: The account's server broke off where it may have taken the mail.
        ConfigError: What the settings say of the account or of the user's own address is wrong.
    """
    to, title = recipients_of(recipients), required_line(subject, "subject")
    draft = _draft(ctx, to, cc, title)
    carried = _attachments(ctx, attachments)
    return _save(ctx, draft, body_of(ctx, to, context), carried)


def reply_to_email(ctx: ToolContext, /, *, cc: list[str], context: str, attachments: list[str]) -> str:
    """Draft a reply to the selected message, quoted below the body, and return a status line.

    Raises:
        Unavailable: No message is selected, or it does not say whom to reply to.
        TinyAgentError: As in `compose_new_email`.
    """
    original = _selected(ctx)
    to = [reply_address(original)]
    draft = _draft(ctx, to, cc, prefixed("Re:", original.subject))
    if original.message_id:
        draft["In-Reply-To"] = original.message_id
        draft["References"] = " ".join([*original.references, original.message_id])
    carried = _attachments(ctx, attachments)
    body = body_of(ctx, to, context, original)
    return _save(ctx, draft, f"{body}\n\n{original.quoted()}", carried)


def forward_email(
    ctx: ToolContext, /, *, recipients: list[str], cc: list[str], context: str, attachments: list[str]
) -> str:
    """Draft a mail that carries the selected message as an attachment, and return a status line.

    Raises:
        Unavailable: No message is selected.
        TinyAgentError: As in `compose_new_email`.
    """
    original = _selected(ctx)
    to = recipients_of(recipients)
    draft = _draft(ctx, to, cc, prefixed("Fwd:", original.subject))
    carried = _attachments(ctx, attachments)
    return _save(ctx, draft, body_of(ctx, to, context, original), carried, forwarded=original.message)


def preview_compose(
    ctx: ToolContext,
    /,
    *,
    recipients: list[str],
    cc: list[str],
    subject: str,
    context: str,
    attachments: list[str],
) -> Preview:
    """Return the body that a mail would have; what is wrong with the mail is told before any is written."""
    to = recipients_of(recipients)
    _draft(ctx, to, cc, required_line(subject, "subject"))
    _attachments(ctx, attachments)
    return with_body(_announced(ctx, Preview({})), write_body(ctx, to, context))


def preview_reply(ctx: ToolContext, /, *, cc: list[str], context: str, attachments: list[str]) -> Preview:
    """Return which message a reply would answer, whom it would go to and what it would say.

    An address that is not the sender's is warned of.
    """
    original = _selected(ctx)
    seen = seen_before_reply(original, original.name)
    to = [reply_address(original)]
    _draft(ctx, to, cc, prefixed("Re:", original.subject))
    _attachments(ctx, attachments)
    return with_body(_announced(ctx, seen), write_body(ctx, to, context, original))


def preview_forward(
    ctx: ToolContext, /, *, recipients: list[str], cc: list[str], context: str, attachments: list[str]
) -> Preview:
    """Return which message would be forwarded, and with what words."""
    original = _selected(ctx)
    to = recipients_of(recipients)
    _draft(ctx, to, cc, prefixed("Fwd:", original.subject))
    _attachments(ctx, attachments)
    seen = Preview({"forwards": str(original)}, identity=original.name)
    return with_body(_announced(ctx, seen), write_body(ctx, to, context, original))


def _announced(ctx: ToolContext, seen: Preview) -> Preview:
    """Return a preview that says so where the mail would not wait as a draft."""
    account = mail_account(ctx.settings)
    return replace(seen, shown={**seen.shown, "sent": "at once, not drafted"}) if account and account.send else seen


def write_body(ctx: ToolContext, to: list[str], context: str, original: Received | None = None) -> Written:
    """Have the body of a mail written, which may answer or forward another."""
    return ctx.writer.compose(
        request=ctx.request,
        context=context,
        recipients=to,
        thread=original.seen() if original else "",
        monitor=ctx.monitor,
    )


def body_of(ctx: ToolContext, to: list[str], context: str, original: Received | None = None) -> str:
    """Return the body that was shown before the call was approved, else one that is written now; what there is to say of it is remarked."""
    written = ctx.written or write_body(ctx, to, context, original)
    ctx.monitor.remark(written.note)
    return written.text.strip("\n")


def with_body(seen: Preview, written: Written) -> Preview:
    """Return a preview that shows the body too, and how it was written if there is something to say of that."""
    note = {"note": written.note} if written.note else {}
    return replace(seen, shown={**seen.shown, "body": written.text.strip("\n"), **note}, written=written)


def seen_before_reply(original: Received, identity: str) -> Preview:
    """Return what is shown before a message is answered.

    Raises:
        Unavailable: It does not say whom to reply to.
    """
    to, (_, sender) = reply_address(original), parseaddr(original.sender)
    warnings = (
        ()
        if to.casefold() == sender.casefold()
        else (f"the answer would go to {to}, but the message is from {sender}",)
    )
    return Preview({"to": to, "answers": str(original)}, warnings, identity)


@dataclass(frozen=True, slots=True)
class _Attachment:
    name: str
    mime_type: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Received:
    """A message that others wrote, as text of one line each but for `text`; none of it is to be trusted."""

    name: str  # of its file
    message: EmailMessage
    sender: str
    reply_to: str  # the field with the address for answers, which may hold several or none
    subject: str
    sent: datetime | None
    message_id: str  # "" where it has none
    references: tuple[str, ...]  # ids of the thread before it (RFC 5322, 3.6.4)
    text: str

    def __str__(self) -> str:
        return f"{self.subject or 'a message without a subject'}, from {self.sender}"

    def seen(self) -> str:
        """Return it as the writing model reads it."""
        return f"From: {self.sender}\nSubject: {self.subject}\n\n{self.text}".strip()

    def quoted(self) -> str:
        """Return it as a reply quotes it."""
        when = f"On {self.sent:%Y-%m-%d at %H:%M}, " if self.sent else ""
        return "\n".join([f"{when}{self.sender} wrote:", *(f"> {line}" for line in self.text.splitlines())])


def recipients_of(texts: list[str]) -> list[str]:
    """Return the addresses of a mail, each once.

    Raises:
        InvalidArgument: There is none, or one is none.
    """
    addresses = email_addresses(texts)
    if not addresses:
        raise InvalidArgument("the mail has no recipient", fix="say who is to get it")
    return addresses


def _draft(ctx: ToolContext, to: list[str], cc: list[str], subject: str) -> EmailMessage:
    """Return a mail with all its headers and no body."""
    draft = EmailMessage(policy=_POLICY)
    sender = _sender(ctx)
    if sender:
        draft["From"] = sender
    draft["To"] = ", ".join(to)
    if copies := [address for address in email_addresses(cc) if address not in to]:
        draft["Cc"] = ", ".join(copies)
    draft["Subject"] = header_line(subject)
    draft["Date"] = format_datetime(ctx.now.astimezone())
    domain = sender.rpartition("@")[2] or "tinyagent.invalid"
    # The same for a call that is made again, so that what the first one left is found.
    told = f"<{hashlib.sha256(ctx.key.encode()).hexdigest()[:32]}@{domain}>" if ctx.key else make_msgid(domain=domain)
    draft["Message-ID"] = told
    return draft


def _sender(ctx: ToolContext) -> str:
    """Return the address of the setting `mail.from`, else that of the account's user, else of the user's own card, else ""."""
    configured = str(ctx.settings.get("mail", {}).get("from", ""))
    account = mail_account(ctx.settings)
    if not configured and account and "@" in (account.user or ""):
        configured = str(account.user)
    me = contacts.own_card(ctx.data_dir)
    address = configured or (me.emails[0] if me and me.emails else "")
    try:
        return email_address(address) if address else ""
    except InvalidArgument:
        raise ConfigError(
            f"your own address {address!r} is none",
            fix=f"mend the setting mail.from or contacts/{contacts.OWN_CARD}",
        ) from None


def _attachments(ctx: ToolContext, paths: list[str]) -> list[_Attachment]:
    """Read what is to be attached, so that a missing file is known before anything is written."""
    read = []
    for path in (files.find_file(ctx, text) for text in paths):
        kind, encoding = mimetypes.guess_type(path.name)
        # A type with parts of its own would have its bytes read as headers.
        plain = kind and encoding is None and not kind.startswith(("message/", "multipart/"))
        mime_type = kind if kind and plain else "application/octet-stream"
        read.append(_Attachment(header_line(path.name), mime_type, store.read_bytes(path)))
    return read


def _save(
    ctx: ToolContext,
    draft: EmailMessage,
    body: str,
    carried: list[_Attachment],
    *,
    forwarded: EmailMessage | None = None,
) -> str:
    """Write the mail with its body and what it carries, or send it; return the status line."""
    draft.set_content(paragraphs(body) + "\n")
    if forwarded is not None:
        draft.add_attachment(forwarded)
    for item in carried:
        main, _, sub = item.mime_type.partition("/")
        draft.add_attachment(item.data, maintype=main, subtype=sub, filename=item.name)
    subject = str(draft["Subject"])
    to = [address.addr_spec for address in draft["To"].addresses]
    attached = [item.name for item in carried]
    account = mail_account(ctx.settings)
    if account and account.send:
        return status(subject, to, attached, "Sent") + _sent(account, draft)
    if account and account.imap:
        from pipeline.tools.desktop import imap

        with imap.opened(account) as mailbox:
            report(mailbox.put(mailbox.drafts(), draft.as_bytes(), str(draft["Message-ID"]), draft=True))
        return status(subject, to, attached)
    draft["X-Unsent"] = "1"  # mail programs open such a file for writing
    store.create_unique(
        ctx.data_dir / "mail" / "drafts",
        store.stem_of(f"{ctx.now:%Y-%m-%d_%H%M%S} {subject.replace(':', '')}"),
        ".eml",
        draft.as_bytes(),
    )
    return status(subject, to, attached)


def status(subject: str, to: list[str], attached: list[str], done: str = "Drafted") -> str:
    """Return the line that says that a mail was drafted or sent, with which files."""
    carried = f", with {names.listed(attached)}" if attached else ""
    return f"{done} {subject!r} to {names.listed(to)}{carried}."


def _sent(account: MailAccount, mail: EmailMessage) -> str:
    """Send a mail, unless the account's folder of sent mails has it already; return what else there is to say.

    Raises:
        ConfigError: The account has no address to send from.
        ToolError: As in `smtp.send`.
    """
    from pipeline.tools.desktop import imap, smtp

    if "From" not in mail:
        raise ConfigError("a mail needs an address to be sent from", fix="set apps.mail.from to your own")
    message_id, [sender] = str(mail["Message-ID"]), mail["From"].addresses
    if account.imap:
        with imap.opened(account) as mailbox:
            if mailbox.holds(mailbox.sent(), message_id):  # the call is made again
                return ""
    everyone = [address.addr_spec for field in ("To", "Cc") if field in mail for address in mail[field].addresses]
    smtp.send(account, mail, sender.addr_spec, everyone)
    if not (account.imap and account.save_sent):
        return ""
    try:
        with imap.opened(account) as mailbox:
            mailbox.put(mailbox.sent(), mail.as_bytes(), message_id, draft=False)
    except ToolError as error:  # it is sent, whatever becomes of the copy
        return f" No copy of it was kept: {error.message}."
    return ""


def _selected(ctx: ToolContext) -> Received:
    """Return the message that the person was shown, else has selected, else the newest."""
    account = mail_account(ctx.settings)
    if account and account.imap:
        return _selected_in(account, ctx)
    inbox, pointer = ctx.data_dir / "mail" / "inbox", ctx.data_dir / "mail" / "selected"
    if ctx.previewed:
        return received(ctx.previewed, store.read_bytes(inbox / ctx.previewed))
    if store.is_file(pointer):
        name = store.read_bytes(pointer).decode(errors="replace").strip()
        if Path(name).name != name or not store.is_file(inbox / name):
            raise Unavailable(f"{pointer} names {name!r}, which is not in {inbox}", fix="select another message")
        return received(name, store.read_bytes(inbox / name))
    messages = store.files_in(inbox, "*.eml")
    if not messages:
        raise Unavailable(f"no message is selected: {inbox} is empty", fix="save it there as an .eml file")
    newest = max(messages, key=lambda path: _sent_at(store.read_bytes(path)))
    return received(newest.name, store.read_bytes(newest))


def _selected_in(account: MailAccount, ctx: ToolContext) -> Received:
    from pipeline.tools.desktop import imap

    pointer, which = ctx.data_dir / "mail" / "selected", ctx.previewed
    if not which and store.is_file(pointer):
        which = store.read_bytes(pointer).decode(errors="replace").strip()
        if _message_ids(which) != (which,):
            raise Unavailable(
                f"{pointer} holds {one_line(which)!r}, which is no Message-ID",
                fix="write that of a message there, or remove the file to answer the one that came last",
            )
    with imap.opened(account) as mailbox:
        return received(*mailbox.message(which))


def _sent_at(data: bytes) -> float:
    """Return when a message was sent (seconds since the epoch, by its Date field), 0 where that is none."""
    try:
        when = parsedate_to_datetime(str(BytesHeaderParser().parsebytes(data)["Date"]))
        return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()  # "-0000" is UTC (RFC 5322, 3.3)
    except (ValueError, OverflowError):
        return 0.0


def received(name: str, data: bytes) -> Received:
    """Read a message.

    Args:
        name: What errors call it.
        data: All of it (RFC 5322).

    Raises:
        Unavailable: It cannot be read.
    """
    try:
        message = message_from_bytes(data, policy=policy.default)
        field = {name: one_line(str(message.get(name, ""))) for name in _FIELDS}
        sent_at = _sent_at(data)
        return Received(
            name=name,
            message=message,
            sender=field["From"],
            reply_to=field["Reply-To"] or field["From"],
            subject=field["Subject"],
            sent=datetime.fromtimestamp(sent_at) if sent_at else None,
            message_id=next(iter(_message_ids(field["Message-ID"])), ""),
            references=_message_ids(field["References"] or field["In-Reply-To"])[-_MAX_REFERENCES:],
            text=_text(message),
        )
    except Exception as error:  # a malformed message makes the library's parser raise nearly anything
        raise Unavailable(f"{name} cannot be read as a mail: {error}", fix="select another message") from error


_FIELDS = ("From", "Reply-To", "Subject", "Message-ID", "References", "In-Reply-To")


def reply_address(original: Received) -> str:
    """Return whom a message asks to be answered at.

    Raises:
        Unavailable: It does not say.
    """
    for _, address in getaddresses([original.reply_to]):
        try:
            return email_address(address)
        except InvalidArgument:
            continue
    raise Unavailable(f"the message {original.name} does not say whom to answer", fix="select another message")


def _message_ids(field: str) -> tuple[str, ...]:
    """Return the ids (`<left@right>`) in a field that others wrote, and nothing else of it."""
    ids = (t for t in field.split() if t.isascii() and t.startswith("<") and t.endswith(">") and "@" in t)
    return tuple(t for t in ids if t == header_line(t))


def prefixed(prefix: str, subject: str) -> str:
    """Return the subject of a reply ("Re:") or a forwarded message ("Fwd:")."""
    return subject if subject.casefold().startswith(prefix.casefold()) else f"{prefix} {subject}".strip()


def _text(message: EmailMessage) -> str:
    """Return the text of a message, taken from its HTML if that is all it has."""
    part = message.get_body(preferencelist=("plain", "html"))
    if part is None:
        return ""
    try:
        content = str(part.get_content())
    except LookupError:  # a character set that does not exist
        payload = part.get_payload(decode=True)
        content = payload.decode("latin-1") if isinstance(payload, bytes) else ""
    return paragraphs(_text_of_html(content) if part.get_content_subtype() == "html" else content)


class _HtmlText(HTMLParser):
    """Collects what a browser would show of a mail, a line a block."""

    _BLOCKS = frozenset({"address", "blockquote", "br", "div", "h1", "h2", "h3", "h4", "li", "p", "table", "tr"})
    _HIDDEN = frozenset({"head", "script", "style"})

    def __init__(self) -> None:
        super().__init__()
        self.lines = [""]
        self._hidden = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._hidden += tag in self._HIDDEN
        if tag in self._BLOCKS:
            self.lines.append("")

    def handle_endtag(self, tag: str) -> None:
        self._hidden = max(0, self._hidden - (tag in self._HIDDEN))
        if tag in self._BLOCKS:
            self.lines.append("")

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.lines[-1] += data


def _text_of_html(html: str) -> str:
    parser = _HtmlText()
    parser.feed(html)
    parser.close()
    return "\n".join(line for text in parser.lines if (line := one_line(text)))
