"""Contacts: who a name means, from the vCards (RFC 6350, RFC 2426) under `contacts/` or in an account by CardDAV.

`get_phone_number` and `get_email_address` take a name as a person says it: full, given or family name,
nickname, "mom", "the dentist", "design team". Exact fits come before partial ones; people who fit equally
well are `Ambiguous`, never guessed between. `me.vcf` is the user's own card: "me" finds it, its RELATED lines
say who "spouse" or "sister" is, and it fits no other name; it is a file also where the others are in an account. Nothing here writes.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import vobject
from vobject.base import Component, ContentLine, registerBehavior
from vobject.icalendar import MultiTextBehavior
from vobject.vcard import VCard3_0

from pipeline.tools.arguments import one_line, required_line
from pipeline.tools.context import Ambiguous, NotFound, ToolContext, Unavailable
from pipeline.tools.desktop import names, store
from pipeline.tools.desktop.accounts import contacts_account

logger = logging.getLogger(__name__)
logging.getLogger("vobject.base").setLevel(logging.CRITICAL)  # it prints each line that it cannot read

OWN_CARD = "me.vcf"
MOBILE = frozenset({"cell", "mobile", "iphone"})  # labels of numbers that are preferred
_SELF = frozenset({"me", "myself"})
_ARTICLES = ("my ", "our ", "the ")
_SAME_RELATION = (
    frozenset({"mom", "mum", "mam", "mother", "mommy", "mummy", "mama"}),
    frozenset({"dad", "father", "daddy", "papa"}),
    frozenset({"grandma", "grandmother", "granny", "nana"}),
    frozenset({"grandpa", "grandfather", "granddad"}),
    frozenset({"spouse", "wife", "husband", "partner"}),
)


class _ListBehavior(MultiTextBehavior):
    """NICKNAME as the list that it is in RFC 2426; vobject itself keeps only its first value."""

    allowGroup = True


registerBehavior(_ListBehavior, "NICKNAME")
VCard3_0.knownChildren["NICKNAME"] = (0, None, None)


def new_card() -> Component:
    """Return an empty vCard, as this module reads them: with nicknames and categories as lists."""
    return vobject.vCard()


@dataclass(frozen=True, slots=True)
class Contact:
    """One card. Phones and addresses are in the order in which they are to be preferred."""

    full_name: str
    uid: str = ""
    names: tuple[str, ...] = ()  # given and family name, nicknames, what the person is to the user
    roles: tuple[str, ...] = ()  # what several may be: profession, title, organisation, categories
    phones: tuple[str, ...] = ()
    emails: tuple[str, ...] = ()
    relations: tuple[tuple[str, str], ...] = ()  # on the user's own card: (relation, full name or UID)


def get_phone_number(ctx: ToolContext, /, *, name: str) -> str:
    """Return the phone number of the contact that `name` means, a mobile one if there are several.

    Raises:
        NotFound: Nobody is called that, or the contact has no number.
        Ambiguous: Several people are.
        Unavailable: There are no readable contacts.
    """
    return _look_up(ctx, name, "phones", "phone number")


def get_email_address(ctx: ToolContext, /, *, name: str) -> str:
    """Return the email address of the contact that `name` means, the preferred one if there are several.

    Raises:
        NotFound: Nobody is called that, or the contact has no address.
        Ambiguous: Several people are.
        Unavailable: There are no readable contacts.
    """
    return _look_up(ctx, name, "emails", "email address")


def own_card(data_dir: Path) -> Contact | None:
    """Return the user's own card, or None where there is none."""
    path = data_dir / "contacts" / OWN_CARD
    return next(iter(_read_cards(path)), None) if store.is_file(path) else None


def everybody(data_dir: Path) -> list[Contact]:
    """Return all contacts in files but the user's own card; an account is not asked.

    Raises:
        Unavailable: There are no readable contacts.
    """
    return _load(data_dir, {})[0]


def _look_up(ctx: ToolContext, name: str, field: str, what: str) -> str:
    query = required_line(name, "name")
    people, me = _load(ctx.data_dir, ctx.settings)
    return value_of(query, people, me, field, what)


