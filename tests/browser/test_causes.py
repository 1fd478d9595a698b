"""Somebody paid and can't log in: from the overview to the cause, and what to do about it, with at most three clicks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from selenium.webdriver.common.by import By

from tests.acceptance.cli_rig import BOB, look
from tests.acceptance.console_rig import console
from tests.acceptance.rig import emulators, until
from tests.browser.person import Person


@dataclass(frozen=True)
class Case:
    """Why somebody is kept out, and how it is found.

    Attributes:
        breaks: makes it so, at the LMS's emulator.
        sql: says, once it has been kept, that it is so.
        clicks: on what, from the overview on.
        says: what the page says that is reached.
        product: what was bought.
    """

    breaks: Callable[[Any], object]
    sql: str
    clicks: tuple[str, ...]
    says: tuple[str, ...]
    product: str = "ABCD1234"


_DEAD = "SELECT 1 FROM delivery WHERE state = 'dead'"
_BLOCKED = {"error_messages": {"email": "This address has been blocked."}}
CASES = {
    "unmapped product": Case(
        lambda lms: None,
        "SELECT 1 FROM quarantine WHERE state = 'waiting'",
        ("1 in quarantine",),
        ("Product NEW-1 of ams is not mapped", "Map the product under [[products]]", "Release…"),
        "NEW-1",
    ),
    "LMS down": Case(
        lambda lms: lms.now_fails("status", status=503, body="down for maintenance"),
        "SELECT 1 FROM attempt WHERE outcome = 'later'",
        ("elevate", "delivery "),
        ("HTTP 503", "later", "Next try", "Try now…"),
    ),
    "credentials refused": Case(
        lambda lms: lms.now_fails(
            "status", status=401, body={"error_messages": {"api_key": "The API key is not valid."}}
        ),
        "SELECT 1 FROM lane WHERE paused_by = 'bridge'",
        ("elevate",),
        ("Paused", "Elevate does not accept the API key", "Set api_key of the target", "Resume…"),
    ),
    "address blocked": Case(
        lambda lms: lms.now_fails("status", status=422, body=_BLOCKED),
        _DEAD,
        ("1 dead at elevate", "purchase "),
        (
            "Elevate does not take the person's data",
            "This address has been blocked",
            "Correct the person's data",
            "Try again…",
        ),
    ),
    "wrong course id": Case(
        lambda lms: setattr(lms, "products", {"OTHER"}),
        _DEAD,
        ("1 dead at elevate", "purchase "),
        ("Elevate has no product whose Remote Product ID", "Enter the id in the Remote Product ID field", "Try again…"),
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
async def test_from_the_overview_to_the_cause(tmp_path, driver, case: Case) -> None:
    """The cause stands there in words, with the remedy and the button that goes on."""
    async with emulators("elevate") as targets, console(tmp_path, targets) as (_, client, browser):
        case.breaks(targets["elevate"])
        await client.register(**BOB, product=case.product)
        await until(lambda: look(tmp_path / "bridge.db", case.sql))
        await browser.logs_in()
        await browser.sees("/console/", case.clicks[0])
        person = Person(driver, browser.base_url)

        def sits_down() -> None:
            person.logs_in()
            assert len(case.clicks) <= 3
            for text in case.clicks:
                person.presses(text)
            for text in case.says:
                assert text in person.reads
            remedies = [one.text for one in driver.find_elements(By.CSS_SELECTOR, ".remedy")]
            assert all(remedies)

        await asyncio.to_thread(sits_down)
        assert person.complaints == []
