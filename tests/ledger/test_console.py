"""What the console asks of the ledger, on both databases: right, and found by indexes however much lies settled."""

from __future__ import annotations

import json

import pytest

from bridge.edge.systems import Secret, SourceFacts, sources_told
from bridge.kit.clock import moment
from bridge.ledger import behind, console, days, identities, lanes, overview, repairs, rhythm
from bridge.ledger.find import find
from bridge.ledger.store import Ledger

NOW = 1_800_000_000_000
WINDOW = 900_000
MOST = {"a": 2, "b": 4}


async def test_failures_lock_out_and_are_forgiven(ledger: Ledger) -> None:
    """After so many of one key nobody may try until the window has passed; another key counts on its own."""

    async def tries(now: int, most=MOST) -> int:
        return await ledger.write(lambda unit: console.guess(unit, most, now, WINDOW))

    assert [await tries(NOW), await tries(NOW + 1)] == [0, 0]
    assert await tries(NOW + 2) == WINDOW - 1
    assert await tries(NOW + 2, {"c": 2, "b": 4}) == 0
    await ledger.write(lambda unit: console.forgive(unit, "a"))
    assert await tries(NOW + 3) == 0
    assert await tries(NOW + 4) > 0, "b has four by now"
    await ledger.write(lambda unit: console.succeeded(unit, ["b"]))
    assert await tries(NOW + 5) == 0
    assert await tries(NOW + 6 + WINDOW) == 0, "the window has passed for both"


async def test_a_key_is_full_after_so_many(ledger: Ledger) -> None:
    """Until the window has passed; asking counts nothing."""

    async def full(key: str, now: int) -> int:
        return await ledger.write(lambda unit: console.full(unit, key, 2, now, WINDOW))

    assert [await full("a", NOW) for _ in range(5)] == [0] * 5
    for later in (1, 2):
        await ledger.write(lambda unit, later=later: console.guess(unit, {"a": 9}, NOW + later, WINDOW))
    assert (await full("a", NOW + 2), await full("b", NOW + 2)) == (WINDOW, 0)
    assert await full("a", NOW + 3 + WINDOW) == 0


async def test_sessions_end(ledger: Ledger) -> None:
    """A session is known by its token until it ends or is ended; the ledger itself holds no token."""
    await ledger.write(lambda unit: console.keep(unit, "token", "ada", "print", NOW, NOW + 1_000))
    found = await ledger.read(lambda connection: console.session(connection, "token", NOW + 999))
    assert found == console.Session("ada", "print")
    assert await ledger.read(lambda connection: console.session(connection, "token", NOW + 1_000)) is None
    assert await ledger.read(lambda connection: console.session(connection, "other", NOW)) is None
    await ledger.write(lambda unit: console.end(unit, "token"))
    assert await ledger.read(lambda connection: console.session(connection, "token", NOW)) is None


