"""Reads the cards of an account's address books by CardDAV (RFC 6352). Who a name means among them is `contacts`' business."""

from __future__ import annotations

from urllib.parse import urlsplit
from xml.etree.ElementTree import Element, SubElement

from pipeline.tools.desktop import dav
from pipeline.tools.desktop.accounts import ContactsAccount

_BATCH = 200  # cards that are asked for at a time
_TYPE = f"{dav.DAV}resourcetype"
_DATA = f"{dav.CARDDAV}address-data"


def cards(account: ContactsAccount) -> list[str]:
    """Return all cards (vCard) of all address books.

    Raises:
        Unreachable: The server does not answer.
        Unavailable: It is not to be trusted, refuses, or has no address book.
    """
    found: list[str] = []
    with dav.connected(account) as connection:
        for book in connection.collections(account.carddav, dav.ADDRESS_BOOKS):
            listed = connection.ask("PROPFIND", book.url, dav.propfind(_TYPE), depth=1)
            urls = [item.url for item in listed if f"{dav.DAV}collection" not in item.children(_TYPE)]
            for start in range(0, len(urls), _BATCH):
                asked = connection.ask("REPORT", book.url, _multiget(urls[start : start + _BATCH]), depth=1)
                found += [data.text for item in asked if (data := item.properties.get(_DATA)) is not None and data.text]
    return found


def _multiget(urls: list[str]) -> Element:
    question = Element(f"{dav.CARDDAV}addressbook-multiget")
    wanted = SubElement(question, f"{dav.DAV}prop")
    SubElement(wanted, _DATA)
    for url in urls:
        SubElement(question, f"{dav.DAV}href").text = urlsplit(url).path
    return question
