"""Makes docs/page.png: the page of a proved run, as a browser shows it.

uv run --group test python docs/page.py        needs Chromium
"""

import shutil
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

import carrynet as cn
from carrynet.report import page

TARGET = Path(__file__).with_name("page.png")


def main() -> None:
    chromium = shutil.which("chromium")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        run = cn.train(out=Path(folder) / "0001-certified-add-h32-s0")
        file = page.write(run, Path(folder) / page.NAME)
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        size = {"width": 1240, "height": 1420}
        shown = browser.new_page(viewport=size, reduced_motion="reduce")
        shown.goto(file.as_uri())
        shown.evaluate("carrynet.scene.go(4)")
        shown.screenshot(path=TARGET)
        browser.close()


if __name__ == "__main__":
    main()
