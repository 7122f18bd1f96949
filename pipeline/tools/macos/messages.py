"""Messages: text messages through Messages.app, which are really sent; the executor asks before.

By SMS where the Mac has it (an iPhone with Text Message Forwarding), because that reaches every number, else by iMessage; the setting
`messages.service` ("SMS" or "iMessage") decides otherwise. To each recipient alone. Messages does not say whether one arrived.
"""

from __future__ import annotations

from pipeline.errors import ConfigError
from pipeline.tools.context import InDoubt, ToolContext, Unavailable
from pipeline.tools.desktop import names
from pipeline.tools.desktop.messages import checked
from pipeline.tools.macos.osascript import LOST, TIMED_OUT, Script, ask, counted, error_of

APP = "Messages"
_SEND = Script("send_sms", APP, effect=True)
_SERVICES = ("auto", "SMS", "iMessage")


def send_sms(ctx: ToolContext, /, *, recipients: list[str], message: str) -> str:
    """Send one message to each of `recipients` (phone numbers) and return a status line.

    Raises:
        InvalidArgument: There is no recipient, one is no phone number, or the message is empty.
        Unavailable: Messages cannot be used, or has no account that sends.
        InDoubt: It was sent to some and not to others, or it is not known.
        ConfigError: The setting `messages.service` is unknown.
    """
    to, text = checked(recipients, message)
    service = str(ctx.settings.get("messages", {}).get("service", "auto"))
    if service not in _SERVICES:
        raise ConfigError(f"the setting messages.service is {service!r}", fix=f"set it to {names.listed([*_SERVICES])}")
    none = Unavailable(
        "Messages has no account that sends" + ("" if service == "auto" else f" by {service}"),
        fix="sign in to iMessage, or turn on Text Message Forwarding for this Mac on your iPhone (Settings > Messages)",
    )
    rows = ask(ctx, _SEND, [service, text, *counted(to)], refusals={"no account": none}).rows(4)
    failed = [(number, int(code), said) for word, number, code, said in rows if word != "sent"]
    if not failed:
        return f"Sent a message to {names.listed(to)}."
    sent = [number for word, number, _, _ in rows if word == "sent"]
    _, code, said = failed[0]
    if not sent and code not in (LOST, TIMED_OUT):
        raise error_of(APP, code, said, effect=True)
    rest = [number for number in to if number not in sent]
    raise InDoubt(
        f"the message went to {names.listed(sent) if sent else 'nobody for certain'}, and perhaps not to "
        f"{names.listed(rest)}: {error_of(APP, code, said, effect=True).message}",
        fix="look in Messages before trying again",
    )
