"""Makes the picture of the page for the README: a real run, on the sample data, in a real browser.

python tests/picture.py docs/page.png
"""

from __future__ import annotations

import sys
import tempfile
from datetime import datetime
from pathlib import Path

from browsing import CHROMIUM, SWITCHES, link, service
from playwright.sync_api import sync_playwright

from pipeline.tools.desktop.sample import create_sample

REQUEST = "Text Priya that I'm ten minutes late and put lunch with Omar on Friday at noon into my calendar"
LONGEST_MS = 600_000


def main(out: Path, scheme: str = "light") -> None:
    """Write the picture.

    Args:
        out: Where; a PNG file.
        scheme: "light" or "dark".
    """
    code = "from pipeline.cli import main; main()"
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as driver:
        data = Path(folder) / "data"
        create_sample(data, datetime.now())
        with service("-c", code, "serve", "--port", "0", "--data-dir", str(data)) as url:
            browser = driver.chromium.launch(executable_path=CHROMIUM, args=list(SWITCHES))
            page = browser.new_page(viewport={"width": 1200, "height": 860}, color_scheme=scheme)  # type: ignore[arg-type]
            page.set_default_timeout(LONGEST_MS)
            page.goto(link(data, url))
            request = page.get_by_label("What shall be done?")
            request.fill(REQUEST)
            page.keyboard.press("Enter")
            while page.locator(".chip").inner_text() != "Done":
                if page.get_by_role("button", name="Accept").count():
                    page.wait_for_timeout(700)
                    page.get_by_role("button", name="Accept").click()
                page.wait_for_timeout(300)
            page.get_by_role("button", name="Measure with all tools").click()
            page.locator(".compare").nth(1).locator("li").nth(1).wait_for()
            page.locator("#run-title").focus()
            page.wait_for_timeout(1000)
            page.screenshot(path=out, full_page=True)
            browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
