"""Logins at an OpenID provider that lead nowhere: denied, stolen, replayed, not proven, or the provider is down."""

from __future__ import annotations

import asyncio
import json
import re

from structlog.testing import capture_logs

from tests.acceptance.cli_rig import look
from tests.acceptance.console_rig import PASSWORD, Browser, Page, browser_session
from tests.acceptance.openid_rig import (
    CLIENT,
    EVE,
    SECRET,
    query_of,
    sent_back,
    signs_in,
    with_provider,
)


def _sessions(folder) -> list[str]:
    return [row[0] for row in look(folder / "bridge.db", "SELECT name FROM console_session ORDER BY created_at")]


async def _by_password(browser: Browser, page: Page, **more: str) -> Page:
    fields = {"csrf": page.csrf, "name": "ada", "password": PASSWORD, **more}
    return await browser.sends("/console/login", fields)


async def _gets_in(browser: Browser) -> None:
    """Log in until the provider is believed again: a failure counts for a moment."""
    deadline = asyncio.get_running_loop().time() + 15
    while (page := await browser.opens("/console/openid", follow=False)).status != 303:
        assert asyncio.get_running_loop().time() < deadline, page.words
        await asyncio.sleep(0.1)
    assert (await signs_in(browser)).path == "/console/"


async def test_a_login_can_not_be_brought_from_another_browser(tmp_path) -> None:
    """Neither a code with its state in another browser nor a second time in the same one lets anybody in."""
    async with with_provider(tmp_path) as (found, _, browser), browser_session() as others:
        victim = Browser(browser.base_url, others)
        back, own = await sent_back(browser), await sent_back(victim)
        page = await victim.opens(back)
        assert (page.status, "begun in another browser" in page.words) == (400, True)
        assert (await victim.opens(own)).path == "/console/"  # their own login was under way, and goes on
        kept = next(one.value for one in browser.session.cookie_jar if one.key == "bridge_console_openid")
        assert (await browser.opens(back)).path == "/console/"
        assert (await browser.opens(back)).status == 400
        tokens = found.count("/token")
        async with browser_session() as third:  # who kept the cookie, too, meets the provider, which takes a code once
            page = await Browser(browser.base_url, third).opens(
                back, headers={"Cookie": f"bridge_console_openid={kept}"}
            )
        assert (page.status, found.count("/token") - tokens) == (400, 1)
        assert len(_sessions(tmp_path)) == 2


async def test_a_login_that_took_too_long_is_over(tmp_path) -> None:
    """Also where the browser keeps the cookie longer; and what somebody wrote into it fits no state."""
    async with with_provider(tmp_path) as (found, __, browser):
        back = await sent_back(browser)
        kept = next(one.value for one in browser.session.cookie_jar if one.key == "bridge_console_openid")
        began, _, rest = kept.partition(".")
        others = [f"{int(began) - 700_000}.{rest}", f"{int(began) + 1}.{rest}", f"{kept}x", f"x.{rest}", "9" * 400]
        async with browser_session() as people:
            for other in (*others, "9" * 5_000, "", "1.2.3", f"{began}.{'a' * 43}.\xff"):
                page = await Browser(browser.base_url, people).opens(
                    back, headers={"Cookie": f"bridge_console_openid={other}"}
                )
                assert (page.status, other and page.path) == (400, other and "/console/openid/callback")
        assert found.count("/token") == 0


async def test_the_provider_says_no(tmp_path) -> None:
    """The page says it in our words, and the login by password beside it works."""
    denied, broken = (403, "did not let you in"), (502, "can't be used at the moment")
    said = {"access_denied": denied, "server_error": broken, "<script>alert(1)</script>": broken}
    async with with_provider(tmp_path) as (_, __, browser):
        with capture_logs() as lines:
            for decision, (status, words) in said.items():
                page = await signs_in(browser, decision=decision)
                assert (page.status, words in page.words) == (status, True)
                assert "alert(1)" not in page.text
        assert [line.get("fault", line.get("why")) for line in lines] == [
            "the provider denied it",
            "it sent the browser back: server_error",
            "it sent the browser back: an error of its own",
        ]
        assert (await _by_password(browser, page)).path == "/console/"


SPOILT = {
    "over": {"exp": 1_000_000_000},
    "of the future": {"iat": 9_000_000_000, "exp": 9_000_000_300},
    "another issuer's": {"iss": "https://evil.example"},
    "somebody else's": {"aud": "another-client"},
    "for several": {"aud": [CLIENT, "another-client"]},
    "another login's": {"nonce": "x"},
    "without a nonce": {"nonce": None},
}


async def test_what_is_not_proven_lets_nobody_in(tmp_path) -> None:
    """Whatever the provider signs: the page says that it is not proven, and no session is made."""
    async with with_provider(tmp_path) as (found, _, browser):
        for name, changes in SPOILT.items():
            found.spoil = lambda claims, changes=changes: {**claims, **changes}
            page = await signs_in(browser)
            assert (name, page.status, "could not be proven" in page.words) == (name, 403, True)
        assert _sessions(tmp_path) == []