async def _past(ledger: Ledger) -> None:
    """Three purchases: one is in after two seconds, one is dead, one waits; a line in quarantine."""

    def work(unit) -> None:
        for n in (1, 2, 3):
            unit.run(
                "INSERT INTO event (source, adapter, received_at, method, path, body, state)"
                " VALUES ('shop', 'elevate', :at, 'POST', '/', '{}', 'accepted')",
                at=NOW + n,
            )
            unit.run(
                "INSERT INTO learner (namespace, remote_user_id, email, email_key, first_name, last_name, occurred_at, created_at, updated_at)"
                " VALUES ('shop', :user, :email, :email, 'Zoë', 'Müller', 1, 1, 1)",
                user=f"u{n}",
                email=f"p{n}@example.org",
            )
            unit.run(
                "INSERT INTO registration (source, learner_id, remote_product_id, intent, state, occurred_at, event_id, created_at, updated_at)"
                " VALUES ('shop', :n, 'INTRO', 'live', 'pending', 1, :n, :at, :at)",
                n=n,
                at=NOW + n,
            )
            unit.run(
                'INSERT INTO "right" (target, person, course_key, course, learner_id, wanted, held, created_at, updated_at)'
                " VALUES ('lms', :key, 'INTRO', '{}', :n, 1, 'no', :at, :at)",
                key=f"u{n}",
                n=n,
                at=NOW + n,
            )
            unit.run("INSERT INTO \"grant\" (registration_id, course, right_id, live) VALUES (:n, 'intro', :n, 1)", n=n)
            unit.run("INSERT INTO effect (event_id, registration_id, effect) VALUES (:n, :n, 'created')", n=n)
            state = {1: "done", 2: "dead", 3: "open"}[n]
            unit.run(
                "INSERT INTO delivery (target, kind, key, right_id, person, learner_id, registration_id, state, due_at, why, created_at,"
                " updated_at) VALUES ('lms', 'right', :key, :n, :key, :n, :n, :state, :at, 'HTTP 500', :at, :at)",
                key=f"right:{n}",
                n=n,
                state=state,
                at=NOW + n,
            )
            unit.run(
                "INSERT INTO attempt (delivery_id, at, ms, operation, outcome, why) VALUES (:n, :at, 500, 'grant', :outcome, 'said so')",
                n=n,
                at=NOW + n + 1_500,
                outcome="receipt" if n == 1 else "refused",
            )
        unit.run(
            "INSERT INTO quarantine (event_id, source, kind, remote_product_id, occurred_at, state, created_at, updated_at)"
            " VALUES (1, 'shop', 'unmapped', 'NEW', 1, 'waiting', 1, 1), (1, 'shop', 'unmapped', 'OLD', 1, 'released', 1, 1)"
        )
        unit.run(
            "INSERT INTO remote_ref (target, key, kind, remote_id, updated_at) VALUES ('crm', 'email:p2@example.org', 'contact', '9001', 1)"
        )
        lanes.pause(unit, "crm", "ada", "so", "", NOW)
        repairs.record(unit, "ada", "pause", "crm", "so", NOW)

    await ledger.write(work)


async def test_what_the_overview_asks(ledger: Ledger) -> None:
    """Counts, times to access, lanes, newest troubles, causes with their ids, and the audit come out as they are."""
    await _past(ledger)
    until = NOW + 10_000

    def asked(connection) -> dict:
        return {
            "purchases": days.counted(connection, NOW, until, 10),
            "most": days.counted(connection, NOW, until, 2),
            "none": days.counted(connection, until, until + 1, 10),
            "waits": days.waits(connection, NOW, until),
            "newest": days.waits(connection, NOW, until, 1),
            "lanes": overview.lanes(connection, ["lms", "crm"], until),
            "waiting": overview.waiting(connection),
            "troubles": overview.troubles(connection),
            "quarantine": overview.quarantined(connection),
            "lines": overview.quarantined_lines(
                connection, {"kind": "unmapped", "source": "shop", "remote_product_id": "NEW"}, 10
            ),
            "dead": overview.newest_dead(connection),
            "of": overview.dead_of(connection, "lms", "", 10),
            "others": overview.dead_of(connection, "lms", "look", 10),
            "lookups": overview.newest_dead_lookups(connection),
            "lookups_of": overview.dead_lookups_of(connection, "shop", "", 10),
            "audit": overview.audit(connection, None, 10),
        }

    found = await ledger.read(asked)
    assert (found["purchases"], found["most"], found["none"]) == (3, 2, 0)
    assert sorted(found["waits"], key=str) == [2_000, None, None]
    assert found["newest"] == [None]
    lms, crm = found["lanes"]
    assert lms == {"target": "lms", "queued": 1, "in_flight": 0, "dead": 1, "oldest": 9.997}
    assert (crm["queued"], crm["oldest"]) == (0, None)
    assert found["waiting"] == {}
    assert found["troubles"]["lms"]["why"] == "said so"
    assert [(row["remote_product_id"], row["waiting"]) for row in found["quarantine"]] == [("NEW", 1)]
    assert [row["event_id"] for row in found["lines"]] == [1]
    assert [row["registration_id"] for row in found["dead"]] == [2]
    assert (found["of"], found["others"]) == ([2], [])
    assert (found["lookups"], found["lookups_of"]) == ([], [])
    assert [row["operator"] for row in found["audit"]] == ["ada"]


