"""PDFs: reads the text of one (pypdf) and has the writing model summarise it.

The text is data from outside: it goes to `Writer.summarize` and nowhere else.
"""

from __future__ import annotations

import logging
from pathlib import Path

from pypdf import PasswordType, PdfReader

from pipeline.tools.context import ToolContext, Unavailable
from pipeline.tools.desktop import files

logging.getLogger("pypdf").setLevel(logging.CRITICAL)  # what it complains about comes back as our error


def summarize_pdf(ctx: ToolContext, /, *, pdf_path: str) -> str:
    """Return a summary of the PDF at `pdf_path` (a path, or a name as `open_and_get_file_path` takes it).

    Raises:
        NotFound: There is no such file.
        Ambiguous: The name fits several.
        Unavailable: It is encrypted, broken, no PDF, or a scan without text.
    """
    return ctx.writer.summarize(read_text(files.find_file(ctx, pdf_path)))


def read_text(path: Path) -> str:
    """Return the text of the PDF, its pages parted by empty lines.

    Raises:
        Unavailable: It is encrypted, broken, no PDF, or a scan without text.
    """
    try:
        reader = PdfReader(path)
        locked = reader.is_encrypted and reader.decrypt("") is PasswordType.NOT_DECRYPTED
        pages = [] if locked else [page.extract_text().strip() for page in reader.pages]
    except Exception as error:  # a malformed PDF makes pypdf raise nearly anything
        raise Unavailable(
            f"{path} cannot be read as a PDF: {error}", fix="open it in a viewer and save it anew"
        ) from error
    if locked:
        raise Unavailable(f"{path} is protected by a password", fix="save a copy of it without one")
    text = "\n\n".join(page for page in pages if page)
    if not text:
        raise Unavailable(
            f"{path} has no text: its pages are pictures", fix="run text recognition on it, such as ocrmypdf"
        )
    return text
