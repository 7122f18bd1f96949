"""PDFs: reads the text of one (pypdf), page by page, and has the writing model summarise it.

The text is data from outside: it goes to `Writer.summarize` and nowhere else. A page is read when the writer asks for it, and the document
is opened anew every `PAGES_AT_A_TIME` pages, since the library keeps what it has read: memory does not grow with the length of the text.
"""

from __future__ import annotations

import logging
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from pathlib import Path

from pypdf import PasswordType, PdfReader

from pipeline.errors import TinyAgentError
from pipeline.tools.context import ToolContext, Unavailable
from pipeline.tools.desktop import files

PAGES_AT_A_TIME = 20

logging.getLogger("pypdf").setLevel(logging.CRITICAL)  # what it complains about comes back as our error


def summarize_pdf(ctx: ToolContext, /, *, pdf_path: str) -> str:
    """Return a summary of the PDF at `pdf_path` (a path, or a name as `open_and_get_file_path` takes it).

    Each sentence has the number of its page, counted from the first one of the file.

    Raises:
        NotFound: There is no such file.
        Ambiguous: The name fits several.
        Unavailable: It is encrypted, broken, no PDF, or a scan without text.
        CalledOff: The call was cancelled.
    """
    path = files.find_file(ctx, pdf_path)
    with closing(read_pages(path)) as pages:
        written = ctx.writer.summarize(_legible(pages, path), request=ctx.request, monitor=ctx.monitor)
    ctx.monitor.remark(written.note)
    return written.text


def _legible(pages: Iterable[str], path: Path) -> Iterator[str]:
    """Pass pages on, and raise at their end if none had any text."""
    found = False
    for page in pages:
        found = found or bool(page)
        yield page
    if not found:
        raise Unavailable(
            f"{path} has no text: its pages are pictures", fix="run text recognition on it, such as ocrmypdf"
        )


def read_pages(path: Path) -> Generator[str, None, None]:
    """Yield the text of each page of a PDF, "" where it has none.

    Raises:
        Unavailable: While iterating: it is encrypted, broken or no PDF.
    """
    number, last = 0, 1
    try:
        while number < last:
            with path.open("rb") as file:
                reader = PdfReader(file)
                if reader.is_encrypted and reader.decrypt("") is PasswordType.NOT_DECRYPTED:
                    raise Unavailable(f"{path} is protected by a password", fix="save a copy of it without one")
                last = len(reader.pages)
                end = min(number + PAGES_AT_A_TIME, last)
                while number < end:
                    yield reader.pages[number].extract_text().strip()
                    number += 1
    except TinyAgentError:
        raise
    except Exception as error:  # a malformed PDF makes pypdf raise nearly anything
        raise Unavailable(
            f"{path} cannot be read as a PDF: {error}", fix="open it in a viewer and save it anew"
        ) from error
