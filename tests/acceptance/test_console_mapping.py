"""The mapping page of the web console, as a browser without scripts gets it."""

from __future__ import annotations

import html
import re
import tomllib

import pytest

from bridge.app.mapping import quoted
from tests.acceptance.cli_rig import EVE
from tests.acceptance.console_rig import console
from tests.acceptance.rig import emulators

UNSOLD = """
[courses.forgotten]
title = "Forgotten"
[courses.nowhere]
title = "Nowhere"
[[products]]
source = "ams"
remote_product_id = "abcd 1234"
courses = ["nowhere"]
"""
EVIL = '"]\ncourses = ["intro-ce"]\n</pre><script>alert(1)</script>\u202e\x7f\U0001f600'


def snippets(text: str) -> list[str]:
    return [html.unescape(found) for found in re.findall(r'<pre class="copy"[^>]*>(.*?)</pre>', text, re.DOTALL)]


async def test_the_mapping_as_it_runs(tmp_path) -> None:
    """Courses, products and targets; what no product sells, what no LMS takes, and what looks mapped twice, is said."""
    async with emulators("elevate") as targets, console(tmp_path, targets, extra=UNSOLD) as (_, _client, browser):
        await browser.logs_in("vic")
        page = await browser.opens("/console/mapping")
        assert page.status == 200
        assert "forgotten Forgotten no product sells it" in page.words
        assert "nowhere Nowhere 1 - no LMS takes it" in page.words
        assert "ams: ABCD1234 , abcd 1234" in page.words
        assert "checkout bundle:9 intro-ce, ethics" in page.words
        assert targets["elevate"].base_url in page.words
        assert "Bought, and mapped to nothing Nothing is." in page.words


async def test_what_was_bought_and_is_not_mapped(tmp_path) -> None:
    """With how many wait, the lines to copy, and what it is mistaken for; once it is mapped, it only has to be released."""
    async with emulators("elevate") as targets, console(tmp_path, targets) as (bridge, client, browser):
        await browser.logs_in()
        await client.register(**EVE, product="new-1")
        await client.register(**{**EVE, "user": "9"}, product="new-1")
        await client.register(**EVE, product="abcd1234")
        page = await browser.opens("/console/mapping")
        assert "new-1 ams 2 wait in quarantine" in page.words
        assert "differs only in case or blanks from what is mapped: ABCD1234" in page.words
        copied = snippets(page.text)[0]
        assert copied == '[[products]]\nsource = "ams"\nremote_product_id = "new-1"\ncourses = ["COURSE"]'
        path = tmp_path / "bridge.toml"
        path.write_text(f"{path.read_text()}\n{copied.replace('COURSE', 'ethics')}\n")
        await bridge.reread()
        page = await browser.opens("/console/mapping")
        assert "It is mapped by now" in page.words
        _, done = await browser.acts(page, "release")
        assert "released" in done.words
        assert "new-1 ams 2 wait" not in (await browser.opens("/console/mapping")).words


async def test_what_a_sender_wrote_is_inert_and_still_right(tmp_path) -> None:
    """An id that is an attack is text on the page, and the same id again in the file that its lines are copied into."""
    async with emulators("elevate") as targets, console(tmp_path, targets) as (_, client, browser):
        await browser.logs_in()
        await client.register(**EVE, product=EVIL)
        page = await browser.opens("/console/mapping")
        assert "<script>alert" not in page.text
        (copied,) = snippets(page.text)
        assert copied.isascii()
        assert len(copied.splitlines()) == 4
        (product,) = tomllib.loads(copied)["products"]
        assert product == {"source": "ams", "remote_product_id": EVIL, "courses": ["COURSE"]}


async def test_an_address_as_a_product_is_not_shown(tmp_path) -> None:
    """Whoever put a learner's address there does not get it onto the page, nor lines that would map something else."""
    async with emulators("elevate") as targets, console(tmp_path, targets) as (_, client, browser):
        await browser.logs_in()
        await client.register(**EVE, product="bob@example.org")
        page = await browser.opens("/console/mapping")
        assert "1 waits in quarantine" in page.words
        assert "bob@example.org" not in page.text
        assert snippets(page.text) == []
        assert "bridge quarantine --causes shows it as it is" in page.words


async def test_what_is_masked_can_be_released_all_the_same(tmp_path) -> None:
    """A product's title may look like a secret: its button means the lines of that product, on either page."""
    title = "Password: how to keep it"
    async with emulators("elevate") as targets, console(tmp_path, targets) as (_, client, browser):
        await browser.logs_in()
        await client.register(**EVE, product=title)
        path = tmp_path / "bridge.toml"
        path.write_text(
            path.read_text() + f'[[products]]\nsource = "ams"\nremote_product_id = "{title}"\ncourses = ["ethics"]\n'
        )
        page = await browser.opens("/console/troubles")
        assert (title in page.text, "Product Password: •••" in page.words) == (False, True)
        await browser.acts(page, "reload")
        for where in ("mapping", "troubles"):
            preview = await browser.sends("/console/act", (await browser.opens(f"/console/{where}")).form("release"))
            assert "1 of 1 will be done" in preview.words
        _, done = await browser.acts(await browser.opens("/console/troubles"), "release")
        assert "released" in done.words
        assert "Nothing does." in (await browser.opens("/console/troubles")).words


@pytest.mark.parametrize("text", ["", "a", '"', "\\", "\x00\x1f\x7f\x80\x85\u2028", "\U0001f600é", "{{x}}''' \t"])
def test_any_text_survives_as_toml(text) -> None:
    """And is printable ASCII on the way, so that nothing is lost when it is copied."""
    assert quoted(text).isascii()
    assert quoted(text).isprintable()
    assert tomllib.loads(f"x = {quoted(text)}") == {"x": text}
