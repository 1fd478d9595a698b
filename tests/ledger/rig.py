"""What ledger tests share: a mapping, commands as adapters make them, and targets that answer what the test says."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import text

from bridge.contract.catalogue import Catalogue, CourseEntry, ProductEntry, SourceEntry, TargetEntry
from bridge.contract.command import Action, EnrollmentCommand, Item, Learner, Order, Refund
from bridge.contract.inbound import InboundEvent, Reception
from bridge.contract.outbound import Operation, Outcome, Receipt, Repeat, Work
from bridge.contract.settings import CourseTable
from bridge.dispatch.retry import RetryPolicy, decide
from bridge.dispatch.settle import nothing, settlement
from bridge.dispatch.work import Nothing, compute
from bridge.intake.intake import Intake
from bridge.kit.clock import milliseconds
from bridge.ledger import claims
from bridge.ledger.claimed import Claimed
from bridge.ledger.claims import ClaimRequest
from bridge.ledger.store import Ledger

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
OPERATIONS = dict.fromkeys(Operation, Repeat.KEYED)


class Course(CourseTable):
    course_id: int


def _same(table: Any, _product: str) -> CourseTable:
    return table


LMS = TargetEntry("lms", "fake", "lms", "user_id", needs_table=True, course_for=_same, course_model=Course)
SCHOOL = TargetEntry("school", "fake", "lms", "email", needs_table=True, course_for=_same, course_model=Course)
CRM = TargetEntry("crm", "fake", "crm", "email", needs_table=False, course_for=_same)
NEWS = replace(CRM, name="news", when="accepted")

SHOP = SourceEntry("shop", "fake", namespace="shop", business_scope="shop")
PAY = SourceEntry("pay", "fake", namespace="shop", business_scope="shop")  # same_orders_as = "shop"
AMS = SourceEntry("ams", "fake", namespace="members", business_scope="ams")
CARELESS = SourceEntry("careless", "fake", namespace="shop", business_scope="careless", unmapped="ignore")


def at(minutes: float) -> datetime:
    """Return a time so many minutes after noon."""
    return NOON + timedelta(minutes=minutes)


def mapping(digest: str = "first", **changed: Any) -> Catalogue:
    """Return the usual mapping: INTRO and ETHICS at the lms, WEB by e-mail at the school, BOOK nowhere."""
    courses = {
        "intro": CourseEntry("intro", "Introduction", "https://x.example/intro", tables={"lms": Course(course_id=1)}),
        "ethics": CourseEntry("ethics", "Ethics", tables={"lms": Course(course_id=2)}),
        "intro-again": CourseEntry("intro-again", "Introduction", tables={"lms": Course(course_id=1)}),
        "web": CourseEntry("web", "Web", tables={"school": Course(course_id=7)}),
        "both": CourseEntry("both", "Both", tables={"lms": Course(course_id=3), "school": Course(course_id=3)}),
        "book": CourseEntry("book", "A book"),
        "year": CourseEntry("year", "A year", duration=timedelta(days=365), tables={"lms": Course(course_id=9)}),
    }
    products = {
        "INTRO": ProductEntry(("intro",)),
        "ETHICS": ProductEntry(("ethics",)),
        "AGAIN": ProductEntry(("intro-again",)),
        "BUNDLE": ProductEntry(("intro", "ethics")),
        "WEB": ProductEntry(("web",)),
        "BOTH": ProductEntry(("both",)),
        "BOOK": ProductEntry(("book",)),
        "YEAR": ProductEntry(("year",)),
        "MUG": ProductEntry(ignore=True),
    }
    found = Catalogue(
        sources={source.name: source for source in (SHOP, PAY, AMS, CARELESS)},
        targets={target.name: target for target in (LMS, SCHOOL)},
        courses=courses,
        products={
            (source.name, key): entry for source in (SHOP, PAY, AMS, CARELESS) for key, entry in products.items()
        },
        digest=digest,
    )
    return replace(found, **changed)


def with_targets(*targets: TargetEntry) -> Catalogue:
    """Return the usual mapping with these targets."""
    return mapping(targets={target.name: target for target in targets})


ADA = Learner(remote_user_id="ada", email="ada@example.org", first_name="Ada", last_name="Lovelace")
BOB = Learner(remote_user_id="bob", email="bob@example.org", first_name="Bob", last_name="Best")


def buy(
    *products: str | Item, who: Learner = ADA, order: str | None = None, minute: float = 0, **more
) -> EnrollmentCommand:
    """A purchase; ``order`` makes it known by a business key."""
    items = tuple(Item(remote_product_id=product) if isinstance(product, str) else product for product in products)
    return EnrollmentCommand(
        action=Action.ENROLL, occurred_at=at(minute), learner=who, items=items, business_key=order, **more
    )


def cancel(*products: str | Item, action: Action = Action.CANCEL, minute: float = 1, **more) -> EnrollmentCommand:
    """A cancellation, by whatever ``more`` says."""
    items = tuple(Item(remote_product_id=product) if isinstance(product, str) else product for product in products)
    return EnrollmentCommand(action=action, occurred_at=at(minute), items=items, **more)


def refund(*products: str | Item, full: bool = True, pending: bool = False, **more) -> EnrollmentCommand:
    """A refund, by whatever ``more`` says."""
    return cancel(*products, action=Action.REFUND, refund=Refund(full=full, pending=pending), **more)


def line(product: str, reference: str, **more) -> Item:
    """An order line with the sender's own reference."""
    return Item(remote_product_id=product, line=reference, **more)


