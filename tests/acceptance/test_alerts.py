"""Alerts of a whole bridge: a target that is down, a key that is refused, the verbs, and a reload."""

from __future__ import annotations

import asyncio
import json

from tests.acceptance.cli_rig import asked
from tests.acceptance.rig import emulators, live, running, until
from tests.alerts.rig import SECRET, MailServer, receiver


def section(**given) -> str:
    return "\n[alerts]\n" + "\n".join(f"{name} = {json.dumps(value)}" for name, value in given.items()) + "\n"


async def turn(bridge, times: int = 1) -> None:
    for _ in range(times):
        await bridge._alerting.alerts.run()
        await asyncio.sleep(0.05)


QUICK = {"settled": "100ms", "lane_open_after": "10ms", "disk_free": 0}


async def test_a_target_that_is_down_is_told_and_its_return_too(tmp_path):
    """Nobody has to look at a dashboard; and a restart in the outage tells nothing again, and does not call it over."""
    async with receiver() as slack, emulators("elevate") as targets:
        school = targets["elevate"]
        extra = section(slack=slack.url, **QUICK)
        async with running(tmp_path, targets, extra) as (bridge, ams):
            await school.stop()
            for user in range(6):
                await ams.register(user=f"u{user}")
            await until(lambda: bridge.dispatcher.lanes["elevate"].status == "open")
            await turn(bridge, 3)
            assert len(slack.texts) == 1
            assert "elevate has not answered for" in slack.texts[0]
            assert "example.org" not in slack.texts[0]
        async with running(tmp_path, targets, extra) as (bridge, ams):
            await turn(bridge, 6)
            assert len(slack.texts) == 1
            await school.start()
            await until(lambda: len(live(school)) == 6)
            await turn(bridge, 8)
            assert len(slack.texts) == 2
            assert slack.texts[1].startswith("Over")


async def test_a_refused_key_is_told_at_once_with_what_to_do(tmp_path):
    """Without anybody waiting for the minute to be over; and its end when it is accepted again."""
    async with receiver() as slack, emulators("elevate") as targets:
        targets["elevate"].now_fails("status", status=401, body={"error_messages": {"api_key": "not valid"}})
        async with running(tmp_path, targets, section(slack=slack.url, **QUICK)) as (bridge, ams):
            await ams.register()
            await until(lambda: slack.texts)
            assert "elevate gets nothing any more." in slack.texts[0]
            assert "bridge doctor --target elevate" in slack.texts[0]
            status, _ = await ams.register(user="second")
            assert status == 200
            await turn(bridge, 3)
            assert len(slack.texts) == 1
            targets["elevate"].recovers()
            bridge.dispatcher.lanes["elevate"].resume()
            await until(lambda: len(live(targets["elevate"])) == 2)
            await turn(bridge, 8)
            assert len(slack.texts) == 2
            assert slack.texts[1].startswith("Over")


async def test_a_lane_that_somebody_paused_for_long_is_told(tmp_path):
    """It is easily forgotten."""
    async with receiver() as slack, emulators("elevate") as targets:
        extra = section(slack=slack.url, lane_paused_after="1ms", **QUICK)
        async with running(tmp_path, targets, extra) as (bridge, _):
            await asked("pause", "elevate", "--config", tmp_path / "bridge.toml")
            await turn(bridge, 3)
            assert len(slack.texts) == 1
            assert "bridge resume elevate" in slack.texts[0]
            await asked("resume", "elevate", "--config", tmp_path / "bridge.toml")
            await turn(bridge, 8)
            assert len(slack.texts) == 2


async def test_a_disk_that_is_nearly_full_is_told_and_a_reload_takes_over_thresholds_and_channels(tmp_path):
    """What a channel was told before the reload it is not told again; a new one hears of it."""
    async with receiver() as slack, receiver() as hook, emulators("elevate") as targets:
        low = section(slack=slack.url, **{**QUICK, "disk_free": "1000000GiB"})
        async with running(tmp_path, targets, low) as (bridge, _):
            await turn(bridge, 2)
            assert len(slack.texts) == 1
            assert "MiB are free on the disk of the ledger" in slack.texts[0]
            settings = bridge.settings
            webhook = type(settings.alerts).model_validate(
                {"slack": slack.url, "webhook": {"url": hook.url, "secret": SECRET}, **QUICK, "disk_free": "1000000GiB"}
            )
            await bridge.reload(settings.model_copy(update={"alerts": webhook}))
            await turn(bridge, 2)
            assert len(slack.texts) == 1
            assert [one["data"]["kind"] for one in hook.bodies] == ["disk_low"]
            roomy = webhook.model_copy(update={"disk_free": 0})
            await bridge.reload(settings.model_copy(update={"alerts": roomy}))
            await turn(bridge, 8)
            assert [one["type"] for one in hook.bodies] == ["alert.begun", "alert.recovered"]
            assert len(slack.texts) == 2


async def test_the_verbs_show_what_is_open_who_was_told_and_what_to_write(tmp_path):
    """The list, its JSON, the count in the metrics, and the table to paste for a product that leads nowhere."""
    async with receiver() as slack, emulators("elevate") as targets:
        slack.status = 500
        async with running(tmp_path, targets, section(slack=slack.url, **QUICK)) as (bridge, ams):
            await ams.register(product='PO"TTERY')
            await turn(bridge)
            config = tmp_path / "bridge.toml"
            said = await asked("alerts", "--config", config)
            assert "open: unmapped, since" in said.out
            assert "1 tries in vain: it answered HTTP 500" in " ".join(said.out.split())
            (row,) = (await asked("alerts", "--json", "--config", config)).json
            assert (row["kind"], row["state"], row["channels"][0]["told"]) == ("unmapped", "open", "")
            async with ams.session.get(ams.base_url + "/metrics") as answer:
                metrics = await answer.text()
            assert 'bridge_alerts_open{kind="unmapped"} 1.0' in metrics
            assert 'bridge_alert_failures_total{channel="slack"} 1.0' in metrics
            causes = await asked("quarantine", "--causes", "--config", config)
            assert 'remote_product_id = "PO\\"TTERY"' in causes.out
            assert 'source = "ams"' in causes.out
            (cause,) = (await asked("quarantine", "--causes", "--json", "--config", config)).json
            assert (cause["kind"], cause["waiting"]) == ("unmapped", 1)


async def test_every_channel_can_be_tried(tmp_path):
    """Each says what it answered; one that does not take it makes the exit code 1. The secrets stay out of it."""
    server = MailServer()
    server.start()
    try:
        async with receiver() as slack, receiver() as hook, emulators("elevate") as targets:
            mailer = f'\n[mailer]\nurl = "smtp://127.0.0.1:{server.port}"\nsender = "bridge@example.org"\n'
            webhook = f'webhook = {{ url = "{hook.url}", secret = "{SECRET}" }}\n'
            extra = mailer + section(mail="ops@example.org", slack=slack.url) + webhook
            async with running(tmp_path, targets, extra):
                config = tmp_path / "bridge.toml"
                said = await asked("alerts", "test", "--config", config)
                assert said.code == 0
                assert [line.split(":")[0] for line in said.out.splitlines()] == ["mail", "slack", "webhook"]
                assert len(server.box.mails) == len(slack.texts) == len(hook.bodies) == 1
                hook.status = 404
                said = await asked("alerts", "test", "--config", config)
                assert said.code == 1
                assert "webhook: it answered HTTP 404" in said.out
                assert "/hook" not in said.out + said.err
    finally:
        server.stop()
