"""Messages: an outbox of text messages under `messages/outbox/`, one JSON file each.

A bridge to a phone or modem takes them from there: `{"id", "created", "recipients", "text"}`. Nothing is sent
here.
"""

from __future__ import annotations

import json
from uuid import uuid4

from pipeline.tools.arguments import paragraphs, phone_number
from pipeline.tools.context import InvalidArgument, ToolContext
from pipeline.tools.desktop import names, store


def send_sms(ctx: ToolContext, /, *, recipients: list[str], message: str) -> str:
    """Put one message for all `recipients` (phone numbers) into the outbox and return a status line.

    Raises:
        InvalidArgument: There is no recipient, one is no phone number, or the message is empty.
        Unavailable: The outbox cannot be written.
    """
    numbers, text = checked(recipients, message)
    document = {
        "id": str(uuid4()),
        "created": ctx.now.isoformat(timespec="seconds"),
        "recipients": numbers,
        "text": text,
    }
    store.create_unique(
        ctx.data_dir / "messages" / "outbox",
        f"{ctx.now:%Y-%m-%d_%H%M%S}",
        ".json",
        json.dumps(document, ensure_ascii=False, indent=2).encode() + b"\n",
    )
    return f"Put a message to {names.listed(numbers)} into the outbox."


def checked(recipients: list[str], message: str) -> tuple[list[str], str]:
    """Return the numbers, each once, and the text that the arguments of `send_sms` mean.

    Raises:
        InvalidArgument: There is no recipient, one is no phone number, or the message is empty.
    """
    numbers = list(dict.fromkeys(phone_number(recipient) for recipient in recipients))
    if not numbers:
        raise InvalidArgument("the message has no recipient", fix="say who is to get it")
    text = paragraphs(message).strip()
    if not text:
        raise InvalidArgument("the message is empty", fix="say what it should say")
    return numbers, text
