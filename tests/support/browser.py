"""A real headless browser for tests of pages, as a context manager."""

from __future__ import annotations

import contextlib
import os
import shutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser

_NAMES = ("chromium", "chromium-browser", "google-chrome")


class BrowserMissing(Exception):  # noqa: N818 - named after the finding
    """There is no browser on this machine."""


@contextlib.contextmanager
def running_browser() -> Iterator[Browser]:
    """Chromium from the PATH, or ``TEST_BROWSER``. Raises ``BrowserMissing``."""
    from playwright.sync_api import sync_playwright

    found = os.environ.get("TEST_BROWSER") or next(filter(None, map(shutil.which, _NAMES)), None)
    if found is None:
        raise BrowserMissing(f"none of {', '.join(_NAMES)} is installed; on Debian: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox", "--disable-gpu"])
        try:
            yield browser
        finally:
            browser.close()
