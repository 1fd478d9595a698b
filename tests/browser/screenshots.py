"""``make screenshots``: the pictures of the docs, taken of a bridge with emulated targets. Not a test."""

from __future__ import annotations

import asyncio
import base64
import sys
import tempfile
from pathlib import Path
from typing import Final

from selenium.webdriver.common.by import By

from tests.acceptance.cli_rig import BOB
from tests.acceptance.console_rig import console
from tests.acceptance.rig import emulators
from tests.browser.conftest import open_chromium
from tests.browser.person import Person
from tests.browser.town import TARGETS, settle

_IMAGES: Final = Path(__file__).parents[2] / "docs" / "images"
_WIDTH: Final = 1100
_PEOPLE: Final = 40


async def _take() -> None:
    driver = open_chromium()
    if driver is None:
        sys.exit("no Chromium with its chromedriver is installed here")
    with tempfile.TemporaryDirectory() as folder:
        async with emulators(*TARGETS) as targets, console(Path(folder), targets) as (_, client, browser):
            await settle(Path(folder), targets, client)
            for number in range(_PEOPLE):
                await client.register(user=f"member-{number}")
            await browser.logs_in()
            await browser.sees("/console/", f"Purchases today (UTC) {_PEOPLE + 2}")
            await browser.sees("/console/", "1 in quarantine")
            await asyncio.to_thread(_pictures, Person(driver, browser.base_url))
    driver.quit()


def _pictures(person: Person) -> None:
    person.logs_in()
    _keep(person, "console-overview.png")
    person.presses("Waiting for you")
    _keep(person, "console-troubles.png")
    person.finds(BOB["email"])
    for one in person.driver.find_elements(By.CSS_SELECTOR, ".timeline details")[-1:]:
        one.find_element(By.TAG_NAME, "summary").click()
    _keep(person, "console-purchase.png")


def _keep(person: Person, name: str) -> None:
    """Take the whole page, at one pixel for each of its own, so that the files stay small."""
    driver = person.driver
    metrics = {"width": _WIDTH, "height": 800, "deviceScaleFactor": 1, "mobile": False}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    height = driver.execute_script("return document.documentElement.scrollHeight")
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {**metrics, "height": height})
    taken = driver.execute_cdp_cmd("Page.captureScreenshot", {"format": "png"})
    (_IMAGES / name).write_bytes(base64.b64decode(taken["data"]))


if __name__ == "__main__":
    asyncio.run(_take())
