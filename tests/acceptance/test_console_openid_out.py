"""Logging out of the web console of whoever came from an OpenID provider: here, and there as well where it can be."""

from __future__ import annotations

import re

import pytest

from bridge.registry import Registry
from config.load import load
from tests.acceptance.cli_rig import look
from tests.acceptance.console_rig import Browser
from tests.acceptance.openid_rig import ADA, CLIENT, Provider, signs_in, with_provider

OUT, THERE = "/console/openid/out", "/console/openid/out/there"


def ends(found: Provider, address: str = "") -> None:
    found.changes["end_session_endpoint"] = address or f"{found.issuer}/logout"


def cookies(browser: Browser) -> set[str]:
    return {cookie.key for cookie in browser.session.cookie_jar}


async def logs_out(browser: Browser):
    page = await browser.opens("/console/targets")
    return await browser.sends("/console/logout", {"csrf": page.csrf})


async def test_the_session_at_the_provider_ends_as_well(tmp_path) -> None:
    """It is told whose session that is and where to send the browser; ours has ended before, and nothing of it is kept."""
    async with with_provider(tmp_path) as (found, _, browser):
        ends(found)
        await signs_in(browser)
        page = await logs_out(browser)
        assert (page.status, page.path) == (200, OUT)
        assert look(tmp_path / "bridge.db", "SELECT 1 FROM console_session") == []
        assert found.ended == []
        [link] = re.findall(r'href="([^"]+)">Log out at the login service', page.text)
        page = await browser.opens(link)
        assert (page.status, page.path) == (200, "/console/login")
        assert found.ended == [
            {
                "client_id": CLIENT,
                "post_logout_redirect_uri": f"{browser.base_url}/console/login",
                "sub": ADA["sub"],
            }
        ]
        assert cookies(browser) <= {"bridge_console_form"}


async def test_what_the_browser_keeps_for_it_goes_to_no_other_address(tmp_path) -> None:
    """And is out of reach for scripts."""
    async with with_provider(tmp_path) as (found, _, browser):
        ends(found)
        await signs_in(browser)
        [kept] = [cookie for cookie in browser.session.cookie_jar if cookie.key == "bridge_console_openid_id"]
        assert (kept["path"], kept["samesite"], bool(kept["httponly"])) == ("/console/openid", "Lax", True)


@pytest.mark.parametrize("address", ["", "http://provider.example.org/logout", "javascript:alert(1)"])
async def test_where_the_provider_has_no_such_address_nothing_is_offered(tmp_path, address: str) -> None:
    """Nor where it is none that could be used, which keeps nobody out."""
    async with with_provider(tmp_path) as (found, _, browser):
        if address:
            ends(found, address)
        assert (await signs_in(browser)).status == 200
        assert "bridge_console_openid_id" not in cookies(browser)
        assert (await logs_out(browser)).path == "/console/login"
        for path in (OUT, THERE):
            assert (await browser.opens(path)).path == "/console/login"


async def test_a_token_that_is_too_long_to_keep_leaves_it_to_the_provider_to_ask(tmp_path) -> None:
    """Somebody with hundreds of groups logs out all the same."""
    async with with_provider(tmp_path) as (found, _, browser):
        ends(found)
        found.spoil = lambda claims: {**claims, "groups": [*claims["groups"], *(f"group-{n}" for n in range(400))]}
        await signs_in(browser)
        assert (await logs_out(browser)).path == OUT
        assert (await browser.opens(THERE)).path == "/console/login"
        assert [sorted(one) for one in found.ended] == [["client_id", "post_logout_redirect_uri"]]


async def test_another_site_ends_no_session(tmp_path) -> None:
    """Neither of whoever is logged in here, nor afterwards; and who has a password is offered nothing."""
    async with with_provider(tmp_path) as (found, _, browser):
        ends(found)
        await signs_in(browser)
        assert (await browser.opens(THERE)).path == "/console/"
        await logs_out(browser)
        page = await browser.opens(THERE, headers={"Sec-Fetch-Site": "cross-site"})
        assert (page.path, found.ended) == (OUT, [])
        await browser.logs_in()
        assert (await logs_out(browser)).path == "/console/login"


async def test_a_provider_that_is_away_keeps_nobody_in(tmp_path) -> None:
    """What it published may be forgotten by then: after a reload, say."""
    async with with_provider(tmp_path) as (found, bridge, browser):
        ends(found)
        await signs_in(browser)
        config = tmp_path / "bridge.toml"
        config.write_text(config.read_text().replace("Log in with Example", "Log in elsewhere"))
        await bridge.reload(load(config, Registry(), env={}).settings)
        await found.stop()
        assert (await logs_out(browser)).path == "/console/login"
        assert look(tmp_path / "bridge.db", "SELECT 1 FROM console_session") == []
