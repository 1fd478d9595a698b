"""The page of a purchase: its story from event to targets, and what an operator may do with it."""

from __future__ import annotations

from tests.acceptance.cli_rig import ADA, BOB, look
from tests.acceptance.console_rig import Browser, Page, console
from tests.acceptance.rig import emulators, live, until


async def _acts(browser: Browser, page: Page, action: str, preview_too: dict, **more: str) -> tuple[Page, Page]:
    """Press a button whose form has fields to fill in, and the one of the preview."""
    preview = await browser.sends("/console/act", {**page.form(action), **preview_too})
    return preview, await browser.sends("/console/act", {**preview.form(action), **more})


async def test_the_story_tells_what_was_planned_asked_and_answered(tmp_path) -> None:
    """What came in, which mapping decided, each try with request and answer, ids as links to the target's pages; all masked."""
    async with emulators("moodle", "hubspot") as targets, console(tmp_path, targets) as (_, client, browser):
        await client.register(**ADA)
        await until(lambda: live(targets["hubspot"]))
        await until(lambda: look(tmp_path / "bridge.db", "SELECT 1 FROM delivery WHERE state <> 'done'") == [])
        await browser.logs_in()
        page = await browser.opens("/console/purchases/1")
        for text in (
            "The [[products]] entry for ams's product ABCD1234 leads to intro-ce.",
            "Course intro-ce is given at moodle, because it has a table there.",
            "hubspot is told of it too, as soon as the learner is in.",
            "By mapping 1",
            "what came in",
            "core_user_create_users",
        ):
            assert text in page.words, text
        assert "1 event, 2 tries at targets, 0 in vain. Nothing is left to do." in page.text
        (user,) = look(
            tmp_path / "bridge.db", "SELECT remote_id FROM remote_ref WHERE target = 'moodle' AND kind = 'user'"
        )[0]
        assert (
            f'<a href="{targets["moodle"].base_url}/user/profile.php?id={user}" rel="noreferrer noopener"' in page.text
        )
        for secret in (ADA["email"], ADA["lastname"], *map(str, targets["moodle"].credentials.values())):
            assert secret not in page.text


async def test_access_is_taken_away_by_an_operator(tmp_path) -> None:
    """The preview says what would go and changes nothing; the reason stands in the audit; a second time there is nothing to do."""
    async with emulators("elevate") as targets, console(tmp_path, targets) as (_, client, browser):
        await client.register(**ADA)
        await until(lambda: live(targets["elevate"]))
        await browser.logs_in()
        page = await browser.opens("/console/purchases/1")
        preview = await browser.sends("/console/act", page.form("cancel"))
        assert "1 of 1 will be done. Nothing has been changed yet" in preview.words
        assert "elevate (" in preview.words
        assert live(targets["elevate"])
        done = await browser.sends("/console/act", {**preview.form("cancel"), "why": "asked by phone"})
        assert "Done: Take access away" in done.words
        await until(lambda: not live(targets["elevate"]))
        assert "asked by phone" in (await browser.opens("/console/audit")).words
        assert "Replay event 1…" in (await browser.opens("/console/purchases/1")).words, "not what the operator decided"
        again = await browser.sends("/console/act", page.form("cancel"))
        assert "0 of 1 will be done" in again.words
        assert "Take access away…" not in (await browser.opens("/console/purchases/1")).words


async def test_a_purchase_is_moved_to_another_course(tmp_path) -> None:
    """The page offers the other courses; afterwards it says who decided; one that is not there is refused in words."""
    async with emulators("elevate") as targets, console(tmp_path, targets) as (_, client, browser):
        await client.register(**ADA)
        await until(lambda: live(targets["elevate"]))
        before = live(targets["elevate"])
        await browser.logs_in()
        page = await browser.opens("/console/purchases/1")
        refused = await browser.sends("/console/act", {**page.form("move"), "to": "no-such-course"})
        assert refused.status == 422
        assert "there is no course 'no-such-course'" in refused.text.replace("&#39;", "'")
        preview, done = await _acts(browser, page, "move", {"to": "ethics"}, why="wrong course")
        assert "From" in preview.words
        assert "intro-ce" in preview.words
        assert "Done: Move to another course" in done.words
        await until(lambda: len(live(targets["elevate"])) == 1 and live(targets["elevate"]) != before)
        page = await browser.opens("/console/purchases/1")
        assert "An operator let it lead to ethics" in page.words
        assert "wrong course" in page.words


async def test_what_was_settled_by_hand_is_ended(tmp_path) -> None:
    """It has to be said what was done; then nobody tries it again."""
    async with emulators("elevate") as targets, console(tmp_path, targets) as (_, client, browser):
        targets["elevate"].products = {"NOTHING"}
        await client.register(**BOB)
        await until(lambda: look(tmp_path / "bridge.db", "SELECT 1 FROM delivery WHERE state = 'dead'"))
        await browser.logs_in()
        page = await browser.opens("/console/purchases/1")
        assert "1 try at targets, 1 in vain. Not done yet: elevate." in page.text
        preview, done = await _acts(browser, page, "dismiss", {}, why=" ")
        assert done.status == 422
        assert "Say what was done" in done.words
        done = await browser.sends("/console/act", {**preview.form("dismiss"), "why": "registered there by hand"})
        assert "Done: Settled by hand" in done.words
        assert look(tmp_path / "bridge.db", "SELECT 1 FROM delivery WHERE state = 'dead'") == []
        assert "registered there by hand" in (await browser.opens("/console/audit")).words