def value_of(query: str, people: list[Contact], me: Contact | None, field: str, what: str) -> str:
    """Return what is wanted of the contact whom a name means.

    Args:
        query: The name, as a person says it.
        people: Everybody but the user.
        me: The user's own card.
        field: "phones" or "emails".
        what: The field in words, for errors.

    Raises:
        NotFound: Nobody is called that, or the contact has no such value.
        Ambiguous: Several people are.
    """
    found = [me] if me and names.fold(query) in _SELF else _fitting(query, people)
    if not found:
        raise NotFound(
            f"there is no contact {query!r}",
            fix=names.did_you_mean(query, (contact.full_name for contact in people)),
        )
    # Cards of the same full name are one person as far as they do not disagree.
    values = {own[0] for contact in found if (own := getattr(contact, field))}
    if len(values) > 1 or len({names.fold(contact.full_name) for contact in found}) > 1:
        candidates = [_told_apart(contact, found) for contact in found]
        raise Ambiguous(
            f"{query!r} may be {names.listed(candidates)}",
            candidates=candidates,
            fix="say which one, by full name",
        )
    if not values:
        raise NotFound(
            f"{found[0].full_name} has no {what} in the contacts",
            fix=f"add one to the card, or say the {what} itself",
        )
    return str(values.pop())


def _fitting(query: str, people: list[Contact]) -> list[Contact]:
    """Return those whom `query` fits best: by full name, another name, role, or some words of these."""
    if told := re.fullmatch(
        r"(.+) \((.+)\)", query
    ):  # one of the candidates of an `Ambiguous`, as `_told_apart` writes it
        same = [contact for contact in people if names.fold(contact.full_name) == names.fold(told[1])]
        if found := [c for c in same if told[2] in (*c.roles, *c.phones, *c.emails)]:
            return found
    bare = names.fold(query)
    for article in _ARTICLES:
        bare = bare.removeprefix(article)
    asked = {names.fold(query), bare, *(same for group in _SAME_RELATION if bare in group for same in group)}
    wanted = set(names.words(bare))
    fits: tuple[Callable[[Contact], bool], ...] = (
        lambda c: names.fold(c.full_name) in asked,
        lambda c: any(names.fold(name) in asked for name in c.names),
        lambda c: any(names.fold(role) in asked for role in c.roles),
        lambda c: set() < wanted <= _words(c.full_name, *c.names),
        lambda c: set() < wanted <= _words(c.full_name, *c.names, *c.roles),
    )
    for fit in fits:
        if found := [contact for contact in people if fit(contact)]:
            return found
    return []


def _words(*texts: str) -> set[str]:
    return {word for text in texts for word in names.words(text)}


def _told_apart(contact: Contact, among: list[Contact]) -> str:
    """Return the contact's name with what the others do not have: a role, else a number or address."""
    taken = {names.fold(role) for other in among if other is not contact for role in other.roles}
    details = [role for role in contact.roles if names.fold(role) not in taken] + [
        *contact.phones,
        *contact.emails,
    ]
    return f"{contact.full_name} ({details[0]})" if details else contact.full_name


def _load(data_dir: Path, settings: Mapping[str, Mapping[str, Any]]) -> tuple[list[Contact], Contact | None]:
    """Return everybody else and the user, with relations from the user's own card written onto the others."""
    me = own_card(data_dir)
    if account := contacts_account(settings):
        from pipeline.tools.desktop import carddav

        cards = carddav.cards(account)
        if not cards:
            fix = "add people there, or check apps.contacts.carddav"
            raise Unavailable(f"there is nobody in the address books at {account.carddav}", fix=fix)
        people = [contact for card in cards for contact in _contacts_in(card, account.carddav)]
        own = {me.uid, names.fold(me.full_name)} - {""} if me else set()
        return related([c for c in people if not {c.uid, names.fold(c.full_name)} & own], me), me
    folder = data_dir / "contacts"
    paths = store.files_in(folder, "**/*.vcf")
    if not paths:
        raise Unavailable(
            f"there are no contacts in {folder}",
            fix="export yours there as .vcf files, or make sample data with tinyagent init --sample",
        )
    people = [contact for path in paths if path != folder / OWN_CARD for contact in _read_cards(path)]
    return related(people, me), me


def related(people: list[Contact], me: Contact | None) -> list[Contact]:
    """Return the people, those with a relation on the user's own card with that as one more name."""
    relations = [(_bare_uid(whom), relation) for relation, whom in me.relations] if me else []
    return [
        replace(c, names=c.names + tuple(r for whom, r in relations if whom in {names.fold(c.full_name), c.uid}))
        for c in people
    ]


