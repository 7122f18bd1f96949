"""Sends a mail by SMTP (RFC 5321), to all of its recipients or to none, and at most once.

Nothing is tried again. Up to the moment at which the text itself is handed over, a failure means that nothing was sent; what
breaks off after that, before the server's word, is in doubt.
"""

from __future__ import annotations

import base64
import smtplib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from email.message import EmailMessage

from pipeline.tools.arguments import one_line
from pipeline.tools.context import InDoubt, InvalidArgument, ToolError, Unavailable, Unreachable
from pipeline.tools.desktop import names
from pipeline.tools.desktop.accounts import MailAccount, broken, login_refused, password, tls

PORTS = {"tls": 465, "starttls": 587, "none": 25}
_HELLO = "[127.0.0.1]"  # the name of this machine is nobody's business, and finding it may take a look-up
_CHUNK = 2**16  # bytes; the time-out counts for each


def send(account: MailAccount, message: EmailMessage, sender: str, recipients: list[str]) -> None:
    """Send a mail.

    Args:
        account: One that has `smtp`.
        message: All of it, header and body.
        sender: The address that failures are reported to.
        recipients: Addresses, also of those who get a copy.

    Raises:
        InvalidArgument: The server does not take an address, or so large a mail; nobody was sent anything.
        Unreachable: The server does not answer, or not now; nobody was sent anything.
        Unavailable: It is not to be trusted, or refuses; nobody was sent anything.
        InDoubt: The connection broke off where the mail may have been sent.
    """
    host = account.smtp.host if account.smtp else ""
    with connected(account) as smtp:
        eight_bits = smtp.has_extn("8bitmime")
        data = wire(message, eight_bits=eight_bits)
        limit = smtp.esmtp_features.get("size", "")
        if limit.isdecimal() and 0 < int(limit) < len(data):
            raise InvalidArgument(
                f"the mail has {len(data) / 2**20:.1f} MiB and {host} takes {int(limit) / 2**20:.1f} at most",
                fix="leave out an attachment",
            )
        code, said = smtp.mail(sender, ["BODY=8BITMIME"] if eight_bits and not data.isascii() else [])
        if code != 250:
            raise _refused(host, f"the sender {sender}", code, said)
        answers = {address: smtp.rcpt(address) for address in recipients}
        if refused := {address: answer for address, answer in answers.items() if answer[0] not in (250, 251)}:
            raise _refused(host, names.listed(list(refused)), *max(refused.values()))
        code, said = smtp.docmd("DATA")
        if code != 354:
            raise _refused(host, "the mail", code, said)
        try:
            for start in range(0, len(data), _CHUNK):
                smtp.send(data[start : start + _CHUNK])
            code, said = smtp.getreply()
        except OSError as error:  # of which smtplib's own errors are some
            raise InDoubt(
                f"{host} broke off before it said that it has the mail: {one_line(str(error)) or type(error).__name__}",
                fix="it may have been sent: look into the folder of sent mails, or ask, before trying again",
            ) from error
        if code != 250:
            raise _refused(host, "the mail", code, said)


def wire(message: EmailMessage, *, eight_bits: bool) -> bytes:
    """Return a message as it goes over the wire (RFC 5321, 4.5.2), with the line that ends it.

    Every line ends in CRLF, whatever a forwarded message had: a bare one could end the mail early and begin another.
    """
    data = message.as_bytes()
    if not eight_bits and not data.isascii():
        data = message.as_bytes(policy=message.policy.clone(cte_type="7bit"))
    lines = (b"." + line if line.startswith(b".") else line for line in data.splitlines())
    return b"\r\n".join((*lines, b".", b""))


@contextmanager
def connected(account: MailAccount) -> Iterator[smtplib.SMTP]:
    """Lend a connection to the server of an account that has `smtp`, logged in if the account has a user.

    Raises:
        Unreachable: The server does not answer.
        Unavailable: It is not to be trusted, or refuses.
        ConfigError: `ca_file` cannot be read.
    """
    server = account.smtp
    if server is None:
        raise Unavailable("the mail account cannot send", fix="set apps.mail.smtp")
    secret = password(account) if account.user is not None else ""
    context, port = tls(account), server.port or PORTS[server.security]
    try:
        smtp: smtplib.SMTP
        if server.security == "tls":
            smtp = smtplib.SMTP_SSL(server.host, port, _HELLO, timeout=account.timeout, context=context)
        else:
            smtp = smtplib.SMTP(server.host, port, _HELLO, timeout=account.timeout)
        try:
            if server.security == "starttls":
                smtp.starttls(context=context)
            smtp.ehlo_or_helo_if_needed()
            if account.user is not None:
                _log_in(smtp, account.user, secret)
            yield smtp
        finally:
            with suppress(OSError):
                smtp.quit()
            smtp.close()
    except smtplib.SMTPNotSupportedError as error:
        fix = "see which port and security the provider names"
        raise Unavailable(f"{server.host}, port {port}: {one_line(str(error))}", fix=fix) from error
    except smtplib.SMTPAuthenticationError as error:
        if error.smtp_code < 500:
            raise Unreachable(f"{server.host} lets nobody in now ({error.smtp_code})", fix="try again later") from error
        raise login_refused(server.host, account) from error
    except smtplib.SMTPResponseException as error:
        told = _refused(server.host, "us", error.smtp_code, error.smtp_error)
        raise Unavailable(told.message, fix="check the server's name and port, or try again later") from error
    except OSError as error:
        raise broken(error, server.host, port, account.timeout) from error


def _log_in(smtp: smtplib.SMTP, user: str, secret: str) -> None:
    if "PLAIN" not in smtp.esmtp_features.get("auth", "").upper().split():
        smtp.login(user, secret)
        return
    # By hand, since smtplib takes ASCII passwords only (RFC 4616 says UTF-8).
    token = base64.b64encode(f"\0{user}\0{secret}".encode()).decode()
    code, said = smtp.docmd("AUTH", f"PLAIN {token}")
    if code != 235:
        raise smtplib.SMTPAuthenticationError(code, said)


def _refused(host: str, what: str, code: int, said: bytes | str) -> ToolError:
    """Return the error of a server that does not take something; 4yz means for now, 5yz for good (RFC 5321, 4.2.1)."""
    text = said.decode("utf-8", "replace") if isinstance(said, bytes) else said
    message = f"{host} does not take {what} ({code}): {one_line(text)[:200]}; nothing was sent"
    if code < 500:
        return Unreachable(message, fix="try again later")
    return InvalidArgument(message, fix="mend what it says")
