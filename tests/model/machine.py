"""What may happen, as rules of a Hypothesis state machine, and what has to be true after each and in the end."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from bridge.contract.inbound import Reception
from tests.model.plain import COURSES, NAMESPACE, SCOPE, Model, Place, Told, Who, key_of
from tests.model.town import Town

ORDERS = {
    "o-0": ("ONE",),
    "o-1": ("BOTH",),
    "o-2": ("ONE", "TWO"),
    "o-3": ("YEAR", "NEW"),
    "o-4": ("NEW",),
    "o-5": ("TWIN", "MIX"),
}
TARGETS = st.sampled_from(("lms", "crm"))
NUMBERS = st.sampled_from((None, "0", "1", "2"))
EMAILS = ("a@example.org", "b@example.org", "c@example.org")
PEOPLE = st.builds(
    Who,
    email=st.sampled_from(EMAILS),
    number=NUMBERS,
    name=st.sampled_from(("", "Ada", "Bob")),
)
SHOPS = st.sampled_from(("store", "shop", "pay"))
BACK = st.sampled_from((0, 0, 0, 1, 2, 5, 30))
TAKING = st.sampled_from(("cancel", "refund", "suspend", "resume"))
WORDS: dict[str, dict[str, Any]] = {
    "enroll": {"action": "enroll"},
    "hold": {"action": "suspend"},
    "end": {"action": "resume"},
    "lost": {"action": "cancel"},
    "announced": {"action": "refund", "pending": True},
    "refund": {"action": "refund"},
    "refund A": {"action": "refund", "ref": "A"},
    "refund B": {"action": "refund", "ref": "B"},
    "refund of a line": {"action": "refund", "full": False},
    "failed": {"action": "resume", "undoes": "refunds"},
    "failed A": {"action": "resume", "undoes": "refunds", "ref": "A"},
    "failed at once": {"action": "resume", "undoes": "refunds", "earlier": 0},
    "failed long after": {"action": "resume", "undoes": "refunds", "earlier": 120},
    "given back": {"action": "resume", "undoes": "all"},
}
AGO = st.integers(0, 9) | st.sampled_from((70, 125, 200))
QUARREL = st.lists(st.tuples(st.sampled_from(sorted(WORDS)), AGO), min_size=3, max_size=7)
FAULTS: dict[str, dict[str, Any]] = {
    "unavailable": {"mode": "status", "status": 503},
    "throttled": {"mode": "status", "status": 429, "headers": {"Retry-After": "2"}},
    "locked out": {"mode": "status", "status": 401, "body": {"error_messages": {"api_key": "Not valid."}}},
    "unreachable": {"mode": "cut"},
    "lost": {"mode": "lost"},
    "garbled": {"mode": "garbage"},
}
NEVER_DOUBLED = """
SELECT 'two unsettled deliveries of one right or contact', count(*) FROM delivery WHERE state IN ('open', 'blocked', 'leased', 'dead')
 GROUP BY target, kind, key HAVING count(*) > 1
UNION ALL SELECT 'two in flight of one person', count(*) FROM delivery WHERE state = 'leased'
 GROUP BY target, person HAVING count(*) > 1
UNION ALL SELECT 'a right is wanted without a live grant, or the other way round', id FROM "right" WHERE wanted <>
 (CASE WHEN EXISTS (SELECT 1 FROM "grant" t WHERE t.right_id = "right".id AND t.live = 1) THEN 1 ELSE 0 END)
UNION ALL SELECT 'a live grant of a registration that is not live', t.id FROM "grant" t
 JOIN registration g ON g.id = t.registration_id WHERE t.live = 1 AND g.intent <> 'live'
UNION ALL SELECT 'the outbox is larger than the disagreement', count(*) FROM delivery WHERE state <> 'done'
 HAVING count(*) > (SELECT count(*) FROM "right") + 2 * (SELECT count(*) FROM registration) + (SELECT count(*) FROM learner)