def _bare_uid(text: str) -> str:
    """Return an UID or name as it is compared: exporters disagree about the URN's prefix and its case."""
    return names.fold(text).removeprefix("urn:uuid:")


def _read_cards(path: Path) -> list[Contact]:
    """Return the cards of one file."""
    return _contacts_in(store.read_bytes(path).decode("utf-8-sig", errors="replace"), str(path))


def _contacts_in(text: str, where: str) -> list[Contact]:
    """Return the cards in a text. What cannot be read is logged and left out: the rest still serves."""
    found: list[Contact] = []
    try:
        for card in vobject.readComponents(text, ignoreUnreadable=True, allowQP=True):
            try:
                contact = _contact(card)
            except Exception as error:  # values of another kind than their property's
                logger.warning("a card of %s cannot be read: %s", where, error)
                continue
            if contact:
                found.append(contact)
    except Exception as error:  # besides its own errors the library raises those of wrong encodings and base64
        logger.warning("the rest of %s is no vCard: %s", where, error)
    return found


def _contact(card: Component) -> Contact | None:
    """Return what a card says, or None where it names nobody."""
    full_name = next(iter(_texts(card, "fn")), "")
    parts = [part for line in _lines(card, "n")[:1] for part in _name_parts(line) if part]
    organisations = _texts(card, "org")
    full_name = full_name or " ".join(parts) or next(iter(organisations), "")
    if not full_name:
        return None
    plain = [" ".join(parts)] if parts else []  # without titles and middle names
    return Contact(
        full_name=full_name,
        uid=_bare_uid(next(iter(_texts(card, "uid")), "")),
        names=tuple(plain + parts + _texts(card, "nickname")),
        roles=tuple(_texts(card, "role") + _texts(card, "title") + organisations + _texts(card, "categories")),
        phones=_preferred(card, "tel", kinds=MOBILE),
        emails=_preferred(card, "email"),
        relations=tuple(_relations(card)),
    )


def _lines(card: Component, property_name: str) -> list[ContentLine]:
    return [line for line in card.contents.get(property_name, ()) if isinstance(line, ContentLine)]


def _texts(card: Component, property_name: str) -> list[str]:
    """Return all values of a property, those of its lists one by one, without empty ones."""
    values: list[str] = []
    for line in _lines(card, property_name):
        values += line.value if isinstance(line.value, list) else [line.value]
    return [text for value in values if (text := one_line(value))]


def _name_parts(line: ContentLine) -> tuple[str, str]:
    """Return the given and the family name of an N line."""
    name: Any = line.value
    given, family = (part if isinstance(part, list) else [part] for part in (name.given, name.family))
    return one_line(" ".join(given)), one_line(" ".join(family))


def _types(line: ContentLine) -> set[str]:
    """Return the TYPE parameters of a line, which come as several, as one list, or (vCard 2.1) bare."""
    given = [*line.params.get("TYPE", ()), *line.singletonparams]
    return {kind.strip().casefold() for types in given for kind in types.split(",")}


def _preferred(card: Component, property_name: str, *, kinds: frozenset[str] = frozenset()) -> tuple[str, ...]:
    """Return the values of a property: by PREF (RFC 6350, 5.3), then those marked "pref", then by `kinds`."""

    def rank(line: ContentLine) -> tuple[int, bool, bool]:
        pref = next(iter(line.params.get("PREF", ())), "")
        types = _types(line)
        return int(pref) if pref.isdecimal() else 101, "pref" not in types, not types & kinds

    values = (one_line(line.value) for line in sorted(_lines(card, property_name), key=rank))
    return tuple(text for value in values if (text := value.removeprefix("tel:").removeprefix("mailto:")))


def _relations(card: Component) -> list[tuple[str, str]]:
    """Return who is what to the card's owner: RELATED by its types, Apple's X-ABRELATEDNAMES by its label."""
    labels = {line.group: line.value.strip("_$!<>") for line in _lines(card, "x-ablabel")}
    found = [(kind, line.value) for line in _lines(card, "related") for kind in sorted(_types(line))]
    return found + [
        (labels[line.group], line.value) for line in _lines(card, "x-abrelatednames") if line.group in labels
    ]
