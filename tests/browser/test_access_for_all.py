"""axe finds nothing on any page, in light and dark, on a phone and on a desk; and a keyboard is enough."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, Final

from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from tests.acceptance.cli_rig import ADA
from tests.acceptance.console_rig import console
from tests.acceptance.openid_rig import Provider, section
from tests.acceptance.rig import emulators
from tests.browser.person import Person
from tests.browser.town import PAGES, TARGETS, settle

_AXE: Final = (Path(__file__).parent / "assets" / "axe.min.js").read_text(encoding="utf-8")
_RUN: Final = """
const done = arguments[arguments.length - 1];
axe.run(document, {resultTypes: ['violations']}).then(
  found => done(found.violations.map(one => one.id + ': ' + one.nodes.map(node => node.html.slice(0, 200)).join(' | '))),
  fault => done([String(fault)]));
"""
_WAYS: Final = (
    ("desk", "light", (1280, 900, False)),
    ("desk", "dark", (1280, 900, False)),
    ("phone", "dark", (375, 740, True)),  # what is said in light is what is said on a desk
)


def _faults(person: Person, name: str) -> list[str]:
    """Return what axe has against the page that is open, in every light and at every size."""
    driver, found = person.driver, []
    driver.execute_cdp_cmd("Runtime.evaluate", {"expression": _AXE})
    for size, light, (width, height, mobile) in _WAYS:
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": mobile}
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        feature = {"name": "prefers-color-scheme", "value": light}
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
        found += [f"{name}, {size}, {light}: {one}" for one in driver.execute_async_script(_RUN)]
        overflow = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
        if (over := driver.execute_script(overflow)) > 0:
            found.append(f"{name}, {size}, {light}: {over} pixels wider than the window")
    return found


async def test_axe_finds_nothing(tmp_path, driver) -> None:
    """On each page, the previews of the buttons, what was found, and the login, with all details open."""
    elsewhere = Provider()
    elsewhere.port = 9  # nobody goes there
    table = section(elsewhere, label='"Go to Example"', console_url='"http://127.0.0.1:9"')
    async with emulators(*TARGETS) as targets, console(tmp_path, targets, table) as (_, client, browser):
        dead = await settle(tmp_path, targets, client)
        person = Person(driver, browser.base_url)

        def looked_at(name: str) -> list[str]:
            driver.execute_script("document.querySelectorAll('details').forEach(one => { one.open = true; })")
            return _faults(person, name)

        def sits_down() -> list[str]:
            person.opens("/console/login")
            faults = looked_at("login")
            person.logs_in()
            for name, path in PAGES.items():
                person.opens(path.format(dead=dead))
                faults += looked_at(name)
            for path, button in (
                ("/console/purchases/1", "Take access away…"),
                ("/console/purchases/1", "Move…"),
                (f"/console/deliveries/{dead}", "Try again…"),
                (f"/console/deliveries/{dead}", "Settled by hand…"),
                ("/console/troubles", "Release…"),
                ("/console/targets", "Pause…"),
            ):
                person.opens(path)
                person.presses(button)
                faults += looked_at(f"preview of {button}")
            person.opens("/console/targets/elevate")
            person.presses("Ask it now")
            faults += looked_at("what a target said")
            person.opens("/console/targets")
            person.presses("Pause…")
            person.presses("Pause")
            faults += looked_at("done")
            person.finds(ADA["email"].partition("@")[2])
            return faults + looked_at("found")

        assert await asyncio.to_thread(sits_down) == []


async def test_the_bar_is_one_line_on_a_desk(tmp_path, driver) -> None:
    """Navigation, box and name fit beside each other from 1200 pixels on."""
    async with emulators("elevate") as targets, console(tmp_path, targets) as (_, __, browser):
        person = Person(driver, browser.base_url)

        def sits_down() -> None:
            person.logs_in()
            for width in (1200, 1600):
                metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
                driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
                tops = (
                    "return [...document.querySelectorAll('.bar a, .bar button')].map(e => e.getBoundingClientRect().y)"
                )
                found = driver.execute_script(tops)
                assert max(found) - min(found) < 20, (width, found)

        await asyncio.to_thread(sits_down)


async def test_a_keyboard_is_enough(tmp_path, driver) -> None:
    """The first stop is the way past the navigation; whatever has the focus is seen to have it; nothing holds it."""
    async with emulators("elevate") as targets, console(tmp_path, targets) as (_, __, browser):
        person = Person(driver, browser.base_url)

        def tab() -> Any:
            ActionChains(driver).send_keys(Keys.TAB).perform()
            return driver.switch_to.active_element

        def sits_down() -> None:
            person.logs_in()
            skip = tab()
            assert skip.text == "Skip to the content"
            assert skip.location["x"] >= 0, "it is seen while it has the focus"
            skip.send_keys(Keys.ENTER)
            assert driver.switch_to.active_element.get_attribute("id") == "content"
            person.opens("/console/")
            stops = driver.find_elements(
                By.CSS_SELECTOR, "a[href], button, input:not([type=hidden]), summary, [tabindex='0']"
            )
            reached = set()
            for _ in range(len(stops) + 1):
                focused = tab()
                if focused.tag_name == "body":
                    break
                reached.add(focused.id)
                assert focused.value_of_css_property("outline-style") == "solid", focused.get_attribute("outerHTML")
                assert float(focused.value_of_css_property("outline-width").removesuffix("px")) >= 2
            assert {stop.id for stop in stops if stop.is_displayed()} <= reached

        await asyncio.to_thread(sits_down)
