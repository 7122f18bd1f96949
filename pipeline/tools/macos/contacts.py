"""Contacts: who a name means, among the people of Contacts.app.

Names, nicknames, companies, job titles and groups are read from the app; whom of the people a name means is decided by the rules of the
desktop's contacts, the user's own card ("me", and who "sister" is) included. Nothing here writes.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

from pipeline.tools.arguments import one_line, required_line
from pipeline.tools.context import ToolContext, Unavailable
from pipeline.tools.desktop import names
from pipeline.tools.desktop.contacts import MOBILE, Contact, related, value_of
from pipeline.tools.macos.osascript import Script, ask

APP = "Contacts"
_PEOPLE = Script("people", APP)
_CHANGED = Unavailable("the contacts have changed meanwhile", fix="try again")


def get_phone_number(ctx: ToolContext, /, *, name: str) -> str:
    """Return the phone number of the contact that `name` means, a mobile one if there are several.

    Raises:
        NotFound: Nobody is called that, or the contact has no number.
        Ambiguous: Several people are.
        Unavailable: Contacts cannot be used, or is empty.
    """
    return _look_up(ctx, name, "phones", "phone number")


def get_email_address(ctx: ToolContext, /, *, name: str) -> str:
    """Return the email address of the contact that `name` means, the first if there are several.

    Raises:
        NotFound: Nobody is called that, or the contact has no address.
        Ambiguous: Several people are.
        Unavailable: Contacts cannot be used, or is empty.
    """
    return _look_up(ctx, name, "emails", "email address")


def _look_up(ctx: ToolContext, name: str, wanted: str, what: str) -> str:
    query = required_line(name, "name")
    people, me = _people(ask(ctx, _PEOPLE, refusals={"changed": _CHANGED}).rows(_FIELDS))
    if not people and me is None:
        raise Unavailable(
            "there is nobody in Contacts", fix="add people there, or sign in to the account that has them"
        )
    return value_of(query, people, me, wanted, what)


# Each line tells one thing of one card: what it is, the card's id, and up to six texts.
_FIELDS = 8


@dataclass(slots=True)
class _Card:
    texts: tuple[str, ...] = ("",) * 6  # full, first and last name, nickname, company, job title
    groups: list[str] = field(default_factory=list)
    phones: list[tuple[str, str]] = field(default_factory=list)  # label, number
    emails: list[str] = field(default_factory=list)
    relations: list[tuple[str, str]] = field(default_factory=list)  # of the user: what, who


def _people(rows: list[tuple[str, ...]]) -> tuple[list[Contact], Contact | None]:
    """Return everybody else and the user."""
    cards: dict[str, _Card] = defaultdict(_Card)
    own = ""
    for what, card_id, *texts in rows:
        first, second = texts[:2]
        match what:
            case "person":
                cards[card_id].texts = tuple(one_line(text) for text in texts)
            case "phone":
                cards[card_id].phones.append((_label(first), one_line(second)))
            case "email":
                cards[card_id].emails.append(one_line(second))
            case "group":
                cards[card_id].groups.append(one_line(first))
            case "relation":
                cards[card_id].relations.append((_label(first), one_line(second)))
            case "me":
                own = card_id
    contacts = {card_id: _contact(card_id, card) for card_id, card in cards.items() if card.texts[0]}
    me = contacts.pop(own, None)
    return related(list(contacts.values()), me), me


def _contact(card_id: str, card: _Card) -> Contact:
    full, first, last, nickname, company, job = card.texts
    plain = " ".join(part for part in (first, last) if part)  # without titles and middle names
    phones = sorted(card.phones, key=lambda phone: phone[0] not in MOBILE)
    return Contact(
        full_name=full,
        uid=names.fold(card_id),
        names=tuple(text for text in (plain, first, last, nickname) if text),
        roles=tuple(text for text in (job, company, *card.groups) if text),
        phones=tuple(number for _, number in phones if number),
        emails=tuple(address for address in card.emails if address),
        relations=tuple(card.relations),
    )


def _label(text: str) -> str:
    """Return a label of Apple's, such as `_$!<Mobile>!$_`, or one of the person's own, as a word."""
    return one_line(text).strip("_$!<>").casefold()
