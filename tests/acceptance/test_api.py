"""The admin API: what it tells and does, by whom, and what it refuses; every answer is as the document has it."""

from __future__ import annotations

import asyncio

import orjson

from bridge.edge.api.document import ENDPOINTS
from tests.acceptance.api_rig import OLDER, OPERATOR, TOKENS, VIEWER, Program, api
from tests.acceptance.cli_rig import ADA, BOB, EVE, asked, look
from tests.acceptance.rig import AMS_KEY, configuration, emulators, live, until

REFUSED = [
    ("GET", "/nothing", None, (404, [])),
    ("GET", "/registrations/999", None, (404, [])),
    ("GET", f"/registrations/{10**18 * 9 + 10**18}", None, (404, [])),
    ("GET", "/registrations/x", None, (404, [])),
    ("GET", "/registrations/٣", None, (404, [])),
    ("GET", "/events/0", None, (404, [])),
    ("DELETE", "/registrations", None, (405, [])),
    ("POST", "/registrations", {}, (405, [])),
    ("GET", "/registrations/cancel", None, (405, [])),
    ("GET", "/registrations?limit=0", None, (422, ["limit"])),
    ("GET", "/registrations?limit=501", None, (422, ["limit"])),
    ("GET", "/registrations?cursor=-1", None, (422, ["cursor"])),
    ("GET", "/registrations?state=lost", None, (422, ["state"])),
    ("GET", "/registrations?sorce=ams", None, (422, ["sorce"])),
    ("GET", "/registrations?source=%00", None, (422, ["source"])),
    ("GET", "/registrations?since=yesterday", None, (422, ["since"])),
    ("GET", "/registrations?since=2026-01-01T00:00:00", None, (422, ["since"])),
    ("POST", "/registrations/cancel", b"{", (400, [])),
    ("POST", "/registrations/cancel", b"\xff", (400, [])),
    ("POST", "/registrations/cancel", b"[" * 10_000, (400, [])),
    ("POST", "/registrations/cancel", b"[]", (422, [""])),
    ("POST", "/registrations/cancel", b" " * 70_000, (413, [])),
    ("POST", "/registrations/cancel", b"", (422, ["ids"])),
    ("POST", "/registrations/cancel", {"ids": []}, (422, ["ids"])),
    ("POST", "/registrations/cancel", {"ids": [0]}, (422, ["ids.0"])),
    ("POST", "/registrations/cancel", {"ids": [2**63]}, (422, ["ids.0"])),
    ("POST", "/registrations/cancel", {"ids": ["one"]}, (422, ["ids.0"])),
    ("POST", "/registrations/cancel", {"ids": [1], "dry_run": True}, (422, ["dry_run"])),
    ("POST", "/registrations/cancel", {"ids": [1], "why": "x" * 501}, (422, ["why"])),
    ("POST", "/registrations/cancel", {"ids": [1], "why": "\0"}, (422, ["why"])),
    ("POST", "/registrations/cancel?dry_run=perhaps", {"ids": [1]}, (422, ["dry_run"])),
    ("POST", "/registrations/1/move", {"to": ["nowhere"]}, (422, ["to"])),
    ("POST", "/registrations/1/move", {"to": []}, (422, ["to"])),
    ("POST", "/registrations/999/move", {"to": ["ethics"]}, (404, ["registration_id"])),
    ("POST", "/lanes/nothing/pause", {}, (404, ["target"])),
    ("POST", "/lanes/nothing/doctor", None, (404, ["target"])),
    ("POST", "/learners/1/merge", {"into": 1}, (422, ["learner"])),
    ("POST", "/learners/1/merge", {"into": 999}, (404, ["into"])),
    ("POST", "/learners/999/unmerge", None, (404, ["learner"])),
    ("POST", "/learners/1/merge", {}, (422, ["into"])),
    ("POST", "/deliveries/requeue", {}, (422, [])),
    ("POST", "/deliveries/requeue", {"ids": [2**70]}, (422, ["ids.0"])),
    ("POST", "/deliveries/dismiss", {"ids": [1]}, (422, ["why"])),
    ("POST", "/deliveries/retry", {"ids": []}, (422, ["ids"])),
    ("POST", "/trace", {"what": ""}, (422, ["what"])),
    ("POST", "/trace", {"what": "x", "by": "luck"}, (422, ["by"])),
]


def recorded(folder) -> list[tuple]:
    return look(folder / "bridge.db", "SELECT operator, action, subject FROM operator_action ORDER BY id")


