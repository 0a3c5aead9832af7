"""Takes the pictures of docs/images from a dashboard that is served: ``python -m tests.screenshots URL STATE …``.

A state is one of those below; ``failed`` wants a pipeline whose last run failed, ``facts`` a model of one's own.
Run by hand, not by pytest.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
IMAGES = Path(__file__).resolve().parent.parent / "docs" / "images"
WIDE, PHONE = (1360, 860), (390, 844)


def choose(page: Page) -> None:
    """Filter by a country and a product group."""
    page.locator("#list-country .rank").nth(1).click()
    page.locator("#list-group .rank").nth(1).click()
    page.mouse.move(0, 0)


def leave(_page: Page) -> None:
    """Do nothing."""


STATES: dict[str, tuple[str, tuple[int, int], str, Callable[[Page], object]]] = {
    "sales": ("sales", WIDE, "light", leave),
    "filtered": ("sales", WIDE, "dark", choose),
    "pipeline": ("pipeline", WIDE, "light", leave),
    "failed": ("pipeline", WIDE, "light", leave),
    "lineage": ("lineage", WIDE, "light", leave),
    "facts": ("facts", (1360, 620), "light", leave),
    "phone": ("sales", PHONE, "light", leave),
    "empty": ("sales", WIDE, "light", leave),
}


def main(url: str, *states: str) -> None:
    """Take the pictures of some states, or of all."""
    IMAGES.mkdir(exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        for state in states or tuple(STATES):
            view, (width, height), scheme, act = STATES[state]
            page = browser.new_page(
                viewport={"width": width, "height": height},
                color_scheme="dark" if scheme == "dark" else "light",
                device_scale_factor=1.5,
                locale="en-GB",
            )
            page.goto(f"{url.rstrip('/')}#view-{view}")
            page.wait_for_selector("body[data-started]")
            act(page)
            page.wait_for_timeout(300)
            file = IMAGES / f"dashboard-{state}.png"
            page.screenshot(path=file)
            if shutil.which("pngquant"):
                subprocess.run(["pngquant", "--force", "--skip-if-larger", "--output", file, "64", file], check=False)
            page.close()
        browser.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
