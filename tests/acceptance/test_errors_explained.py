"""What a target will not take is told to the operator as a sentence and a next step, where they look for it."""

from __future__ import annotations

from connectors.outbound.mailchimp import CONNECTOR as MAILCHIMP
from connectors.sandbox.mailchimp import EMULATOR
from tests.acceptance.cli_rig import asked
from tests.acceptance.rig import emulators, running, until


async def test_trace_says_what_is_wrong_with_an_address_and_what_to_do(tmp_path) -> None:
    """The person left the list: only a form brings them back, and the trace says so in plain words."""
    async with emulators("elevate", "mailchimp") as targets, running(tmp_path, targets) as (_, ams):
        mail = targets["mailchimp"]
        assert isinstance(mail, EMULATOR)
        body = {"title": "Forgotten Email Not Subscribed", "status": 400, "detail": "was permanently deleted"}
        mail.now_fails("status", status=400, body=body, method="PUT")
        await ams.register()
        path = tmp_path / "bridge.toml"

        async def told() -> str:
            return " ".join((await asked("trace", "123456@example.org", "--config", path)).out.split())

        for _ in range(100):
            if "is a dead letter" in (said := await told()):
                break
        known = [error for error in MAILCHIMP.errors.values() if error.sentence in said]
        assert len(known) == 1, said
        assert known[0].next_step in said
        assert "Then: bridge requeue" in said


async def test_trace_says_why_a_lane_stands_still_and_what_to_do(tmp_path) -> None:
    """A refused credential is nobody's dead letter; whoever asks for one person is told all the same."""
    async with emulators("elevate") as targets, running(tmp_path, targets) as (bridge, ams):
        school = targets["elevate"]
        school.now_fails("status", status=401, body={"error_messages": {"api_key": "The API key is not valid."}})
        await ams.register()
        lane = bridge.dispatcher.lanes["elevate"]
        await until(lambda: lane.paused_by == "bridge" and lane.condition.untold is None)
        said = " ".join((await asked("trace", "123456@example.org", "--config", tmp_path / "bridge.toml")).out.split())
        assert "the lane was paused by bridge" in said
        assert any(f"{error.next_step} Then: bridge resume elevate" in said for error in lane.connector.errors.values())


async def test_trace_says_how_a_corrected_mapping_reaches_a_purchase(tmp_path) -> None:
    """Requeueing plans the purchase anew where its product leads elsewhere by then, once the file is read again."""
    async with emulators("elevate") as targets, running(tmp_path, targets) as (_, ams):
        school = targets["elevate"]
        school.now_fails("status", status=422, body={"error_messages": {"product": "could not be found"}})
        await ams.register()

        async def told() -> str:
            path = tmp_path / "bridge.toml"
            return " ".join((await asked("trace", "123456@example.org", "--config", path)).out.split())

        for _ in range(100):
            if "is a dead letter" in (said := await told()):
                break
        assert "Then: bridge requeue 1 (after a change of bridge.toml: bridge reload first)" in said


async def test_what_a_target_says_of_the_key_is_not_masked_with_it(tmp_path) -> None:
    """After the name of a secret everything looks like its value: the refusal is told without the name."""
    async with emulators("elevate") as targets, running(tmp_path, targets) as (bridge, ams):
        refusal = {"error_messages": {"api_key": "The API key is not valid."}}
        targets["elevate"].now_fails("status", status=401, body=refusal)
        await ams.register()
        lane = bridge.dispatcher.lanes["elevate"]
        await until(lambda: lane.paused_by == "bridge" and lane.condition.untold is None)
        said = " ".join((await asked("trace", "123456@example.org", "--config", tmp_path / "bridge.toml")).out.split())
        assert "Register the learner: The API key is not valid." in said
        assert "resume elevate (after a change of bridge.toml: bridge reload first)" in said