async def happened(client, targets) -> tuple[int, int]:
    """Let Ada in, Bob be refused, and Eve buy what nobody mapped and send what nobody can read; return the first two."""
    targets["elevate"].products = {"INTRO", "ETHICS"}
    _, ada = await client.register(**ADA)
    await until(lambda: live(targets["elevate"]))
    targets["elevate"].products = {"NOTHING"}
    _, bob = await client.register(**BOB)
    await client.register(**EVE, product="UNMAPPED-9")
    await client.register(**{**EVE, "amount_paid": "a lot"})
    return ada["registration_id"], bob["registration_id"]


async def _systems_are_told(program: Program) -> None:
    """Ask for what is configured at both ends, and let a target be asked."""
    looked = await program.does("/lanes/hubspot/doctor")
    assert (looked["ok"], looked["connector"]) == (True, "hubspot")
    told = {one["target"]: one for one in (await program.gets("/targets"))["items"]}
    assert told["hubspot"]["credentials"][0]["kind"] == "access token"
    [ams] = [one for one in (await program.gets("/sources"))["items"] if one["source"] == "ams"]
    assert (ams["today"]["events"], ams["last_event"]["event_id"], len(ams["steps"])) == (4, 4, 3)
    assert AMS_KEY not in str([told, ams])


async def test_everything_is_told_and_done_as_the_document_says(tmp_path) -> None:
    """Each address is called at least once on a ledger where something happened; the audit names the token."""
    async with emulators("elevate", "hubspot") as targets, api(tmp_path, targets) as (_, client, program):
        ada, bob = await happened(client, targets)
        await until(lambda: look(tmp_path / "bridge.db", "SELECT 1 FROM delivery WHERE state = 'dead'"))
        [letter] = (await program.gets("/deliveries?state=dead"))["items"]
        told = await program.gets(f"/deliveries/{letter['delivery_id']}")
        assert told["attempts"][0]["outcome"] == "refused"
        events = (await program.gets("/events"))["items"]
        assert {one["event_id"] for one in events} == {1, 2, 3, 4}
        assert (await program.gets("/events/1"))["effects"] == [{"registration_id": ada, "effect": "created"}]
        [line] = (await program.gets("/quarantine"))["items"]
        assert (await program.gets("/quarantine/causes"))["items"][0]["waiting"] == 1
        assert (await program.gets(f"/quarantine/{line['quarantine_id']}"))["command"]["action"] == "enroll"
        assert {one["state"] for one in (await program.gets("/registrations"))["items"]} == {"active", "failed"}
        lanes = {one["target"]: one for one in (await program.gets("/lanes"))["items"]}
        assert (lanes["elevate"]["dead"], lanes["elevate"]["status"]) == (1, "running")
        for path in ("/lookups", "/alerts", "/learners", "/learners/1"):
            await program.gets(path)
        [found] = (await program.does("/learners/search", {"what": BOB["email"]}))["items"]
        traced = await program.does("/trace", {"what": BOB["email"], "by": "email"})
        assert [one["registration_id"] for one in traced["purchases"]] == [bob]
        assert (await program.gets(f"/registrations/{bob}"))["next"][0]["state"] == "dead"

        for dry_run in ("true", "false"):
            query = {"params": {"dry_run": dry_run}}
            done = await program.does("/deliveries/requeue", {"ids": [letter["delivery_id"], 999]}, **query)
            assert ([one["became"] for one in done["done"]], done["left_out"]) == (["requeued"], [999])
        await until(lambda: look(tmp_path / "bridge.db", "SELECT 1 FROM delivery WHERE state = 'dead'"))
        await program.does("/deliveries/retry", {"ids": [letter["delivery_id"]]})
        await program.does("/deliveries/dismiss", {"ids": [letter["delivery_id"]], "why": "by hand"})
        await program.does("/lookups/requeue", {"every": True})
        assert (await program.does("/quarantine/release", {"ids": [1]}))["done"][0]["became"] == "waiting"
        assert (await program.does("/events/replay", {"ids": [1]}))["done"][0]["became"] == "replayed"
        targets["elevate"].products = {"INTRO", "ETHICS"}
        moved = await program.does(f"/registrations/{ada}/move", {"to": ["ethics"], "why": "wrong one"})
        assert (moved["became"], moved["former"]) == ("moved", ["intro-ce"])
        again = await program.does(f"/registrations/{ada}/move", {"to": ["ethics"]})
        assert again["became"] == "unchanged"
        [gone] = (await program.does("/registrations/cancel", {"ids": [bob]}))["done"]
        assert gone["became"] == "cancelled"
        other = (await program.gets(f"/registrations/{ada}"))["learner"]["learner_id"]
        merged = await program.does(f"/learners/{found['learner_id']}/merge", {"into": other})
        assert merged["became"] == "merged"
        assert (await program.does(f"/learners/{found['learner_id']}/unmerge"))["became"] == "undone"
        assert (await program.does("/lanes/hubspot/pause", {"why": "their move"}))["paused"] is True
        assert (await program.does("/lanes/hubspot/resume"))["was_paused"] is True
        await _systems_are_told(program)
        assert (await program.does("/reload"))["mapping_changed"] is False
        assert (await program.refused("POST", f"/registrations/{ada}/seats/revoke", {"every_open": True}))[0] == 404
        audit = (await program.gets("/audit"))["items"]
        assert {one["operator"] for one in audit} == {"token ci"}
        assert [one["action"] for one in reversed(audit)] == [
            *("requeue", "dismiss", "release", "replay", "move", "cancel"),
            *("merge", "unmerge", "pause", "resume", "doctor", "reload"),
        ]
        assert program.seen == {one.name for one in ENDPOINTS}


