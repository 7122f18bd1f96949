"""A mail account's folders by IMAP (RFC 9051): the message that is answered is read there, drafts and sent mails are put there.

Messages are read without being marked as read. What is put into a folder is looked for first by its Message-ID, so that a call made
again after a crash finds what the first one left. Of what the server holds, only drafts of ours are ever removed, and only as they were made.
"""

from __future__ import annotations

import imaplib
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import MissingExtra
from pipeline.tools.arguments import one_line
from pipeline.tools.context import Change, InDoubt, Unavailable, Unreachable
from pipeline.tools.desktop.accounts import MailAccount, Server, broken, login_refused, password, tls
from pipeline.tools.desktop.undo import CannotUndo

if TYPE_CHECKING:
    from imapclient import IMAPClient

PORTS = {"tls": 993, "starttls": 143, "none": 143}
MAX_BYTES = 64 * 2**20  # of a message that is read; the largest that providers take is about 50 MB
SLOWEST = 100_000  # bytes a second that a connection is expected to carry
_DRAFTS, _SENT = b"\\Drafts", b"\\Sent"  # RFC 6154
_NAMES = {_DRAFTS: "Drafts", _SENT: "Sent"}  # of a folder that has to be made
_APPENDED = re.compile(rb"\[APPENDUID (\d+) (\d+)\]")  # RFC 4315


@contextmanager
def opened(account: MailAccount) -> Iterator[Mailbox]:
    """Lend the folders of an account that has `imap`, while connected.

    Raises:
        MissingExtra: The package `imapclient` is not installed.
        Unreachable: The server does not answer.
        Unavailable: It is not to be trusted, or refuses.
        ConfigError: `ca_file` cannot be read.
    """
    try:
        from imapclient import IMAPClient
        from imapclient.exceptions import CapabilityError, LoginError
    except ImportError:
        raise MissingExtra("imapclient", "mail") from None
    server = account.imap
    if server is None:
        raise Unavailable("the mail account has no folders", fix="set apps.mail.imap")
    secret = password(account) if account.user is not None else ""
    context = tls(account)
    port = server.port or PORTS[server.security]
    try:
        with IMAPClient(
            server.host, port, ssl=server.security == "tls", ssl_context=context, timeout=account.timeout
        ) as client:
            if server.security == "starttls":
                client.starttls(context)
            _log_in(client, account, secret)
            yield Mailbox(client, account, server, port)
    except CapabilityError as error:
        fix = 'with a server that speaks TLS from the start, set security = "tls"'
        raise Unavailable(f"{server.host} offers no STARTTLS on port {port}", fix=fix) from error
    except LoginError as error:
        raise login_refused(server.host, account) from error
    except imaplib.IMAP4.abort as error:
        raise Unreachable(
            f"{server.host} broke off: {_said(error)}", fix="try again, or see that the port is that of IMAP"
        ) from error
    except imaplib.IMAP4.error as error:
        raise Unavailable(f"{server.host} refused: {_said(error)}") from error
    except OSError as error:
        raise broken(error, server.host, port, account.timeout) from error
    except (ValueError, LookupError) as error:  # what comes is no IMAP
        raise Unavailable(
            f"{server.host} does not speak IMAP as it should: {_said(error)}", fix="check apps.mail.imap"
        ) from error


def _log_in(client: IMAPClient, account: MailAccount, secret: str) -> None:
    if account.user is None:
        raise Unavailable("the mail account has no user", fix="set apps.mail.user and password_command")
    if client.has_capability("AUTH=PLAIN"):
        client.plain_login(account.user, secret)
    elif client.has_capability("LOGINDISABLED"):
        raise Unavailable(
            f"{client.host} takes no password over this connection", fix='set security = "starttls" or "tls"'
        )
    else:
        client.login(_quoted(account.user), secret)  # the library itself quotes the password only


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _said(error: BaseException) -> str:
    """Return what a server said, as far as it is fit to be shown."""
    return one_line(str(error))[:200] or type(error).__name__


