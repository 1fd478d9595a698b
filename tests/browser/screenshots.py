"""``make screenshots``: the pictures of the docs, taken of a bridge with emulated targets. Not a test."""

from __future__ import annotations

import asyncio
import base64
import sqlite3
import sys
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Final

from selenium.webdriver.common.by import By

from tests.acceptance.cli_rig import BOB, look
from tests.acceptance.console_rig import console
from tests.acceptance.rig import emulators, until
from tests.browser.conftest import open_chromium
from tests.browser.person import Person
from tests.browser.town import TARGETS, settle

_IMAGES: Final = Path(__file__).parents[2] / "docs" / "images"
_WIDTH: Final = 1240
_PEOPLE: Final = 60
_AT_WORK: Final = "SELECT 1 FROM delivery WHERE state IN ('open', 'blocked', 'leased')"
_SPREAD: Final = """
UPDATE event SET received_at = received_at - (id % 47) * 1800000 WHERE id > 3;
UPDATE attempt SET ms = 200 + (id * 7919 % 13) * (id * 7919 % 13) * 60, at = at - 1800000 *
 (SELECT d.event_id % 47 FROM delivery d WHERE d.id = attempt.delivery_id) WHERE delivery_id IN (SELECT id FROM delivery WHERE event_id > 3)
"""


async def _take() -> None:
    if (driver := open_chromium()) is None:
        sys.exit("no Chromium with its chromedriver is installed here")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        async with emulators(*TARGETS) as targets:
            async with console(folder, targets) as (_, client, __):
                await settle(folder, targets, client)
                for number in range(_PEOPLE):
                    await client.register(user=f"member-{number}")
                await until(lambda: look(folder / "bridge.db", _AT_WORK) == [])
            with closing(sqlite3.connect(folder / "bridge.db")) as connection:  # as if it had been sold all day long
                connection.executescript(_SPREAD)
            async with console(folder, targets) as (_, __, browser):
                await browser.logs_in()
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
    driver.execute_cdp_cmd("Emulation.setScrollbarsHidden", {"hidden": True})
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    height = driver.execute_script("return document.documentElement.scrollHeight")
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {**metrics, "height": height})
    taken = driver.execute_cdp_cmd("Page.captureScreenshot", {"format": "png"})
    (_IMAGES / name).write_bytes(base64.b64decode(taken["data"]))


if __name__ == "__main__":
    asyncio.run(_take())