async def test_nobody_is_told_anything_without_a_token(tmp_path) -> None:
    """401 for whatever address and method, with how to do it; only the document itself is for everybody."""
    async with emulators("elevate") as targets, api(tmp_path, targets) as (_, client, program):
        await client.register()
        for token in (None, "", "wrong", OPERATOR + "x", "Basic " + OPERATOR, "é" * 40):
            stranger = program.holding(token)
            for method, path in (("GET", "/registrations"), ("POST", "/reload"), ("DELETE", "/x"), ("GET", "/x")):
                status, told, headers = await stranger.calls(method, path)
                assert (status, headers["WWW-Authenticate"], told["errors"]) == (401, "Bearer", [])
        async with program.session.get(program.base_url + "/admin/api/openapi.json") as answer:
            assert (answer.status, (await answer.json())["openapi"]) == (200, "3.1.0")


async def test_a_viewers_token_looks_and_does_nothing(tmp_path) -> None:
    """It sees what is masked; what changes something, and whoever a learner is, is for operators."""
    async with emulators("elevate") as targets, api(tmp_path, targets) as (_, client, program):
        _, said = await client.register(**ADA)
        viewer = program.holding(VIEWER)
        path = f"/registrations/{said['registration_id']}"
        assert (await viewer.gets(path))["learner"]["last_name"] == "•••"
        assert ADA["email"] not in str(await viewer.gets("/registrations"))
        assert (await viewer.refused("GET", path, params={"reveal": "true"}))[:2] == (403, ["reveal"])
        assert (await program.gets(path, params={"reveal": "true"}))["learner"]["email"] == ADA["email"]
        for one in ENDPOINTS:
            if one.operates:
                address = one.path.format(registration_id=1, learner_id=1, target="elevate")
                status, _, detail = await viewer.refused("POST", address, {}, params={"dry_run": "true"})
                assert (status, "viewer" in detail) == (403, True)
        assert recorded(tmp_path) == []


async def test_what_can_not_be_done_is_refused_by_field(tmp_path) -> None:
    """With the status that a client can act on, naming the argument; nothing is recorded."""
    async with emulators("elevate") as targets, api(tmp_path, targets) as (_, client, program):
        await client.register()
        found = []
        for method, path, body, _ in REFUSED:
            status, fields, _ = await program.refused(method, path, body)
            found.append((method, path, body, (status, fields)))
        assert found == REFUSED
        assert recorded(tmp_path) == []


async def test_a_list_is_told_in_parts(tmp_path) -> None:
    """Each part begins where the last one ended, whatever came in between; nothing is told twice."""
    async with emulators("elevate") as targets, api(tmp_path, targets) as (_, client, program):
        for number in range(5):
            await client.register(f"u{number}")
        seen, cursor = [], None
        while True:
            params = {"limit": "2", **({"cursor": cursor} if cursor else {})}
            part = await program.gets("/registrations", params=params)
            seen += [one["registration_id"] for one in part["items"]]
            await client.register(f"late{len(seen)}")
            if (cursor := part["next_cursor"]) is None:
                break
        assert seen == [5, 4, 3, 2, 1]
        [one] = (await program.gets("/registrations?learner_id=2"))["items"]
        assert one["registration_id"] == 2
        status, told, headers = await program.calls("HEAD", "/registrations")
        assert (status, told, headers["Content-Type"]) == (200, None, "application/json")


async def test_who_guesses_is_locked_out(tmp_path) -> None:
    """After twenty wrong tokens none counts from there, the right one neither, also on a bridge that is started anew."""
    async with emulators("elevate") as targets:
        async with api(tmp_path, targets) as (_, __, program):
            for _ in range(3):
                assert (await program.calls("GET", "/lanes"))[0] == 200
            stranger = program.holding("wrong")
            states = [
                status for status, _, _ in await asyncio.gather(*(stranger.calls("GET", "/lanes") for _ in range(30)))
            ]
            assert (states.count(401), states.count(429)) == (20, 10)
            status, _, headers = await program.calls("GET", "/lanes")
            assert (status, 0 < int(headers["Retry-After"]) <= 900) == (429, True)
        async with api(tmp_path, targets) as (_, __, program):
            assert (await program.calls("GET", "/lanes"))[0] == 429


