"""PDFs: the desktop's summary, of files where a Mac's user keeps them."""

from __future__ import annotations

from pipeline.tools.context import ToolContext
from pipeline.tools.desktop import pdf as desktop
from pipeline.tools.macos.files import with_folders


def summarize_pdf(ctx: ToolContext, /, *, pdf_path: str) -> str:
    """Return a summary of the PDF at `pdf_path` (a path, or a name as `open_and_get_file_path` takes it).

    Raises:
        NotFound: There is no such file.
        Ambiguous: The name fits several.
        Unavailable: It is encrypted, broken, no PDF, or a scan without text.
    """
    return desktop.summarize_pdf(with_folders(ctx), pdf_path=pdf_path)
