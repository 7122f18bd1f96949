"""WebDAV (RFC 4918) as far as calendars and address books need it: collections are found, things in them read, made and removed.

The URL in the settings may be that of the server, of the user's principal, of their home or of one collection; the rest is found from
there (RFC 5397, RFC 6764). What a server says is read with a limit on its size, and never makes a request go on unencrypted.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

import httpx

from pipeline.tools.arguments import one_line
from pipeline.tools.context import InDoubt, ToolError, Unavailable, Unreachable
from pipeline.tools.desktop.accounts import Account, broken, login_refused, password, tls

DAV, CALDAV, CARDDAV = "{DAV:}", "{urn:ietf:params:xml:ns:caldav}", "{urn:ietf:params:xml:ns:carddav}"
MAX_BYTES = 64 * 2**20  # of an answer
_MAX_REDIRECTS = 5
_MULTISTATUS = 207
_WRITES = frozenset({f"{DAV}all", f"{DAV}write", f"{DAV}write-content", f"{DAV}bind"})


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of collections."""

    what: str  # in words, for errors
    type: str  # its resource type
    home: str  # the property of a principal that names where they are
    well_known: str  # the path at which a server tells where it has them (RFC 6764)


CALENDARS = Kind("calendar", f"{CALDAV}calendar", f"{CALDAV}calendar-home-set", "/.well-known/caldav")
ADDRESS_BOOKS = Kind("address book", f"{CARDDAV}addressbook", f"{CARDDAV}addressbook-home-set", "/.well-known/carddav")


@dataclass(frozen=True, slots=True)
class Resource:
    """What a server says of one thing: its URL and the properties that it has of those asked for, by name."""

    url: str
    properties: Mapping[str, Element]

    def text(self, name: str) -> str:
        """Return a property as text on one line, "" where there is none."""
        found = self.properties.get(name)
        return one_line(found.text or "") if found is not None else ""

    def links(self, name: str) -> list[str]:
        """Return the URLs in a property."""
        found = self.properties.get(name)
        hrefs = found.iter(f"{DAV}href") if found is not None else ()
        return [joined(self.url, href.text) for href in hrefs if href.text]

    def children(self, name: str) -> set[str]:
        """Return the names of all elements in a property."""
        found = self.properties.get(name)
        return set() if found is None else {element.tag for element in found.iter()} - {name}

    def writable(self) -> bool:
        """Return whether we may put things into it, as far as the server tells."""
        privileges = f"{DAV}current-user-privilege-set"
        return privileges not in self.properties or bool(self.children(privileges) & _WRITES)


@dataclass(frozen=True, slots=True)
class Answer:
    """A server's answer."""

    url: str
    status: int
    headers: httpx.Headers
    body: bytes

    @property
    def ok(self) -> bool:
        """Whether the request was granted."""
        return 200 <= self.status < 300


class Connection:
    """A server, with the account's user logged in (see `connected`)."""

    def __init__(self, client: httpx.Client, account: Account) -> None:
        self._client, self._account = client, account

    def request(
        self, method: str, url: str, *, headers: Mapping[str, str] | None = None, body: bytes = b"", acts: bool = False
    ) -> Answer:
        """Make a request; `acts` says whether it changes something there.

        Raises:
            Unreachable: The server does not answer, or not now.
            Unavailable: It is not to be trusted, refuses the user, or answers without end.
            InDoubt: It did not answer, and may have acted.
        """
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or {"https": 443}.get(parts.scheme, 80)
        try:
            with self._client.stream(method, url, headers=headers, content=body) as response:
                data = bytearray()
                for chunk in response.iter_bytes():
                    data += chunk
                    if len(data) > MAX_BYTES:
                        raise Unavailable(f"{host} answers with more than {MAX_BYTES // 2**20} MiB")
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise broken(_cause(error), host, port, self._account.timeout) from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            told = broken(_cause(error), host, port, self._account.timeout)
            raise (_doubt(host, told.message) if acts else told) from error
        if response.status_code == httpx.codes.UNAUTHORIZED:
            raise login_refused(host, self._account)
        if response.status_code >= 500 and response.status_code != httpx.codes.INSUFFICIENT_STORAGE:
            said = f"it answers {response.status_code} {response.reason_phrase}"
            raise _doubt(host, said) if acts else Unreachable(f"{host}: {said}", fix="try again later")
        return Answer(url, response.status_code, response.headers, bytes(data))

    def ask(self, method: str, url: str, question: Element, *, depth: int) -> list[Resource]:
        """Ask for properties (PROPFIND or REPORT), and go where the server says that they are.

        Raises:
            Unavailable: There is nothing such, or the answer is none.
            TinyAgentError: As in `request`.
        """
        headers = {"Depth": str(depth), "Content-Type": "application/xml; charset=utf-8"}
        for _ in range(_MAX_REDIRECTS):
            answer = self.request(method, url, headers=headers, body=ElementTree.tostring(question, "utf-8"))
            if answer.status not in (301, 302, 307, 308):
                break
            url = joined(url, answer.headers.get("location", ""))
        if answer.status != _MULTISTATUS:
            raise refused(answer, f"{url} is no place for this", fix="check the URL in the settings")
        return list(_resources(answer))

    def collections(self, url: str, kind: Kind) -> list[Resource]:
        """Return the collections of a kind that the user has, by the URL in the settings.

        Raises:
            Unavailable: There is none.
            TinyAgentError: As in `request`.
        """
        wanted = propfind(
            f"{DAV}resourcetype",
            f"{DAV}displayname",
            f"{DAV}current-user-principal",
            f"{DAV}current-user-privilege-set",
            f"{CALDAV}supported-calendar-component-set",
            kind.home,
        )
        try:
            start = self._one(url, wanted)
        except Unreachable:
            raise
        except Unavailable:
            if urlsplit(url).path not in ("", "/"):
                raise
            start = self._one(urljoin(url, kind.well_known), wanted)
        if kind.type in start.children(f"{DAV}resourcetype"):
            return [start]
        homes = start.links(kind.home)
        for principal in start.links(f"{DAV}current-user-principal") if not homes else ():
            homes += self._one(principal, wanted).links(kind.home)
        found = [item for home in homes or [start.url] for item in self.ask("PROPFIND", home, wanted, depth=1)]
        found = [item for item in found if kind.type in item.children(f"{DAV}resourcetype")]
        if not found:
            raise NoCollection(
                f"there is no {kind.what} at {url}",
                home=next(iter(homes), None),
                fix=f"make one on the server, or check the URL in the settings: it is that of the server or the {kind.what}",
            )
        return found

    def _one(self, url: str, question: Element) -> Resource:
        found = self.ask("PROPFIND", url, question, depth=0)
        if not found:
            raise Unavailable(f"the server says nothing of {url}", fix="check the URL in the settings")
        return found[0]