FAULTS = [
    ("keys", (200, b'{"keys": "none"}'), 502),
    ("token", (400, b'{"error": "invalid_grant"}'), 400),
    ("token", (401, b'{"error": "invalid_client"}'), 502),
    ("token", (200, b"<html>"), 502),
    ("token", (200, b'{"id_token": 7}'), 502),
    ("token", (200, b'{"id_token": "' + b"x" * 600_000 + b'"}'), 502),
    ("token", (200, b"[" * 100_000), 502),
    ("token", (500, b""), 502),
    ("token", (302, b""), 502),
]


async def test_the_provider_fails_on_the_way_back(tmp_path) -> None:
    """Its garbage and its errors become a page, never an error of ours; what is nobody's guess is not counted."""
    async with with_provider(tmp_path) as (found, _, browser):
        for path, fault, status in FAULTS:
            found.faults = {path: fault}
            page = await signs_in(browser)
            assert (path, fault[1][:40], page.status, "Log in" in page.words) == (path, fault[1][:40], status, True)
        assert look(tmp_path / "bridge.db", "SELECT failures FROM console_failure") == [(1,)]
        assert (await _by_password(browser, page)).path == "/console/"


async def test_the_provider_is_down(tmp_path) -> None:
    """The login page stays, says so, and lets people in by password; when the provider is back, it is used again."""
    async with with_provider(tmp_path) as (found, _, browser), browser_session() as others:
        port = found.port
        await found.stop()
        page = await browser.opens("/console/openid?next=/console/audit")
        assert (page.status, "can't be used at the moment" in page.words) == (502, True)
        assert f'href="{browser.base_url}/console/openid?next=/console/audit"' in page.text
        assert (await browser.opens("/console/login")).status == 200
        assert (await _by_password(browser, page, next="/console/audit")).path == "/console/audit"
        await found.start(port)
        back = Browser(browser.base_url, others)
        await _gets_in(back)
        under_way = await sent_back(browser)
        await found.stop()
        assert (await browser.opens(under_way)).status == 502


async def test_too_many_are_refused(tmp_path) -> None:
    """After twenty the provider is not asked any more for that address; passwords are counted apart."""
    async with with_provider(tmp_path) as (found, _, browser):
        found.person = EVE
        pages = [await signs_in(browser) for _ in range(20)]
        assert {page.status for page in pages} == {403}
        tokens = found.count("/token")
        page = await signs_in(browser)
        assert (page.status, "Too many tries" in page.words, found.count("/token")) == (429, True, tokens)
        assert int(page.headers["Retry-After"]) > 0
        assert (await _by_password(browser, page)).path == "/console/"


async def test_the_log_tells_why_and_not_who(tmp_path) -> None:
    """No code, state, token, secret or address of a person; the name of who got in stands where a password's would."""
    async with with_provider(tmp_path) as (found, _, browser):
        with capture_logs() as lines:
            backs = [await sent_back(browser)]
            found.person = EVE
            assert (await browser.opens(backs[0])).path == "/console/"
            backs.append(await sent_back(browser))
            assert (await browser.opens(backs[1])).status == 403
            assert (await browser.opens(backs[1])).status == 400
            found.faults = {"token": (401, b'{"error": "invalid_client", "error_description": "eve@example.org"}')}
            backs.append(await sent_back(browser))
            assert (await browser.opens(backs[2])).status == 502
        told = [line for line in lines if line["event"].startswith("console.")]
        assert [line["event"] for line in told] == [
            "console.login",
            "console.openid_refused",
            "console.openid_refused",
            "console.openid_unusable",
        ]
        assert told[0]["user"] == "openid ada@example.org"
        assert told[3]["fault"] == "it does not take client_id and client_secret"
        text = json.dumps(told)
        queries = [query_of(back) for back in backs]
        secret = [SECRET, "eve@", "u-3", *(query[name] for query in queries for name in ("code", "state"))]
        assert [word for word in secret if word in text] == []


async def test_garbage_on_the_way(tmp_path) -> None:
    """Whatever is asked of the two addresses: a page that says no, and never an error of ours."""
    async with with_provider(tmp_path) as (_, __, browser):
        long = "x" * 5_000
        for query in ("", "?code=1", "?state=1", "?state=%00%ff", f"?state={long}&code={long}", "?error=access_denied"):
            assert (await browser.opens(f"/console/openid/callback{query}")).status == 400
        for method in ("POST", "PUT", "HEAD"):
            page = await browser.opens("/console/openid/callback?state=1&code=1", method, follow=False)
            assert page.status in (303, 405)
        for back in ("https://evil.example", "//evil.example", "/console/openid", "/console/login?x", "%0d%0aA:b"):
            page = await browser.opens(await sent_back(browser, f"/console/openid?next={back}"), follow=False)
            assert (page.status, page.headers["Location"]) == (303, "/console/")
        back = await sent_back(browser)
        page = await browser.opens(re.sub(r"code=[^&]+", f"code={long}", back))
        assert page.status == 403
