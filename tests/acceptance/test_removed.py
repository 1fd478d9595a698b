"""An old purchase whose attempts are gone, as operators see it: in the terminal, at the console, in metrics."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from bridge.app.policies import kept
from bridge.jobs.pruning import Pruning
from bridge.kit.clock import SetClock
from tests.acceptance.cli_rig import ADA, asked, look
from tests.acceptance.console_rig import console
from tests.acceptance.rig import emulators, live, until

GONE = "has been removed; of what gave access or took it away a line stays, without what was sent and came back (ledger.keep_attempts)."


async def test_what_was_removed_is_said_wherever_the_story_is_told(tmp_path) -> None:
    """With what is still known: the event, what is held since when, that access was given; and nothing is to be done."""
    config, file = tmp_path / "bridge.toml", tmp_path / "bridge.db"
    async with (
        emulators("elevate", "hubspot") as targets,
        console(tmp_path, targets) as (bridge, client, browser),
    ):
        await client.register(**ADA)
        await until(lambda: live(targets["hubspot"]))
        await until(lambda: look(file, "SELECT 1 FROM delivery WHERE state <> 'done'") == [])
        clock = SetClock(datetime.now(UTC) + timedelta(days=401))
        due = (await asked("db", "retention", "--config", config, "--json")).json
        assert {row["what"]: (row["keep"], row["due"]) for row in due["kinds"]} == {
            "events": ("400d", 0),
            "attempts": ("400d", 0),
            "deliveries": ("400d", 0),
            "lookups": ("400d", 0),
            "alerts": ("400d", 0),
            "actions": ("off", None),
        }
        await Pruning(bridge.ledger, lambda: kept(bridge.settings), clock, bridge.telemetry.removed).run()
        told = " ".join((await asked("trace", "1", "--by", "registration", "--config", config)).out.split())
        assert GONE in told.replace("│ ", "")
        assert "elevate: grant, receipt" in told
        (contact,) = look(file, "SELECT remote_id FROM remote_ref WHERE target = 'hubspot' AND kind = 'contact'")[0]
        assert f"hubspot knows the learner, contact {contact}" in told
        assert "nothing: every target holds what is wanted" in told
        assert GONE in " ".join((await asked("deliveries", "show", "1", "--config", config)).out.split())
        shown = (await asked("db", "retention", "--config", config)).out
        assert "attempts" in shown
        assert "what is old was last removed at" in shown
        assert "more would be after a VACUUM" in " ".join(shown.split())
        known = (await asked("db", "retention", "--config", config, "--json")).json
        assert {row["what"]: row["removed"] for row in known["kinds"]} == {
            "events": None,
            "attempts": 1,
            "deliveries": 1,
            "lookups": 0,
            "alerts": 0,
            "actions": 0,
        }
        assert 0 < known["file"]["between"] < known["file"]["bytes"]
        await browser.logs_in()
        page = await browser.opens("/console/purchases/1")
        assert GONE in page.words
        assert "Every target holds what is wanted." in page.words
        assert f"hubspot, contact {contact}" in page.words
        assert GONE in (await browser.opens("/console/deliveries/1")).words
        async with client.session.get(client.base_url + "/metrics") as answer:
            metrics = await answer.text()
        assert 'bridge_removed_total{what="attempts"} 1.0' in metrics
        assert 'bridge_removed_total{what="deliveries"} 1.0' in metrics
        assert 'bridge_job_age_seconds{job="pruning"}' in metrics


async def test_the_audit_says_since_when_it_is_complete(tmp_path) -> None:
    """On every page of it, whether anything is left or not; while nothing was removed it says nothing."""
    async with console(tmp_path, {}) as (bridge, _, browser):
        await browser.logs_in()
        page = await browser.opens("/console/audit")
        assert "has been removed" not in page.words
        assert "Nobody did anything before that." in (await browser.opens("/console/audit?before=1")).words
        now = datetime.now(UTC)
        await bridge.ledger.write(lambda unit: unit.run("UPDATE operator_action SET at = at - 100 * 86400000"))
        keep = {**kept(bridge.settings), "actions": timedelta(days=30)}
        await Pruning(bridge.ledger, lambda: keep, SetClock(now), bridge.telemetry.removed).run()
        since = f"{now - timedelta(days=30):%Y-%m-%d %H:%M}"
        said = f"What operators did before {since} UTC has been removed (ledger.keep_actions); from then on the record is complete."
        page = await browser.opens("/console/audit")
        assert said in page.words
        assert "None is kept." in page.words
        browser.session.cookie_jar.clear()
        await browser.logs_in()
        page = await browser.opens("/console/audit")
        assert said in page.words
        assert "None is kept." not in page.words
        assert said in (await browser.opens("/console/audit?before=1")).words