async def test_a_token_that_leaves_the_configuration_is_out_at_once(tmp_path) -> None:
    """By a reload; each of several counts while they rotate."""
    async with emulators("elevate") as targets, api(tmp_path, targets) as (_, __, program):
        assert (await program.holding(OLDER).calls("GET", "/lanes"))[0] == 200
        path = tmp_path / "bridge.toml"
        path.write_text(path.read_text().replace(f', "{OLDER}"', ""))
        await program.does("/reload")
        assert (await program.holding(OLDER).calls("GET", "/lanes"))[0] == 401
        assert (await program.calls("GET", "/lanes"))[0] == 200
        path.write_text(path.read_text().replace('adapter = "elevate"', 'adapter = "elevat"', 1))
        status, fields, _ = await program.refused("POST", "/reload")
        assert (status, fields) == (422, ["sources.ams.adapter"])


async def test_on_a_listener_of_its_own(tmp_path) -> None:
    """The public address has nothing of it."""
    extra = "\n[admin]\nport = 0\n"
    async with emulators("elevate") as targets, api(tmp_path, targets, extra=extra) as (bridge, client, program):
        assert bridge.admin_port
        assert (await program.calls("GET", "/lanes"))[0] == 200
        for path in ("/admin/api/openapi.json", "/admin/api/v1/lanes"):
            async with client.session.get(client.base_url + path) as answer:
                assert answer.status == 404


async def test_no_token_stands_anywhere(tmp_path, capfd) -> None:
    """Neither in the ledger nor in the log or an answer, of a token that counts as of one that does not."""
    async with emulators("elevate") as targets, api(tmp_path, targets) as (_, client, program):
        await client.register()
        for token in (OPERATOR, "wrong-token-for-tests-0123456789abcdefg"):
            said = program.holding(token)
            answers = [
                await said.calls("GET", "/audit"),
                await said.calls("POST", "/registrations/cancel", {"ids": [1]}),
            ]
            assert token not in str(answers)
        kept = b"".join(path.read_bytes() for path in tmp_path.glob("bridge.db*") if not path.is_socket())
        log = capfd.readouterr()
        for token in (OPERATOR, "wrong-token-for-tests-0123456789abcdefg"):
            assert token.encode() not in kept
            assert token not in log.out + log.err
        assert "api.unauthorised" in log.out + log.err


async def test_a_ledger_that_is_away_is_told_as_such(tmp_path) -> None:
    """503 and when to try again; never an answer that looks like one."""
    async with emulators("elevate") as targets, api(tmp_path, targets) as (bridge, _, program):
        await bridge.ledger.write(lambda unit: unit.run("ALTER TABLE console_failure RENAME TO away"))
        status, told, headers = await program.calls("GET", "/registrations")
        await bridge.ledger.write(lambda unit: unit.run("ALTER TABLE away RENAME TO console_failure"))
        assert (status, headers["Retry-After"], told["title"]) == (503, "10", "Service Unavailable")
        assert (await program.calls("GET", "/registrations"))[0] == 200


async def test_tokens_that_can_not_be_used_are_faults(tmp_path) -> None:
    """Too short, neither or both, no SHA-256, or the same under two names: said before the bridge starts."""
    for given, fault in (
        ('token = "short"', "expected 32 characters at least"),
        ('role = "viewer"', "expected token or sha256"),
        (f'token = "{"x" * 32}"\nsha256 = "{"0" * 64}"', "expected token or sha256"),
        ('sha256 = "abc"', "expected a SHA-256 in hex"),
        (f'token = "{OPERATOR}"', "is the same token as that of 'ci'"),
    ):
        path = configuration(tmp_path, {}, extra=f"{TOKENS}\n[admin.tokens.other]\n{given}\n")
        said = await asked("check", "--config", path)
        assert said.code == 2
        assert fault in said.err
        assert OPERATOR not in said.err


async def test_the_document_is_small_enough_to_read_at_once(tmp_path) -> None:
    """And the same for everybody, with no name of this bridge's configuration in it."""
    async with emulators("elevate") as targets, api(tmp_path, targets) as (_, __, program):
        async with program.session.get(program.base_url + "/admin/api/openapi.json") as answer:
            text = await answer.read()
        assert len(text) < 200_000
        assert not {"elevate", "intro-ce", "ci", "board"} & set(orjson.loads(text)["components"]["schemas"])
        assert isinstance(program, Program)
