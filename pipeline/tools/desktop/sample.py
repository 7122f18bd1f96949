"""Sample data: fills a data folder with the life of one fictional person, for `tinyagent init --sample`.

The person is Alex Moreno, product designer at the likewise fictional Northwind Studio. Names, numbers (555)
and domains (RFC 2606) are nobody's. Dates hang on the time that is passed in, so the data never looks old.
The folder has to be empty; it is filled wholly or left empty.
"""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from email import policy
from email.message import EmailMessage
from email.utils import format_datetime
from io import BytesIO
from pathlib import Path
from uuid import NAMESPACE_URL, uuid5

import vobject
from pypdf import PdfWriter
from pypdf.generic import ContentStream, DecodedStreamObject, DictionaryObject, NameObject

from pipeline.errors import ConfigError
from pipeline.tools.desktop import contacts, store


@dataclass(frozen=True, slots=True)
class _Person:
    given: str
    family: str
    phone: str = ""
    email: str = ""
    nicknames: tuple[str, ...] = ()
    role: str = ""
    organisation: str = ""
    categories: tuple[str, ...] = ()

    @property
    def full_name(self) -> str:
        return f"{self.given} {self.family}".strip()


@dataclass(frozen=True, slots=True)
class _Mail:
    sender: str
    subject: str
    sent: timedelta  # before now
    text: str

    @property
    def file_name(self) -> str:
        return f"{store.stem_of(self.subject)}.eml"


_ME = _Person("Alex", "Moreno", "555-0100", "alex.moreno@example.org", role="Product designer")
_MY_RELATIONS = {"boss": "Helen Okafor", "sister": "Ana Moreno", "accountant": "Mei Tanaka"}

_STUDIO = "Northwind Studio"
_PEOPLE = {
    "family.vcf": (
        _Person("Rosa", "Moreno", "555-0101", "rosa.moreno@example.org", ("Mom",), categories=("family",)),
        _Person("Javier", "Moreno", "555-0102", "javier.moreno@example.org", ("Dad",), categories=("family",)),
        _Person("Ana", "Moreno", "555-0103", "ana.moreno@example.org", categories=("family",)),
        _Person("Lena", "Fischer", "+49 30 5550104", "lena@example.net", categories=("friends",)),
        _Person("José", "Quintana", "555-0105", "jose.quintana@example.net", categories=("friends",)),
        _Person("Chris", "Doyle", "555-0106", "chris.doyle@example.net", categories=("climbing",)),
    ),
    "work.vcf": (
        _Person(
            "Priya",
            "Nair",
            "555-0110",
            "priya.nair@example.com",
            role="Project manager",
            organisation=_STUDIO,
        ),
        _Person("Omar", "Haddad", "555-0111", "omar.haddad@example.com", role="Engineer", organisation=_STUDIO),
        _Person("Helen", "Okafor", "555-0112", "helen.okafor@example.com", role="Director", organisation=_STUDIO),
        _Person("Jonas", "Weber", "", "jonas.weber@example.com", role="Illustrator", organisation=_STUDIO),
        _Person("Chris", "Nakamura", "555-0114", "chris.n@example.com", role="Researcher", organisation=_STUDIO),
        _Person("Design Team", "", "555-0115", "design-team@example.com", organisation=_STUDIO),
    ),
    "services.vcf": (
        _Person("Greta", "Lindqvist", "555-0120", "greta.lindqvist@example.net", role="Landlord"),
        _Person("Miriam", "Vance", "555-0121", "desk@dental.example", ("Dr. Vance",), "Dentist", "Harbour Dental"),
        _Person("Tomás", "Herrera", "555-0122", "", role="Plumber"),
        _Person("Mei", "Tanaka", "555-0123", "mei@ledger.example", organisation="Tanaka Bookkeeping"),
        _Person("Samira", "Benali", "555-0124", "samira@yoga.example", role="Yoga teacher"),
    ),
}

_SELECTED = "Kick-off of the harbour project"
_MAILS = (
    _Mail(
        "Priya Nair <priya.nair@example.com>",
        _SELECTED,
        timedelta(hours=2),
        """\
Hi Alex,

the harbour office has agreed to our proposal. Could we meet on Thursday at 10
for the kick-off? I would like you to walk us through the project brief and say
what you need from Omar.

If Thursday does not suit you, Friday before noon works as well.

Priya
""",
    ),
    _Mail(
        "Greta Lindqvist <greta.lindqvist@example.net>",
        "Boiler inspection",
        timedelta(days=1, hours=4),
        """\
Dear Alex,

the yearly inspection of the boiler is due. The technician can come next Tuesday
between 9 and 11. Please let me know whether somebody will be at home.

Kind regards
Greta Lindqvist
""",
    ),
    _Mail(
        "Helen Okafor <helen.okafor@example.com>",
        "Budget for the third quarter",
        timedelta(days=2, hours=1),
        """\
Alex,

please check the figures for research and travel in the budget before the review.
Anything over 5,000 needs a line of explanation.

Helen
""",
    ),
    _Mail(
        "Lena Fischer <lena@example.net>",
        "Weekend in the mountains",
        timedelta(days=3, hours=6),
        """\
Hey Alex!

The hut has two beds left for the last weekend of the month. I bring the stove,
you bring the rope? José would drive.

Lena
""",
    ),
)

