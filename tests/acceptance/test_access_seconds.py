"""How long buyers wait for access, as the metrics tell it; and what check says of those who are told when it goes wrong."""

from __future__ import annotations

import json
from pathlib import Path

from tests.acceptance.cli_rig import asked
from tests.acceptance.rig import Client, configuration, emulators, live, running, until

SERIES = '{source="ams",target="elevate"}'


async def scraped(client: Client, name: str) -> float | None:
    async with client.session.get(client.base_url + "/metrics") as answer:
        lines = (await answer.text()).splitlines()
    return next((float(line.rpartition(" ")[2]) for line in lines if line.startswith(name + SERIES)), None)


async def test_an_outage_is_in_the_time_from_purchase_to_access(tmp_path: Path) -> None:
    """The first time somebody is let in counts once, from the purchase and not from the attempt that succeeded."""
    async with emulators("elevate") as targets, running(tmp_path, targets) as (bridge, ams):
        school = targets["elevate"]
        bridge.dispatcher.lanes["elevate"].pause("somebody")
        _, told = await ams.register()
        assert await scraped(ams, "bridge_access_seconds_count") is None
        began = bridge.clock.monotonic()
        await until(lambda: bridge.clock.monotonic() - began > 0.3)
        bridge.dispatcher.lanes["elevate"].resume()
        await until(lambda: live(school))
        lane = bridge.dispatcher.lanes["elevate"]
        await until(lambda: not lane.in_flight)
        assert await scraped(ams, "bridge_access_seconds_count") == 1
        assert await scraped(ams, "bridge_access_seconds_sum") >= 0.3
        # Access that is taken away and bought again is not waited for since the first purchase.
        await ams.cancel(told["registration_id"])
        await until(lambda: not live(school))
        await ams.register()
        await until(lambda: live(school))
        await until(lambda: not lane.in_flight)
        assert await scraped(ams, "bridge_access_seconds_count") == 1


async def test_check_says_who_is_told_when_something_goes_wrong(tmp_path: Path) -> None:
    """Without [alerts] nobody is, which is said and is no fault; the address of a channel is a secret."""
    async with emulators("elevate") as targets:
        config = configuration(tmp_path, targets)
        assert "nobody is told of what goes wrong" in (await asked("check", "--config", config)).out
        said = await asked("check", "--json", "--config", config)
        assert (said.json["alerts"], said.json["ok"]) == ([], True)
        given = {"slack": "https://hooks.example.org/T0/secret-part"}
        extra = "\n[alerts]\n" + "\n".join(f"{name} = {json.dumps(value)}" for name, value in given.items()) + "\n"
        said = await asked("check", "--config", configuration(tmp_path, targets, extra=extra))
    assert "alerts: by slack" in said.out
    assert "secret-part" not in said.out
