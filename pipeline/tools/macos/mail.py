"""Mail: drafts in Mail.app; nothing is sent, that is left to the person who reads them.

A new mail opens in a window of its own once it is whole; a reply is saved among the drafts, in its thread. A reply or forward acts on the
message that is selected in Mail, and on that one only: it is looked at again right before the draft is made. Addresses and
attachments are checked before the writing model is asked for a body, as on the desktop, whose rules for what others wrote
hold here too. A forwarded message goes along whole, as an attachment.
"""

from __future__ import annotations

import hashlib
from contextlib import suppress
from pathlib import Path

from pipeline.errors import ConfigError
from pipeline.tools.arguments import email_address, email_addresses, one_line, paragraphs, required_line
from pipeline.tools.context import InvalidArgument, Preview, ToolContext, Unavailable, recording
from pipeline.tools.desktop import store
from pipeline.tools.desktop.mail import (
    Received,
    body_of,
    prefixed,
    received,
    recipients_of,
    reply_address,
    seen_before_reply,
    status,
    with_body,
    write_body,
)
from pipeline.tools.macos.files import find_file
from pipeline.tools.macos.osascript import Script, ask, counted

APP = "Mail"
_COMPOSE = Script("compose_new_email", APP, effect=True)
_SELECTED = Script("selected_email", APP)
_REPLY = Script("reply_to_email", APP, effect=True)
_NONE = Unavailable("no message is selected in Mail", fix="select the one that is meant")
_CHANGED = Unavailable(
    "another message was selected in Mail meanwhile", fix="select the one that is meant, and try again"
)


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
    """Open a draft whose body the writing model writes, and return a status line; the arguments are those of the desktop's.

    Raises:
        InvalidArgument: An address is none, there is no recipient or no subject.
        NotFound: An attachment does not exist.
        Ambiguous: An attachment's name fits several files.
        Unavailable: An attachment cannot be read, or Mail cannot be used.
        InDoubt: It broke off where the draft may have been made.
        ConfigError: The setting `mail.from` is no address.
    """
    to, title = recipients_of(recipients), required_line(subject, "subject")
    copies, carried = _copies(cc, to), _attachments(ctx, attachments)
    _compose(ctx, to, copies, title, body_of(ctx, to, context), carried)
    return status(title, to, [one_line(path.name) for path in carried])


def reply_to_email(ctx: ToolContext, /, *, cc: list[str], context: str, attachments: list[str]) -> str:
    """Draft a reply to the selected message, quoted below the body, and return a status line.

    Raises:
        Unavailable: No message is selected, or it does not say whom to reply to.
        Ambiguous: Several are selected.
        TinyAgentError: As in `compose_new_email`.
    """
    identity, original, _ = _selected(ctx)
    to = [reply_address(original)]
    copies, carried = _copies(cc, to), _attachments(ctx, attachments)
    body = body_of(ctx, to, context, original)
    text = paragraphs(f"{body}\n\n{original.quoted()}")  # Mail leaves out its own quotation where a text is set
    ask(ctx, _REPLY, [identity, text, *counted(copies), *_paths(carried)], refusals={"changed": _CHANGED})
    return status(prefixed("Re:", original.subject), to, [one_line(path.name) for path in carried])


def forward_email(
    ctx: ToolContext, /, *, recipients: list[str], cc: list[str], context: str, attachments: list[str]
) -> str:
    """Open a draft that carries the selected message as an attachment, and return a status line.

    Raises:
        Unavailable: No message is selected.
        Ambiguous: Several are selected.
        TinyAgentError: As in `compose_new_email`.
    """
    _, original, source = _selected(ctx)
    to = recipients_of(recipients)
    title = prefixed("Fwd:", original.subject)
    copies, carried = _copies(cc, to), _attachments(ctx, attachments)
    body = body_of(ctx, to, context, original)
    _compose(ctx, to, copies, title, body, [_kept(ctx, original, source), *carried])
    return status(title, to, [one_line(path.name) for path in carried])


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
    """Return the body that a mail would have, as on the desktop."""
    to = recipients_of(recipients)
    required_line(subject, "subject")
    _check(ctx, cc, to, attachments)
    return with_body(Preview({}), write_body(ctx, to, context))


def preview_reply(ctx: ToolContext, /, *, cc: list[str], context: str, attachments: list[str]) -> Preview:
    """Return which message a reply would answer, whom it would go to and what it would say, as on the desktop."""
    identity, original, _ = _selected(ctx)
    to = [reply_address(original)]
    _check(ctx, cc, to, attachments)
    return with_body(seen_before_reply(original, identity), write_body(ctx, to, context, original))


def preview_forward(
    ctx: ToolContext, /, *, recipients: list[str], cc: list[str], context: str, attachments: list[str]
) -> Preview:
    """Return which message would be forwarded, and with what words."""
    identity, original, _ = _selected(ctx)
    to = recipients_of(recipients)
    _check(ctx, cc, to, attachments)
    return with_body(Preview({"forwards": str(original)}, identity=identity), write_body(ctx, to, context, original))


def _check(ctx: ToolContext, cc: list[str], to: list[str], attachments: list[str]) -> None:
    """Raise what is wrong with addresses and attachments, before a body is written."""
    _copies(cc, to), _attachments(ctx, attachments)


def _compose(ctx: ToolContext, to: list[str], cc: list[str], subject: str, body: str, carried: list[Path]) -> None:
    ask(ctx, _COMPOSE, [_sender(ctx), subject, paragraphs(body), *counted(to), *counted(cc), *_paths(carried)])


def _copies(cc: list[str], to: list[str]) -> list[str]:
    return [address for address in email_addresses(cc) if address not in to]


def _attachments(ctx: ToolContext, paths: list[str]) -> list[Path]:
    """Return the files that are to be attached, each of which can be read now."""
    found = [find_file(ctx, text) for text in paths]
    for path in found:
        with store.refusals(path, "read"):
            path.open("rb").close()
    return found


def _paths(carried: list[Path]) -> list[str]:
    return counted(str(path) for path in carried)


def _sender(ctx: ToolContext) -> str:
    """Return the address of the setting `mail.from`, or "" for the account that Mail takes by itself."""
    configured = str(ctx.settings.get("mail", {}).get("from", ""))
    try:
        return email_address(configured) if configured else ""
    except InvalidArgument:
        raise ConfigError(
            f"your own address {configured!r} is none", fix="mend the setting mail.from, or leave it out"
        ) from None


def _selected(ctx: ToolContext) -> tuple[str, Received, bytes]:
    """Return the selected message: the number by which Mail knows it, what it says, and all of it."""
    identity, _, source = ask(ctx, _SELECTED, refusals={"none": _NONE}).text.partition("\n")
    if ctx.previewed and identity != ctx.previewed:
        raise _CHANGED
    data = source.encode("utf-8", "surrogateescape")
    return identity, received("the selected message", data), data


def _kept(ctx: ToolContext, original: Received, source: bytes) -> Path:
    """Put a copy of the message where Mail can take it from, under the data folder, and return its path."""
    folder = ctx.data_dir / "mail" / "forwarded" / hashlib.sha256(source).hexdigest()[:12]
    path = folder / f"{store.stem_of(original.subject or 'message')}.eml"
    # A copy for Mail is no change that taking the call back could be about; and one copy of a message is enough.
    with recording(), suppress(store.NameTaken):
        store.create(path, source)
    return path
