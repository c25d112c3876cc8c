"""Take the READMEs' pictures of the live page, ``docs/demo.png`` and ``docs/ko/demo.png``.

It needs Chromium. Korean is drawn in NanumGothic, which comes with the extra
``[notebook]``, so that the pictures do not depend on the fonts of a machine.
"""

import importlib.resources
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Browser, expect, sync_playwright

ROOT = Path(__file__).resolve().parents[1]
PICTURES = {"en": ROOT / "docs" / "demo.png", "ko": ROOT / "docs" / "ko" / "demo.png"}
PORT = 7861


def main() -> None:
    """Serve the page, and take it in each language."""
    demo = subprocess.Popen(
        [sys.executable, "-m", "fashion_cnn", "--language=en", "demo", f"--port={PORT}"],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert demo.stdout is not None
        demo.stdout.readline()  # the page answers
        with tempfile.TemporaryDirectory() as fonts, sync_playwright() as playwright:
            korean = importlib.resources.files("koreanize_matplotlib") / "fonts"
            shutil.copytree(str(korean), Path(fonts) / "fonts")
            browser = playwright.chromium.launch(
                executable_path=shutil.which("chromium"),
                args=["--no-sandbox", "--disable-gpu"],
                env={**os.environ, "XDG_DATA_HOME": fonts},  # where Linux looks for a user's fonts
            )
            for language, path in PICTURES.items():
                take(browser, language, path)
                print(path)
    finally:
        demo.terminate()
        demo.wait()


def take(browser: Browser, language: str, path: Path) -> None:
    """Take the first screen in a language, with a cell of the second convolution explained."""
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    page.goto(f"http://127.0.0.1:{PORT}/?lang={language}&theme=light#example=2")
    page.wait_for_selector(f"html[data-ready][lang={language}]")
    page.locator("#skip").click()
    page.locator("#trail button", has_text="conv2").click()
    expect(page.locator("#detail-heading")).to_contain_text("conv2")
    page.wait_for_timeout(500)  # the rest of the layers fades
    page.screenshot(path=path)


if __name__ == "__main__":
    main()