"""


class Machine(RuleBasedStateMachine):
    """Senders, people, targets, operators and the power supply do anything; a plain model says where it must end."""

    make_url: Callable[[], str]

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.model = Model()
        self.told: list[tuple[Told, int]] = []
        self.acknowledged: set[int] = set()
        self.events = 0
        self.town: Town | None = None

    def run(self, work: Any) -> Any:
        return self.runner.run(work)

    @initialize()
    def open(self) -> None:
        async def opened() -> Town:
            town = Town(type(self).make_url())
            await town.open()
            return town

        self.town = self.run(opened())

    @property
    def bridge(self) -> Town:
        assert self.town is not None
        return self.town

    # Senders

    @rule(who=PEOPLE, product=st.sampled_from(sorted(COURSES)))
    def ams_sells(self, who: Who, product: str) -> None:
        """Without ids of the occurrence or of the order."""
        self.run(self.hears(Told("ams", "enroll", who=self.named("ams", who), products=(product,))))

    @rule(source=SHOPS, who=PEOPLE, order=st.sampled_from(sorted(ORDERS)), back=BACK)
    def shop_sells(self, source: str, who: Who, order: str, back: int) -> None:
        """With ids of both, now and then long after it happened."""
        told = Told(source, "enroll", who=self.named(source, who), order=order, products=ORDERS[order])
        self.run(self.hears(told, back))

    @rule(who=PEOPLE, product=st.sampled_from((None, *sorted(COURSES))), action=TAKING, full=st.booleans())
    def ams_takes(self, who: Who, product: str | None, action: Any, full: bool) -> None:
        """By learner and product, or all of the learner's."""
        told = Told("ams", action, who=self.named("ams", who), products=(product,) if product else (), full=full)
        self.run(self.hears(told))

    @precondition(lambda self: self.numbered("ams"))
    @rule(which=st.integers(0, 99), action=TAKING, undoes=st.sampled_from(("holds", "refunds", "all")))
    def ams_takes_by_our_id(self, which: int, action: Any, undoes: str) -> None:
        places = self.numbered("ams")
        self.run(self.hears(Told("ams", action, place=places[which % len(places)], undoes=undoes)))

    @rule(
        source=SHOPS,
        order=st.sampled_from(sorted(ORDERS)),
        line=st.sampled_from((None, None, 0, 1)),
        action=TAKING,
        who=st.none() | PEOPLE,
        full=st.sampled_from((True, True, False)),
        pending=st.sampled_from((False, False, True)),
        undoes=st.sampled_from(("holds", "refunds", "all")),
        back=BACK,
    )
    def shop_takes(self, source: str, order: str, line: int | None, who: Who | None, back: int, **how: Any) -> None:
        """The whole order or a line; perhaps before anybody told of the purchase."""
        products = () if line is None else (ORDERS[order][line % len(ORDERS[order])],)
        who = who and self.named(source, who)
        if source == "pay" and "NEW" in products and not self.model.mapped:
            return  # nobody can know which of the shop's lines that is
        if how["action"] != "refund":
            how |= {"full": True, "pending": False}
        self.run(self.hears(Told(source, order=order, products=products, who=who, **how), back))

    @precondition(lambda self: self.model.places)
    @rule(
        which=st.integers(0, 99),
        action=TAKING,
        undoes=st.sampled_from(("holds", "refunds", "all")),
        back=BACK,
        line=st.booleans(),
    )
    def takes_what_is_there(self, which: int, action: Any, undoes: str, back: int, line: bool) -> None:
        """Of the newest most often: what stands is suspended, comes back, is taken."""
        place = self.model.places[-1 - which % len(self.model.places)]
        known = self.model.learners[place.learner]
        who = Who(known.email, known.number) if place.order is None else None
        products = (place.product,) if line and (place.source != "pay" or place.product != "NEW") else ()
        told = Told(place.source, action, order=place.order, who=who, products=products, undoes=undoes)
        self.run(self.hears(told, back if place.order else 0))

    @precondition(lambda self: any(place.order for place in self.model.places))
    @rule(which=st.integers(0, 99), words=QUARREL)
    def quarrels_over(self, which: int, words: list[tuple[str, int]]) -> None:
        """An order is disputed, refunded, paid after all and told anew, in the order of time or in any other."""
        places = [place for place in self.model.places if place.order]
        place = places[-1 - which % len(places)]
        known = self.model.learners[place.learner]
        who, products = Who(known.email, known.number, known.name), ORDERS[place.order or ""]
        for word, back in words:
            about = WORDS[word] | ({"who": who, "products": products} if word == "enroll" else {})
            if word == "refund of a line":
                named = [product for product in products if product != "NEW" or place.source != "pay"]
                about |= {"products": tuple(named[:1])}
            self.run(self.hears(Told(place.source, order=place.order, **about), back))

    @precondition(lambda self: self.model.places)
    @rule(which=st.integers(0, 99), email=st.sampled_from(EMAILS), other=st.booleans(), back=BACK)
    def sells_what_is_there(self, which: int, email: str, other: bool, back: int) -> None:
        """Again, or by another road; perhaps to somebody with another address by now."""
        place = self.model.places[-1 - which % len(self.model.places)]
        known = self.model.learners[place.learner]
        who = Who(email if other else known.email, known.number, known.name)
        source = {"shop": "pay", "pay": "shop"}.get(place.source, place.source) if other else place.source
        products = ORDERS[place.order] if place.order else (place.product,)
        told = Told(source, "enroll", order=place.order, who=who, products=products)
        self.run(self.hears(told, back if place.order else 0))

    @rule(source=st.sampled_from(("ams", "shop")), who=PEOPLE, back=BACK)
    def updates(self, source: str, who: Who, back: int) -> None:
        self.run(self.hears(Told(source, "update", who=self.named(source, who)), 0 if source == "ams" else back))

    @precondition(lambda self: self.told)
    @rule(which=st.integers(0, 99))
    def repeats(self, which: int) -> None:
        """The very same event comes again."""
        told, _ = self.told[-1 - which % len(self.told)]
        self.run(self.hears(told, again=True))

    # Targets

    @rule()
    def works(self) -> None:
        for name in ("lms", "crm"):
            self.run(self.bridge.work(name))

    @rule(name=TARGETS, when=st.sampled_from(("before", "after")), who=PEOPLE, order=st.sampled_from(sorted(ORDERS)))
    def sells_meanwhile(self, name: str, when: str, who: Who, order: str) -> None:
        """A purchase comes in while a call is under way."""
        told = Told("shop", "enroll", who=self.named("shop", who), order=order, products=ORDERS[order])
        self.meanwhile(name, when, told)

    @precondition(lambda self: self.model.places)
    @rule(which=st.integers(0, 99), when=st.sampled_from(("before", "after")), action=TAKING, lost=st.booleans())
    def takes_meanwhile(self, which: int, when: str, action: Any, lost: bool) -> None:
        """What is just being given is taken back, or comes back; perhaps nobody hears whether the call had its effect."""
        place = self.model.places[-1 - which % len(self.model.places)]
        known = self.model.learners[place.learner]
        who = Who(known.email, known.number) if place.order is None else None
        if lost:
            self.bridge.lms.now_fails("lost", times=1)
        self.meanwhile("lms", when, Told(place.source, action, order=place.order, who=who))

    @rule(name=TARGETS, when=st.sampled_from(("before", "after")), who=PEOPLE)
    def updates_meanwhile(self, name: str, when: str, who: Who) -> None:
        self.meanwhile(name, when, Told("shop", "update", who=self.named("shop", who)))

    @rule(name=TARGETS, fault=st.sampled_from(sorted(FAULTS)), times=st.sampled_from((1, 2, 6)))
    def fails(self, name: str, fault: str, times: int | None) -> None:
        self.bridge.emulators[name].now_fails(**FAULTS[fault], times=times)

    @rule(name=TARGETS, after=st.integers(0, 1))
    def loses_an_answer(self, name: str, after: int) -> None:
        """Of the next call but so many: it had its effect, and nobody hears of it."""
        self.bridge.emulators[name].now_fails("lost", times=1, after=after)
        self.run(self.bridge.work(name))

    @precondition(lambda self: any(emulator.faults for emulator in self.bridge.emulators.values()))
    @rule(name=TARGETS)
    def recovers(self, name: str) -> None:
        self.bridge.emulators[name].recovers()

    @rule(who=PEOPLE, source=st.sampled_from(("ams", "shop")))
    def refuses(self, who: Who, source: str) -> None:
        who = self.named(source, who)
        self.bridge.lms.refused ^= {who.number or who.email}

    # Time and trouble

    @rule(minutes=st.sampled_from((1, 6, 60, 25 * 60, 9 * 24 * 60)))
    def time_passes(self, minutes: int) -> None:
        self.bridge.pass_time(minutes)
        self.run(self.bridge.tick())

    @precondition(lambda self: any(place.ends[course] for place in self.model.places for course in place.open))
    @rule()
    def expires(self) -> None:
        self.run(self.bridge.expire())
        self.model.expire(self.bridge.minute)

    @rule()
    def forgets(self) -> None:
        """The record of what is done is removed; nothing that anybody was promised rests on it."""
        self.run(self.bridge.forget())

    @rule()
    def crashes(self) -> None:
        self.run(self.bridge.crash())

    @rule(name=TARGETS, when=st.sampled_from(("before", "after")))
    def crashes_at_work(self, name: str, when: str) -> None:
        """While a call is under way: before the target hears of it, or before what came of it is on disk."""
        self.bridge.moments[when] = self.bridge.dies_now
        self.run(self.bridge.work(name))

    @rule(who=PEOPLE, order=st.sampled_from(sorted(ORDERS)), committed=st.booleans())
    def crashes_unanswered(self, who: Who, order: str, committed: bool) -> None:
        """Before the sender had its answer: it tells us again, and whether it was on disk makes no difference."""
        told = Told("shop", "enroll", who=self.named("shop", who), order=order, products=ORDERS[order])
        told = self.dated(told, 0)

        async def unanswered() -> None:
            if committed:
                await self.hears(told, again=True)
                await self.bridge.crash()
            else:
                await self.bridge.send_in_vain(told)
            await self.hears(told, again=True)

        self.run(unanswered())

    # Operators

    @rule(name=TARGETS, paused=st.booleans())
    def switches(self, name: str, paused: bool) -> None:
        self.run(self.bridge.pause(name) if paused else self.bridge.resume(name))

    @precondition(lambda self: self.bridge.lms.refused)
    @rule()
    def requeues(self) -> None:
        self.run(self.bridge.requeue())

    @precondition(lambda self: self.model.quarantine and not self.model.mapped)
    @rule()
    def maps(self) -> None:
        self.bridge.mapped = self.model.mapped = True

    @precondition(lambda self: self.model.quarantine)
    @rule()
    def releases(self) -> None:
        async def released() -> None:
            failed = await self.failed()
            await self.bridge.release()
            self.model.release(failed)

        self.run(released())

    @precondition(lambda self: self.told)
    @rule(which=st.integers(0, 99))
    def replays(self, which: int) -> None:
        """An event is understood anew: it never undoes what a newer one did."""
        told, event_id = self.told[-1 - which % len(self.told)]
        if (told.products and "NEW" in told.products) or told in self.model.parked:
            return  # what waits is released above; a replay would do the same under other conditions
        self.run(self.bridge.replay(event_id))

    # What has to be true

    @invariant()
    def nothing_is_doubled(self) -> None:
        if self.town is not None:
            assert [tuple(row) for row in self.run(self.town.rows(NEVER_DOUBLED))] == []

    def teardown(self) -> None:
        try:
            if self.town is not None:
                self.run(self.settles())
        finally:
            if self.town is not None:
                self.run(self.town.close())
            self.runner.close()

    async def settles(self) -> None:
        """The world heals and everything is worked off: now all is as the model says."""
        bridge = self.bridge
        bridge.lms.refused.clear()
        for name, emulator in bridge.emulators.items():
            emulator.recovers()
            await bridge.resume(name)
        await bridge.expire()
        self.model.expire(bridge.minute)
        for _ in range(12):
            await bridge.requeue()
            for name in ("lms", "crm"):
                await bridge.work(name)
            if not await bridge.rows("SELECT 1 FROM delivery WHERE state <> 'done' LIMIT 1"):
                break
            bridge.pass_time(6)
            await bridge.tick()
            await bridge.expire()
            self.model.expire(bridge.minute)
        await self.is_as_the_model_says()

    async def is_as_the_model_says(self) -> None:
        bridge, model = self.bridge, self.model
        left = await bridge.rows("SELECT target, kind, person, state, why FROM delivery WHERE state <> 'done'")
        assert [tuple(row) for row in left] == [], "work is left over"
        held = Counter((row["user"], row["product"]) for row in bridge.lms.registrations.values() if row["live"])
        assert held == Counter(model.access()), "who is in what at the LMS"
        rights = await bridge.rows("SELECT id FROM \"right\" WHERE (wanted = 1) <> (held = 'yes') OR held = 'unknown'")
        assert [row.id for row in rights] == [], "rights that are not held as they are wanted"
        assert await self.registrations() == model.states(), "registrations"
        await self.nothing_is_lost()
        self.people_are_known()

    async def registrations(self) -> list[tuple[str, str, str, str]]:
        rows = await self.bridge.rows(
            "SELECT coalesce(l.remote_user_id, l.email) AS person, g.remote_product_id AS product,"
            " coalesce(g.business_key, '') AS purchase, g.state FROM registration g JOIN learner l ON l.id = g.learner_id"
            " WHERE g.mapping_version_id IS NOT NULL"
        )
        return sorted((row.person, row.product.removeprefix("P-"), row.purchase, row.state) for row in rows)

    async def nothing_is_lost(self) -> None:
        events = [row.id for row in await self.bridge.rows("SELECT id FROM event ORDER BY id")]
        assert events == sorted(self.acknowledged), "events that were acknowledged"
        waiting = await self.bridge.rows(
            "SELECT kind, source, business_key FROM quarantine WHERE state = 'waiting' ORDER BY id"
        )
        lines = sorted((row.source, row.business_key) for row in waiting if row.kind == "unmapped")
        assert lines == sorted((source, order or "") for source, _, _, order in self.model.quarantine), "quarantine"
        early = {row.business_key for row in waiting if row.kind == "early"}
        there = {place.order for place in self.model.places}
        assert early - there == {told.order for told in self.model.parked} - there, "what waits for its purchase"

    def people_are_known(self) -> None:
        users, contacts = self.bridge.lms.users, self.bridge.crm.contacts.values()
        for place in self.model.places:
            learner = self.model.learners[place.learner]
            if place.open and learner.number:
                user = users[learner.number]
                assert (user["email"], user["firstname"]) == (learner.email, learner.name), "data at the LMS"
        by_email = Counter(contact.email for contact in contacts)
        assert not [email for email, count in by_email.items() if count > 1], "contacts that are there twice"
        expected = self.model.contacts()
        assert set(expected) <= set(by_email), "contacts"
        for contact in contacts:
            names = expected.get(contact.email, {""})
            first = contact.properties.get("firstname", "")
            assert "" in names or first in names, f"{contact.email} is {first} at the CRM, not one of {names}"

    # How it is done

    def named(self, source: str, who: Who) -> Who:
        """Give the person the number that this namespace knows them by."""
        return replace(who, number=who.number and NAMESPACE[source][0] + who.number)

    def numbered(self, source: str) -> list[Place]:
        return [place for place in self.model.places if place.source == source and place.number is not None]

    def dated(self, told: Told, back: int) -> Told:
        self.bridge.pass_time(1)
        self.events += 1
        return replace(told, at=self.bridge.minute - back, key=None if told.source == "ams" else f"e-{self.events}")

    def meanwhile(self, name: str, when: str, told: Told) -> None:
        async def happens() -> None:
            await self.hears(told)

        self.bridge.moments[when] = happens
        self.run(self.bridge.work(name))

    async def failed(self) -> frozenset[int]:
        rows = await self.bridge.rows("SELECT id FROM registration WHERE state = 'failed'")
        return frozenset(row.id for row in rows)

    async def hears(self, told: Told, back: int = 0, *, again: bool = False) -> None:
        """Tell bridge and model of an event; ``again``: exactly as it stands."""
        if not again:
            told = self.dated(told, back)
        elif told.source == "ams":
            self.bridge.pass_time(1)
            told = replace(told, at=self.bridge.minute)
        failed = await self.failed()
        reception = await self.bridge.send(told)
        assert reception.kind in ("accepted", "not_found", "unmapped"), reception
        assert reception.event_id is not None
        self.acknowledged.add(reception.event_id)
        self.told.append((told, reception.event_id))
        self.model.hear(told, failed)
        if told.action == "enroll":
            self.number(told, reception)

    def number(self, told: Told, reception: Reception) -> None:
        """Note the ids of what was bought: a repeat must name the same."""
        key = key_of(told)
        for line in reception.lines:
            product = line.remote_product_id.removeprefix("P-")
            for place in self.model.places:
                of_order = (
                    told.order is not None and place.order == told.order and SCOPE[place.source] == SCOPE[told.source]
                )
                of_person = told.order is None and place.order is None and place.alive and place.learner == key
                if place.product == product and (of_order or (of_person and place.source == told.source)):
                    assert place.number in (None, line.registration_id), "a repeat that names another registration"
                    place.number = line.registration_id
