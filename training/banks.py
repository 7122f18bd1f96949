"""Values to put into the seeds' slots: people, files, places, times and so on, as people write them.

A bank's values come from the seeds themselves (each pen's values serve all others of the same language), and for
people, addresses and files also from Faker and from a grammar of file names, so that names are rarely seen twice: a small
model must learn to copy, not to remember.
"""

from __future__ import annotations

import random
import re
from collections import defaultdict
from collections.abc import Iterable

from training.seeds import Seed, Slot

# Faker's locales that write names in Latin letters.
LOCALES = (
    "en_US en_GB en_IN en_NG de_DE fr_FR es_ES es_MX pt_BR pt_PT it_IT nl_NL pl_PL cs_CZ sk_SK sl_SI hr_HR ro_RO "
    "hu_HU sv_SE no_NO da_DK fi_FI tr_TR id_ID vi_VN az_AZ lt_LT lv_LV et_EE ga_IE zu_ZA tw_GH yo_NG"
).split()

_WORDS = (
    "budget invoice minutes lease contract report roster plan draft agenda schedule photo scan estimate quote "
    "receipt payroll proposal brochure syllabus essay thesis menu playlist floorplan inventory statement survey "
    "policy manual application resume cover letter referral prescription itinerary ticket passport warranty deed "
    "permit safety audit handover onboarding kickoff board quarterly annual final signed garden kitchen school "
    "wedding choir tender shipping customs harvest clinic lab grant poster slides notes backup logo banner"
).split()
_EXTENSIONS = ".pdf .pdf .pdf .docx .xlsx .pptx .txt .csv .png .jpg .zip .md .key .odt".split()
_TITLES = [
    "Dr",
    "Dr.",
    "Mrs",
    "Mr",
    "Ms",
    "Prof",
    "Professor",
    "Sister",
    "Father",
    "Coach",
    "Captain",
    "Auntie",
    "Uncle",
]
_DOMAINS = "example.com acme.example northwind.example mail.example post.example studio.example firma.example".split()
_FOLDERS = (
    "~/Documents ~/Downloads ~/Desktop ~/Work ~/Papers /Users/ana/Documents /home/kofi/files ~/Dropbox/shared".split()
)


class Banks:
    """Draws replacement values."""

    def __init__(self, seeds: Iterable[Seed], rng: random.Random) -> None:
        from faker import Faker

        self._rng = rng
        self._fakers = []
        for locale in LOCALES:
            try:
                fake = Faker(locale)
            except AttributeError:  # a locale that this version of Faker does not have
                continue
            fake.seed_instance(rng.randrange(2**32))
            self._fakers.append(fake)
        self._values: dict[tuple[str, str], list[str]] = defaultdict(list)
        for seed in seeds:
            for slot in seed.slots.values():
                self._values[slot.kind, seed.language].append(slot.value)

    def draw(self, slot: Slot, language: str) -> str:
        """Return another value that fits where `slot` stands."""
        value = self._made(slot) or self._found(slot, language)
        return value.lower() if slot.value == slot.value.lower() and slot.kind in _CASED else value

    def _found(self, slot: Slot, language: str) -> str:
        """Return a value of another seed, of like shape."""
        bank = self._values[slot.kind, language] or [slot.value]
        for _ in range(12):
            value = self._rng.choice(bank)
            if _shape(slot.kind, value) == _shape(slot.kind, slot.value):
                return value
        return slot.value

    def _made(self, slot: Slot) -> str | None:
        """Return a made-up value for the kinds that have endless ones, most of the time."""
        if self._rng.random() < 0.35:
            return None
        match slot.kind:
            case "person":
                return self._person(slot.value)
            case "email":
                first, last = self._names()
                return (
                    f"{_ascii(first)}{self._rng.choice(['.', '_', '', '-'])}{_ascii(last)}@{self._rng.choice(_DOMAINS)}"
                )
            case "phone":
                return self._phone()
            case "file":
                return self._file(slot.value)
            case "path":
                return f"{self._rng.choice(_FOLDERS)}/{self._file(slot.value.rsplit('/', 1)[-1])}"
            case _:
                return None

    def _names(self) -> tuple[str, str]:
        fake = self._rng.choice(self._fakers)
        return fake.first_name(), fake.last_name()

    def _person(self, like: str) -> str:
        first, last = self._names()
        if " " not in like:
            return first.split()[0] if self._rng.random() < 0.85 else last
        if re.match(r"(?:dr|mr|mrs|ms|prof|professor|sister|father|auntie|uncle)\b", like, re.IGNORECASE):
            return f"{self._rng.choice(_TITLES)} {last}"
        return f"{first} {last}"

    def _phone(self) -> str:
        digit = self._rng.randrange
        return self._rng.choice(
            [
                f"555-0{digit(100, 200)}",
                f"+1 555 01{digit(10, 99)}",
                f"+44 7700 900{digit(100, 999)}",
                f"+{digit(30, 99)} {digit(100, 999)} {digit(100, 999)} {digit(100, 999)}",
                f"0{digit(10, 99)} {digit(1000, 9999)} {digit(1000, 9999)}",
                f"({digit(200, 999)}) 555-0{digit(100, 200)}",
                f"0{digit(600000000, 799999999)}",
            ]
        )

    def _file(self, like: str) -> str:
        rng = self._rng
        words = [rng.choice(_WORDS) for _ in range(rng.choice([1, 2, 2, 3]))]
        if rng.random() < 0.3:
            words.append(_ascii(self._names()[1]) or "final")
        if rng.random() < 0.4:
            words.append(rng.choice(["v2", "v3", "final", "2024", "2025", "Q3", "draft", "1", "FINAL", "07", "copy"]))
        if rng.random() < 0.3:
            words = [word.capitalize() for word in words]
        extension = re.search(r"\.\w{1,5}$", like)
        if extension:
            name = rng.choice(["_", "-", " ", "_"]).join(words)
            return name + (".pdf" if extension[0].lower() == ".pdf" else rng.choice(_EXTENSIONS))
        return " ".join(words)


# Kinds whose values follow the casing of what they replace.
_CASED = frozenset(
    {"person", "place", "topic", "note", "folder", "list", "calendar", "text", "datetime", "date", "time"}
)


def _shape(kind: str, value: str) -> object:
    """Return what must agree between a slot's value and its replacement, so that the sentence still stands."""
    match kind:
        case "file" | "path":
            extension = re.search(r"\.\w{1,5}$", value)
            return extension and extension[0].lower() == ".pdf"
        case "datetime" | "date" | "time":
            first = value.split()[0].lower()
            return first if first in _PREPOSITIONS else ""
        case "text":
            return value[:1].isupper()
        case _:
            return None


_PREPOSITIONS = frozenset("on at in by for from every às as ao à na no en el la al los a".split())


def _ascii(name: str) -> str:
    return re.sub(r"[^a-z]", "", name.lower())