class NoCollection(Unavailable):
    """The user has no collection of a kind; `home` is the URL under which one can be made, if the server names it."""

    def __init__(self, message: str, *, home: str | None, fix: str | None = None) -> None:
        super().__init__(message, fix=fix)
        self.home = home


@contextmanager
def connected(account: Account) -> Iterator[Connection]:
    """Lend a connection with the account's user.

    Raises:
        Unavailable: The password cannot be had.
        ConfigError: `ca_file` cannot be read.
    """
    secret = (account.user, password(account)) if account.user is not None else None
    auth = httpx.BasicAuth(secret[0].encode(), secret[1].encode()) if secret else None
    with httpx.Client(auth=auth, verify=tls(account), timeout=account.timeout) as client:
        yield Connection(client, account)


def joined(base: str, href: str) -> str:
    """Return the URL that a server names.

    Another host is gone to as well, for large providers have many; the server that names it has the password already.

    Raises:
        Unavailable: It is none, or not encrypted where `base` is.
    """
    try:
        target = urljoin(base, href.strip())
        parts = urlsplit(target)
        sound = bool(parts.hostname) and (parts.scheme == "https" or parts.scheme == urlsplit(base).scheme)
        parts.port  # noqa: B018 (it raises for what is no port)
    except ValueError:
        sound = False
    if not sound:
        raise Unavailable(
            f"{base} leads on to {one_line(href)[:200]!r}, which is no safe URL", fix="ask who runs the server"
        )
    return target


def propfind(*names: str) -> Element:
    """Return the question for properties."""
    question = Element(f"{DAV}propfind")
    wanted = SubElement(question, f"{DAV}prop")
    for name in names:
        SubElement(wanted, name)
    return question


def refused(answer: Answer, what: str, *, fix: str | None = None) -> ToolError:
    """Return the error of a server that does not do what it was asked; nothing was changed."""
    host = urlsplit(answer.url).hostname
    reason = httpx.codes.get_reason_phrase(answer.status)
    if answer.status == httpx.codes.FORBIDDEN:
        fix = "ask for the right to, or name another in the settings"
    if answer.status == httpx.codes.INSUFFICIENT_STORAGE:
        fix = "make room on the server"
    return Unavailable(f"{what}: {host} answers {answer.status} {reason}", fix=fix)


def _resources(answer: Answer) -> Iterator[Resource]:
    """Yield what a multi-status answer (RFC 4918, 13) says of each thing that is there."""
    parser = ElementTree.XMLParser(target=_Tree())
    try:
        parser.feed(answer.body)
        root = parser.close()
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise Unavailable(
            f"{answer.url} answers with what is no XML: {error}", fix="check the URL in the settings"
        ) from error
    for item in root.iter(f"{DAV}response"):
        properties = {
            element.tag: element
            for found in item.iter(f"{DAV}propstat")
            if " 200 " in f"{found.findtext(f'{DAV}status') or ''} "
            for element in found.find(f"{DAV}prop") or ()
        }
        if href := (item.findtext(f"{DAV}href") or "").strip():
            yield Resource(joined(answer.url, href), properties)


class _Tree(ElementTree.TreeBuilder):
    def doctype(self, *_: object) -> None:
        """Refuse a document type: it has no business there but to define entities, of which a few lines can make gigabytes."""
        raise ValueError("it has a document type")


def _doubt(host: str, why: str) -> InDoubt:
    return InDoubt(
        f"it is not known whether {host} did it: {why}",
        fix="look there; 'tinyagent runs resume' makes the call again, which changes nothing if it was done",
    )


def _cause(error: BaseException) -> BaseException:
    """Return what lies behind an error of the library: the connection's own, if that is to be had."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLError | OSError):
            return cause
        cause = cause.__cause__ or cause.__context__
    return TimeoutError() if isinstance(error, httpx.TimeoutException) else error
