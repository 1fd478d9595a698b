"""Logging in at an OpenID provider in a real browser: cookies of another site, and the policy of our pages."""

from __future__ import annotations

import asyncio

from tests.acceptance.openid_rig import with_provider
from tests.browser.person import Person


async def test_somebody_logs_in_at_the_provider(tmp_path, driver) -> None:
    """From the page that they wanted to the provider, which is another site, and back to it; out again, and in by password."""
    async with with_provider(tmp_path, label='"Go to Example"') as (found, bridge, _):
        person = Person(driver, f"http://127.0.0.1:{bridge.port}")

        def sits_down() -> None:
            driver.get(f"http://localhost:{bridge.port}/console/targets")  # a name that the provider does not know
            person.presses("Go to Example")
            assert driver.current_url.startswith(f"{found.issuer}/authorize?")
            person.presses("Continue")
            assert driver.current_url == f"{person.base_url}/console/targets"
            assert "Targets" in person.reads
            person.presses("Log out")
            person.opens("/console/audit")
            assert "Who did what when" not in person.reads
            person.presses("Go to Example")
            person.logs_in()  # by password after all
            assert driver.current_url == f"{person.base_url}/console/"

        await asyncio.to_thread(sits_down)
        assert person.complaints == []


async def test_somebody_without_a_role(tmp_path, driver) -> None:
    """The page that they come back to says so, is complete, and lets them try once more."""
    async with with_provider(tmp_path, label='"Go to Example"') as (found, bridge, _):
        found.person = {**found.person, "groups": []}
        person = Person(driver, f"http://127.0.0.1:{bridge.port}")

        def sits_down() -> None:
            person.opens("/console/")
            person.presses("Go to Example")
            person.presses("Continue")
            assert "nobody gave you a role here" in person.reads
            person.presses("Go to Example")
            assert driver.current_url.startswith(f"{found.issuer}/authorize?")

        await asyncio.to_thread(sits_down)
        assert [one for one in person.complaints if "403" not in one] == []