@pytest.mark.parametrize(
    ("what", "registrations"),
    [
        ("Zoë Müller", {1, 2, 3}),
        ("MÜLLER", {1, 2, 3}),
        ("muller", set()),
        ("9001", {2}),
        ("u3", {3}),
        ("P1@Example.org", {1}),
        ("", set()),
        ("%", set()),
        ("9" * 30, set()),
        ("9" * 5_000, set()),  # more than Python reads as a number
    ],
)
async def test_finding(ledger: Ledger, what: str, registrations: set[int]) -> None:
    """By name in whatever case, by a target's id, by user id and address; a sign of the database's stands for itself."""
    await _past(ledger)
    found = await ledger.read(lambda connection: find(connection, what))
    assert {row["registration_id"] for row in found["purchases"]} == registrations
    await ledger.read(lambda connection: identities.learners(connection, what, 10))


async def test_only_what_waits_for_a_try_is_hastened(ledger: Ledger) -> None:
    """What is due already, dead, or done stays as it is; the rest is due now, and keeps its count of tries."""
    await _past(ledger)
    await ledger.write(lambda unit: unit.run("UPDATE delivery SET due_at = :at, attempts = 3", at=NOW + 99_000))

    def work(unit) -> list[int]:
        found = repairs.waiting_for_a_try(unit, [3, 2, 1, 3, 77], NOW)
        repairs.hasten(unit, found, NOW)
        return [row.id for row in found]

    assert await ledger.write(work) == [3]
    assert await ledger.write(work) == []
    rows = await ledger.write(lambda unit: unit.rows("SELECT due_at, attempts FROM delivery ORDER BY id"))
    assert [(row.due_at, row.attempts) for row in rows] == [(NOW + 99_000, 3), (NOW + 99_000, 3), (NOW, 3)]


async def test_who_was_in_before_did_not_wait(ledger: Ledger) -> None:
    """A second purchase of what is held counts as no wait; one that was taken back before it was there is not counted."""
    await _past(ledger)
    await ledger.write(
        lambda unit: unit.run("UPDATE \"right\" SET held = 'yes', held_at = :at WHERE id = 2", at=NOW - 5_000)
    )
    await ledger.write(lambda unit: unit.run('UPDATE "right" SET wanted = 0 WHERE id = 3'))
    waits = await ledger.read(lambda connection: days.waits(connection, NOW, NOW + 10_000))
    assert sorted(waits, key=str) == [0, 2_000]