def update(who: Learner, minute: float = 1, **more) -> EnrollmentCommand:
    """Changed data of a person."""
    return EnrollmentCommand(action=Action.UPDATE, occurred_at=at(minute), learner=who, **more)


class Adapter:
    """Stands in for the sender's adapter where the commands are known already."""

    credential_fields = frozenset({"api_key"})
    kept_headers = frozenset({"x-kept"})
    synchronous = True

    def __init__(self, commands: Sequence[EnrollmentCommand] = ()) -> None:
        self._commands = list(commands)

    def credentials(self) -> Sequence[str]:
        return ()

    def normalise(self, _event: InboundEvent) -> list[EnrollmentCommand]:
        return list(self._commands)


def request(body: bytes = b"{}", **more) -> InboundEvent:
    """What came in over HTTP."""
    given = {"method": "POST", "path": "/in/shop", "headers": {}, "query": {}, "body": body, "received_at": at(10_000)}
    return InboundEvent(**given | more)


class World:
    """A ledger with an intake before it and targets behind it."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.catalogue = mapping()
        self.now = milliseconds(at(10_000))
        self.intake = Intake(ledger, lambda: self.catalogue)

    async def accept(
        self, *commands: EnrollmentCommand, source: SourceEntry = SHOP, event: InboundEvent | None = None
    ) -> Reception:
        """Take one event with these commands in."""
        return await self.intake.receive(source, Adapter(commands), event or request())

    async def ids(self, *commands: EnrollmentCommand, **more) -> list[int]:
        """Take one event in; return its registrations."""
        reception = await self.accept(*commands, **more)
        assert reception.kind == "accepted", reception
        return [found.registration_id for found in reception.lines]

    async def together(
        self, *events: EnrollmentCommand | Sequence[EnrollmentCommand], source: SourceEntry = SHOP
    ) -> list[Reception]:
        """Take events in at once, so that they share a group."""
        return await asyncio.gather(
            *(self.accept(*(event if isinstance(event, list | tuple) else [event]), source=source) for event in events)
        )

    async def claim(self, target: str, limit: int = 100) -> list[Claimed]:
        """Lease what is due at a target."""
        known_by = self.catalogue.targets[target].known_by if target in self.catalogue.targets else "user_id"
        asked = ClaimRequest(target, limit, "me", self.now, 30_000, by_email=known_by == "email")
        return (await self.ledger.submit(claims.claim, asked)).claimed

    async def next_due(self, target: str) -> int | None:
        """Return when a lane's next open delivery is due."""
        return await self.ledger.write(lambda unit: claims.next_due(unit, target))

    def work(self, claimed: Claimed) -> Work | Nothing:
        """Compute what a claimed delivery comes to."""
        return compute(claimed, self.catalogue.targets[claimed.delivery.target], OPERATIONS, self.catalogue)

    async def settle(self, claimed: Claimed, outcome: Outcome | None = None, **changed) -> bool:
        """Settle a claimed delivery with what the target answered."""
        work = self.work(claimed)
        if isinstance(work, Nothing):
            settled = nothing(claimed, work, at=self.now)
        else:
            answer = outcome or Receipt()
            following = decide(answer, claimed.delivery.attempts, 0.0, Repeat.KEYED, RetryPolicy(), 0.5)
            settled = settlement(claimed, work, answer, following, [], at=self.now, ms=0)
        return await self.ledger.submit(claims.settle, replace(settled, **changed))

    async def deliver(self, target: str, outcome: Outcome | None = None) -> list[Work]:
        """Work a lane off until nothing is due; return what went out."""
        sent: list[Work] = []
        while claimed := await self.claim(target):
            for one in claimed:
                if isinstance(work := self.work(one), Work):
                    sent.append(work)
                await self.settle(one, outcome)
        return sent

    async def operations(self, target: str, outcome: Outcome | None = None) -> list[str]:
        """Work a lane off; return only what kind of work went out."""
        return [work.operation.value for work in await self.deliver(target, outcome)]

    async def rows(self, statement: str, **values: Any) -> list[Any]:
        """Ask the ledger on its reading connection."""
        return await self.ledger.read(lambda connection: list(connection.execute(text(statement), values).all()))

    async def one(self, statement: str, **values: Any) -> Any:
        """Ask for one value."""
        found = await self.rows(statement, **values)
        assert len(found) == 1, found
        return found[0][0]

    async def state(self, registration_id: int) -> str:
        return await self.one("SELECT state FROM registration WHERE id = :id", id=registration_id)

    async def wanted(self, target: str = "lms") -> dict[str, int]:
        """Return which persons' rights are wanted at a target, one course each."""
        rows = await self.rows('SELECT person, wanted FROM "right" WHERE target = :target ORDER BY id', target=target)
        return {row.person: row.wanted for row in rows}

    async def counts(self, *tables: str) -> dict[str, int]:
        """Count the rows of tables."""
        return {table: await self.one(f'SELECT count(*) FROM "{table}"') for table in tables}

    async def outbox(self, target: str) -> list[tuple[str, str]]:
        """Return the deliveries of a target, settled or not: (person, state)."""
        rows = await self.rows("SELECT person, state FROM delivery WHERE target = :target ORDER BY id", target=target)
        return [(row.person, row.state) for row in rows]


TABLES = (
    "event",
    "learner",
    "registration",
    "grant",
    "right",
    "delivery",
    "effect",
    "quarantine",
    "remote_ref",
    "attempt",
)
ORDER = Order(number="4711", transaction_id="tx-1", subscription_id="sub-1")
