"""A PDF of 40 pages summed up: seconds, memory, and how many of the page references are right.

    python -m benchmarks.pdf_summary [PAGES] [--plain]

The PDF is made here: each page is about one place, with a person, amounts and months that stand on no other page. A reference is
right if the sentence before it tells something of its page's and nothing of another page's. Memory is the most that the process ever had resident, Python, libraries
and model together; before it, what it had when the summary began.
"""

from __future__ import annotations

import random
import re
import resource
import sys
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from pipeline.agents import PlainWriter, make_writer
from pipeline.config import Config
from pipeline.support import sentences
from pipeline.tools.context import Monitor, ToolContext
from pipeline.tools.desktop.pdf import summarize_pdf
from pipeline.tools.desktop.sample import _pdf

_SYLLABLES = (
    "al ber cor dun el fen gar hal ing kel lor mar nor os pel quil ros sel tor ul vin wes yar zan bre tho".split()
)
_ENDS = "bury ford ham mere stead wick".split()
_FIRST = "Ada Bruno Clara Dario Edith Felix Greta Hugo Iris Jonas".split()
_MONTHS = "January February March April May June July August September October November December".split()


@dataclass(frozen=True)
class Page:
    """A page and what stands on no other."""

    text: str
    facts: frozenset[str]


def report(count: int) -> list[Page]:
    """Return the pages of a report on so many places, the same for every call."""
    dice = random.Random(0)
    stems = [a + b for a in _SYLLABLES for b in _SYLLABLES if a != b]
    dice.shuffle(stems)
    numbers = [str(n) for n in dice.sample(range(1000, 9999), 3 * count)]
    pages = []
    for number in range(count):
        place = (stems[2 * number] + _ENDS[number % len(_ENDS)]).capitalize()
        family = (stems[2 * number + 1] + "sen").capitalize()
        person = f"{_FIRST[number % len(_FIRST)]} {family}"
        losses, homes, cost = numbers[3 * number : 3 * number + 3]
        month, later = dice.sample(_MONTHS, 2)
        text = f"""
            Water report of the northern district

            The pump house at {place}, which was built when the railway came and has been enlarged several times since, lost {losses}
            cubic metres of water in the month of {month}. {person}, who has looked after the works for many years and knows every valve,
            found the leak under the old filter hall of {place}. The repair, for which a contractor had to be called in at short notice,
            cost {cost} euros and was paid by the district. In {place} the supply reached {homes} homes, as had been agreed with the
            council after a long discussion. {person} will report to the council again in {later}.

            The walls of the hall at {place} are sound, but the roof lets in rain when the wind is from the west. A new roof was asked for
            by {person} and was not granted. Visitors to {place} are asked to keep to the marked path, unless the keeper goes with them.

            Page {number + 1} of {count}"""
        pages.append(Page(text, frozenset({place, family, losses, homes, cost})))
    return pages


def right(summary: str, pages: list[Page]) -> list[bool]:
    """Return for each page reference of a summary whether it is right."""
    found = []
    for sentence, number in re.findall(r"([^()\n]+)\(p\. (\d+)\)", summary):
        told = set(re.findall(r"\w+", sentence))
        here = pages[int(number) - 1].facts
        elsewhere = frozenset[str]().union(*(page.facts for page in pages)) - here
        found.append(bool(told & here) and not told & elsewhere)
    return found


def main() -> None:
    """Make the PDF, sum it up and print the figures."""
    numbers = [word for word in sys.argv[1:] if word.isdecimal()]
    pages = report(int(numbers[0]) if numbers else 40)
    writer = PlainWriter() if "--plain" in sys.argv else make_writer(Config())
    with TemporaryDirectory() as folder:
        path = Path(folder) / "report.pdf"
        path.write_bytes(_pdf(tuple(page.text for page in pages)))
        before, started, said = _peak(), time.perf_counter(), 0

        def progress(words: str) -> None:
            nonlocal said
            said += 1
            print(f"\r\x1b[2K{words}", end="", file=sys.stderr)

        monitor = Monitor(progress)
        ctx = ToolContext(Path(folder), datetime.now(), "summarize report.pdf", writer, monitor=monitor)
        summary = summarize_pdf(ctx, pdf_path=str(path))
        seconds = time.perf_counter() - started
    print(file=sys.stderr)
    checked = right(summary, pages)
    own = {" ".join(sentence.split()) for page in pages for sentence in sentences(page.text)}
    shortened = sum(told.strip() + "." not in own for told in re.findall(r"([^()\n]+)\(p\. \d+\)", summary))
    print(summary, *monitor.remarks, sep="\n", end="\n\n")
    print(
        "| pages | writer | seconds | peak memory, before and after | said of the progress | shortened by the model | references | right |"
    )
    print("|---|---|---|---|---|---|---|---|")
    print(
        f"| {len(pages)} | {type(writer).__name__} | {seconds:.1f} | {before:.0f} MB, {_peak():.0f} MB | {said} | {shortened} "
        f"| {len(checked)} | {sum(checked)} |"
    )


def _peak() -> float:
    """Return the most memory that the process ever had resident, MB."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / 1e6 if sys.platform == "darwin" else most * 1024 / 1e6


if __name__ == "__main__":
    main()