class Mailbox:
    """The folders of an account, while connected (see `opened`)."""

    def __init__(self, client: IMAPClient, account: MailAccount, server: Server, port: int) -> None:
        self._client, self._account, self._server, self._port = client, account, server, port

    def message(self, which: str = "") -> tuple[str, bytes]:
        """Return a message of the inbox: the identity by which it is found again, and all of it.

        Args:
            which: Its identity, its Message-ID (`<left@right>`), or "" for the one that came last.

        Raises:
            Unavailable: There is none such, or it is too large.
        """
        validity = self._select("INBOX")
        if which.startswith("<"):
            found = self._with_id(which)
        elif which:
            found = self._client.search(["UID", which.partition(".")[2]]) if which.startswith(f"{validity}.") else []
        else:
            found = self._client.search(["UNDELETED"])
        if not found:
            if which:
                raise Unavailable(f"the message {which} is not in the inbox any more", fix="select another message")
            raise Unavailable("no message is selected: the inbox is empty", fix="write a new mail instead")
        uid = max(found)
        size = self._client.fetch([uid], ["RFC822.SIZE"])[uid][b"RFC822.SIZE"]
        if size > MAX_BYTES:
            raise Unavailable(
                f"the message has {size / 2**20:.0f} MiB, more than the {MAX_BYTES / 2**20:.0f} that are read",
                fix="select another message",
            )
        data = self._client.fetch([uid], ["BODY.PEEK[]"])[uid].get(b"BODY[]")
        if not isinstance(data, bytes):
            raise Unavailable(f"{self._server.host} does not give the message", fix="select another message")
        return f"{validity}.{uid}", data

    def drafts(self, *, make: bool = True) -> str:
        """Return the name of the folder of drafts: the setting's, the one marked \\Drafts, one with a usual name, or a new one.

        Args:
            make: Whether a new one is made at once.
        """
        return self._account.drafts or self._special(_DRAFTS, make=make)

    def sent(self) -> str:
        """Return the name of the folder of sent mails, found likewise."""
        return self._account.sent or self._special(_SENT, make=True)

    def holds(self, folder: str, message_id: str) -> bool:
        """Return whether a folder has a message with that Message-ID."""
        self._select(folder)
        return bool(self._with_id(message_id))

    def put(self, folder: str, data: bytes, message_id: str, *, draft: bool) -> Change:
        """Put a message into a folder if none with its Message-ID is there; return how it can be taken back.

        Raises:
            Unavailable: The server refuses it: no room, no such folder.
            InDoubt: The connection broke off where it may have taken it.
        """
        validity = self._select(folder)
        if found := self._with_id(message_id):
            return _change(folder, validity, max(found), message_id)
        flags = [b"\\Seen", b"\\Draft"] if draft else [b"\\Seen"]
        self._client.socket().settimeout(self._account.timeout + len(data) / SLOWEST)
        try:
            answer = self._client.append(folder, data, flags)
        except (imaplib.IMAP4.abort, OSError) as error:
            why = broken(error, self._server.host, self._port, self._account.timeout)
            raise InDoubt(
                f"it is not known whether the mail was put into {folder}: {why.message}", fix=f"look into {folder}"
            ) from error
        if told := _APPENDED.search(answer or b""):
            return _change(folder, int(told[1]), int(told[2]), message_id)
        number = 0  # of no message: it is there, but cannot be taken back
        with suppress(imaplib.IMAP4.error, OSError):
            self._select(folder)  # anew, so that what is new there is known
            number = max(self._with_id(message_id), default=0)
        return _change(folder, validity, number, message_id)

    def remove(self, change: Change) -> None:
        """Remove what `put` made.

        Raises:
            CannotUndo: It is not there any more as it was made.
        """
        mark, _, message_id = change.digest.partition(" ")
        validity, _, uid = mark.partition(".")
        gone = CannotUndo(
            f"the draft is not in {change.place} any more: it was sent, changed or removed",
            fix="nothing is left to take back there",
        )
        try:
            now = self._select(change.place, readonly=False)
        except imaplib.IMAP4.abort:
            raise
        except imaplib.IMAP4.error:
            raise gone from None
        # Messages never change: what is edited gets another number. Numbers count within one validity only.
        if now != int(validity) or int(uid) not in self._with_id(message_id):
            raise gone
        self._client.add_flags([int(uid)], [b"\\Deleted"])
        if self._client.has_capability("UIDPLUS"):
            self._client.uid_expunge([int(uid)])
        elif self._client.search(["DELETED"]) == [int(uid)]:  # else others' messages would go with it
            self._client.expunge()

    def _select(self, folder: str, *, readonly: bool = True) -> int:
        return int(self._client.select_folder(folder, readonly=readonly)[b"UIDVALIDITY"])

    def _with_id(self, message_id: str) -> list[int]:
        return list(self._client.search(["HEADER", "Message-ID", message_id]))

    def _special(self, mark: bytes, *, make: bool) -> str:
        if found := self._client.find_special_folder(mark):
            return str(found)
        if make:
            self._client.create_folder(_NAMES[mark])
            self._client.subscribe_folder(_NAMES[mark])
        return _NAMES[mark]


def _change(folder: str, validity: int, uid: int, message_id: str) -> Change:
    return Change(Path(), created=True, digest=f"{validity}.{uid} {message_id}", account="mail", place=folder)
