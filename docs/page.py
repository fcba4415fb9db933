"""Makes docs/page.png: the page of a proved run, as a browser shows it.

uv run --group test python docs/page.py        needs Chromium

The words that the picture shows lie in it as text, by which a test sees when it is to be made
anew.
"""

import io
import os
import re
import shutil
import tempfile
from pathlib import Path
from typing import Any

from PIL import Image
from PIL.PngImagePlugin import PngInfo
from playwright.sync_api import sync_playwright

import carrynet as cn
from carrynet.report import page

TARGET = Path(__file__).with_name("page.png")
NAME = "0001-certified-add-h32-s0"


def open_page(browser: Any, folder: Path) -> Any:
    """The page of a proved run in a browser, with the calculator at work."""
    run = cn.train(out=folder / NAME, progress=False)
    file = page.write(run, folder / page.NAME)
    size = {"width": 1240, "height": 1420}
    shown = browser.new_page(viewport=size, reduced_motion="reduce", locale="en-US")
    shown.goto(file.as_uri())
    shown.locator("#automaton svg").wait_for()  # from then on the calculator names its states
    shown.locator(".recheck button:enabled").wait_for()  # the proof has been checked again
    shown.evaluate("carrynet.scene.go(4)")
    return shown


def words(shown: Any) -> str:
    """What is said in the picture but for numbers, which differ from machine to machine."""
    parts = (".tagline", "#verdict", "#calculator")
    text = " ".join(shown.locator(part).inner_text() for part in parts)
    return re.sub(r"\d[\d.,]*", "#", re.sub(r"\s+", " ", text))


def words_in(picture: Path) -> str:
    """The words that a picture was made with."""
    with Image.open(picture) as image:
        return str(image.info["words"])


CHROMIUM = (
    os.environ.get("CARRYNET_BROWSER")
    or shutil.which("chromium-headless-shell")  # which has no window to draw
    or shutil.which("chromium")
)
"""The browser for the page's picture and tests; None where there is none."""


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        shown = open_page(browser, Path(folder))
        facts = PngInfo()
        facts.add_itxt("words", words(shown))
        with Image.open(io.BytesIO(shown.screenshot())) as image:
            image.save(TARGET, pnginfo=facts, optimize=True)
        browser.close()


if __name__ == "__main__":
    main()