_NOTES = {
    "Shopping list": """\
# Shopping list

- oat milk
- rye bread
- lemons
- coffee beans
""",
    "Work/Standup notes": """\
# Standup notes

- Map screens: first draft is done, waiting for feedback from Priya
- Icons: Jonas delivers the second set this week
- Blocked: no test account for the ferry timetable
""",
    "Work/Q3 goals": """\
# Q3 goals

1. Ship the first release of the harbour project
2. Five interviews with ferry passengers
3. Bring the documentation of the design system up to date
""",
    "Home/Packing list": """\
# Packing list

- sleeping bag
- headlamp
- rope, 60 m
- first-aid kit
""",
    "Home/Gift ideas": """\
# Gift ideas

- Mom: the new novel by her favourite author
- Ana: a chalk bag
""",
    "Recipes/Lentil soup": """\
# Lentil soup

Fry an onion, two carrots and cumin. Add 250 g of red lentils and a litre of stock,
simmer for 20 minutes, and finish with lemon.
""",
}

_PDFS = {  # a text a page
    "Documents/lease.pdf": (
        """Lease agreement

        Between Greta Lindqvist, landlord, and Alex Moreno, tenant, for the flat on the second floor of
        14 Quay Street.

        The lease begins on the first of March and runs for three years. Either side may end it with three
        months' notice to the end of a month.

        The rent is 1,150 a month, due on the third working day. It covers water and the cleaning of the
        stairs, and not heating or electricity.""",
        """Deposit and repairs

        The deposit is two months' rent and is paid back within six weeks after the keys are returned.

        The landlord has the boiler inspected once a year. The tenant pays for small repairs up to 80 each
        and 240 a year.

        Pets need the landlord's agreement; a cat has been agreed to.""",
    ),
    "Work/budget.pdf": (
        """Budget of the third quarter

        Northwind Studio plans to spend 48,200 on the harbour project: 31,000 for design and engineering,
        9,400 for research with ferry passengers, 4,300 for travel and 3,500 for licences.

        Research costs 2,100 more than in the second quarter because interviews are held in two cities.""",
        """Risks

        Travel may go over its plan by 1,200 if the second round of interviews cannot be held in one week.

        The review with Helen Okafor decides whether the illustrations are made in-house or by a
        contractor.""",
    ),
    "Work/project brief.pdf": (
        """Harbour project: brief

        Passengers miss ferries because piers change at short notice. The harbour office wants an app that
        shows, offline, where the next ferry leaves and how long the walk there takes.

        The first release covers twelve piers and two languages, and works with a screen reader.""",
        """Schedule

        Weeks 1 and 2: interviews and map screens. Weeks 3 to 6: prototype with timetable data. Weeks 7 and
        8: trial at four piers. Week 9: decision on the release.

        Priya Nair manages the project, Omar Haddad builds it, Alex Moreno designs it.""",
        """What counts as success

        Nine of ten passengers in the trial find their pier without asking. The app opens in under two
        seconds on a phone that is five years old.""",
    ),
    "Reading/heat pumps.pdf": (
        """Heat pumps in old houses

        A heat pump moves warmth from the air or the ground into the house. It delivers three to four units
        of heat for one unit of electricity, as long as the water in the radiators need not be hotter than
        about 50 degrees.""",
        """What to check first

        Measure the flow temperature on a cold day, have the largest radiators checked, and seal windows
        before a pump is chosen: every kilowatt less of demand makes it smaller, cheaper and quieter.""",
    ),
}

_FILES = {
    "Work/team roster.csv": "name,role,email\nPriya Nair,Project manager,priya.nair@example.com\n"
    "Omar Haddad,Engineer,omar.haddad@example.com\nJonas Weber,Illustrator,jonas.weber@example.com\n",
    "Work/meeting agenda.md": "# Agenda\n\n1. Brief (Alex)\n2. Timetable data (Omar)\n",
    "Documents/Receipts/2023/receipt.txt": "Bicycle repair, 64.00\n",
    "Documents/Receipts/2024/receipt.txt": "Climbing rope, 60 m, 139.00\n",
    "Documents/insurance policy.txt": "Household insurance, policy 555-0199, renewed every January.\n",
}