async def test_console_and_alerts_judge_silence_alike(ledger: Ledger) -> None:
    """By what has come up to now, whether folded or not; while most is still to be folded, nobody is judged."""
    hour, week = 10_000 * rhythm.HOUR, 7 * 24 * rhythm.HOUR
    past = [
        rhythm.Hour("shop", (hour + more - n * week) // rhythm.HOUR, 30, hour + more - n * week + 3_500_000, 120_000)
        for n in (4, 3, 2, 1)
        for more in (-rhythm.HOUR, 0, rhythm.HOUR)
    ]

    def judged(connection) -> rhythm.Silence:
        return rhythm.how_heard(connection, ["shop", "other"], 0, 60_000, hour)["shop"]

    assert (await ledger.read(judged)).quiet is False
    await ledger.write(lambda unit: rhythm.fold(unit, past, None, 0, hour))
    found = await ledger.read(judged)
    assert (found.quiet, found.usual) == (True, 120_000)
    await ledger.write(
        lambda unit: unit.run(
            "INSERT INTO event (source, adapter, received_at, method, path, body, state)"
            " VALUES ('shop', 'elevate', :at, 'POST', '/', '{}', 'accepted')",
            at=hour - 1_000,
        )
    )
    found = await ledger.read(judged)
    assert (found.quiet, found.heard) == (False, hour - 1_000)


async def test_by_what_a_purchase_was_planned(ledger: Ledger) -> None:
    """The product's and the courses' tables as they were, and who is told of it; None of what is not planned; exchanges as kept."""
    await _past(ledger)
    mapping = {
        "products": [
            {"source": ["shop"], "remote_product_id": "OTHER", "courses": ["x"]},
            {"source": ["other", "shop"], "remote_product_id": "INTRO", "courses": ["intro"]},
        ],
        "courses": {"intro": {"tables": {"lms": {}}}},
    }

    def work(unit) -> None:
        unit.run(
            "INSERT INTO mapping_version (digest, mapping, created_at) VALUES ('d', :mapping, :at)",
            mapping=json.dumps(mapping),
            at=NOW,
        )
        unit.run("UPDATE registration SET mapping_version_id = 1, targets = '[\"crm\"]' WHERE id = 1")
        unit.run('UPDATE attempt SET exchanges = \'[{"method": "POST"}]\' WHERE id = 2')

    await ledger.write(work)
    found = await ledger.read(lambda connection: behind.mapping(connection, 1))
    assert found is not None
    assert found["product"]["courses"] == ["intro"]
    assert (found["courses"], found["followers"]) == (mapping["courses"], ["crm"])
    assert await ledger.read(lambda connection: behind.mapping(connection, 2)) is None
    assert await ledger.read(lambda connection: behind.exchanges(connection, [1, 2])) == {
        1: [],
        2: [{"method": "POST"}],
    }
    assert await ledger.read(lambda connection: behind.exchanges(connection, [])) == {}


async def test_what_came_today_is_counted_folded_or_not(ledger: Ledger) -> None:
    """By source: all of it by the hours that are folded and what is not, and by state of the newest."""
    await _past(ledger)
    midnight = NOW - NOW % (24 * rhythm.HOUR)
    before, after = (rhythm.Hour("shop", midnight // rhythm.HOUR + more, 10, midnight, 0) for more in (-1, 1))
    await ledger.write(lambda unit: rhythm.fold(unit, [before, after], None, 2, NOW))
    counted = await ledger.read(lambda connection: rhythm.counted_since(connection, midnight))
    assert counted == {"shop": 10 + 1}, "event 3 is not folded yet, the hour before midnight is not today's"
    rows = await ledger.read(lambda connection: days.received(connection, NOW, 100))
    assert [(row.source, row.state, int(row.n), int(row.bought)) for row in rows] == [("shop", "accepted", 3, 3)]
    some = await ledger.read(lambda connection: days.received(connection, NOW, 2))
    assert [int(row.n) for row in some] == [2]


async def test_sources_are_told_with_their_last_event(ledger: Ledger) -> None:
    """Its id and state where it is there; of one that never spoke, none; a credential that is not kept yet has no age."""
    await _past(ledger)
    secret = Secret("secret", "shared secret", 0, "abc")
    facts = [SourceFacts(name, "elevate", "", "", [], True, [], "", [secret]) for name in ("shop", "mute")]
    now = moment(NOW + 10)
    shop, mute = await ledger.read(lambda connection: sources_told(connection, facts, now))
    assert (shop["last_event"]["event_id"], shop["last_event"]["state"]) == (3, "accepted")
    assert (shop["today"]["events"], shop["today"]["purchases"], shop["today"]["part"]) == (3, 3, False)
    assert (mute["last_event"], mute["today"]["events"], mute["usual_silence"]) == (None, 0, None)
    assert mute["credentials"] == [{"setting": "secret", "kind": "shared secret", "place": 0, "since": None}]


async def test_examples_of_dead_letters_are_the_newest(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """The newest first, whichever the database would begin with."""
    await _past(ledger)
    monkeypatch.setattr(overview, "EXAMPLES", 2)
    await ledger.write(lambda unit: unit.run("UPDATE delivery SET state = 'dead', target = 'z' || (9 - id)"))
    found = await ledger.read(overview.newest_dead)
    assert [row["delivery_id"] for row in found] == [3, 2]