def create_sample(data_dir: Path, now: datetime) -> list[Path]:
    """Fill an empty or new data folder and return the files made.

    Args:
        data_dir: The folder.
        now: Local time, which the dates of the mails hang on.

    Raises:
        ConfigError: The folder has something in it.
        Unavailable: It cannot be written to; it is left empty.
    """
    with store.refusals(data_dir, "read"):
        if data_dir.exists() and any(data_dir.iterdir()):
            raise ConfigError(f"{data_dir} is not empty", fix="name an empty or new folder for the sample data")
    written: list[Path] = []
    try:
        for name, data in _documents(now):
            store.create(data_dir / name, data)
            written.append(data_dir / name)
    except BaseException:
        for child in data_dir.glob("*"):  # the folder was empty, so all of it is ours
            shutil.rmtree(child, ignore_errors=True)
        raise
    return written


def _documents(now: datetime) -> Iterator[tuple[str, bytes]]:
    """Yield every file: its path below the data folder and its content."""
    yield "contacts/me.vcf", _vcard(_ME, relations=_MY_RELATIONS).encode()
    for name, people in _PEOPLE.items():
        yield f"contacts/{name}", "".join(_vcard(person) for person in people).encode()
    for mail in _MAILS:
        yield f"mail/inbox/{mail.file_name}", _eml(mail, now)
    yield "mail/selected", next(m.file_name for m in _MAILS if m.subject == _SELECTED).encode() + b"\n"
    for name, text in _NOTES.items():
        yield f"notes/{name}.md", text.encode()
    for name, pages in _PDFS.items():
        yield f"files/{name}", _pdf(pages)
    for name, text in _FILES.items():
        yield f"files/{name}", text.encode()


def _uid(person: _Person) -> str:
    return f"urn:uuid:{uuid5(NAMESPACE_URL, f'tinyagent:sample:{person.full_name}')}"


def _vcard(person: _Person, *, relations: dict[str, str] | None = None) -> str:
    card = contacts.new_card()
    card.add("n").value = vobject.vcard.Name(family=person.family, given=person.given)
    card.add("fn").value = person.full_name
    card.add("uid").value = _uid(person)
    for name, value in (
        ("tel", person.phone),
        ("email", person.email),
        ("role", person.role),
        ("org", [person.organisation] if person.organisation else None),
        ("nickname", list(person.nicknames)),
        ("categories", list(person.categories)),
    ):
        if value:
            card.add(name).value = value
    for relation, whom in (relations or {}).items():
        line = card.add("related")
        line.value = whom
        line.params = {"TYPE": [relation], "VALUE": ["text"]}
    return str(card.serialize())


def _eml(mail: _Mail, now: datetime) -> bytes:
    message = EmailMessage(policy=policy.SMTP)
    message["From"] = mail.sender
    message["To"] = f"{_ME.full_name} <{_ME.email}>"
    message["Subject"] = mail.subject
    message["Date"] = format_datetime((now - mail.sent).astimezone())
    message["Message-ID"] = f"<{uuid5(NAMESPACE_URL, f'tinyagent:sample:{mail.subject}')}@example.com>"
    message.set_content(mail.text)
    return message.as_bytes()


def _pdf(pages: tuple[str, ...]) -> bytes:
    """Return a PDF in Helvetica on A4, one page for each of `pages`, whose paragraphs are set anew."""
    writer = PdfWriter()
    font = DictionaryObject(
        {
            NameObject("/Type"): NameObject("/Font"),
            NameObject("/Subtype"): NameObject("/Type1"),
            NameObject("/BaseFont"): NameObject("/Helvetica"),
            NameObject("/Encoding"): NameObject("/WinAnsiEncoding"),
        }
    )
    for text in pages:
        lines = [line for part in text.split("\n\n") for line in (*textwrap.wrap(" ".join(part.split()), 85), "")]
        escaped = (line.replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)") for line in lines)
        shown = "".join(f"({line}) Tj T*\n" for line in escaped)
        stream = DecodedStreamObject()
        stream.set_data(f"BT /F1 11 Tf 15 TL 72 770 Td\n{shown}ET".encode("cp1252"))
        page = writer.add_blank_page(width=595, height=842)  # A4 in points
        page.replace_contents(ContentStream(stream, writer))
        page[NameObject("/Resources")] = DictionaryObject(
            {NameObject("/Font"): DictionaryObject({NameObject("/F1"): font})}
        )
    target = BytesIO()
    writer.write(target)
    return target.getvalue()
