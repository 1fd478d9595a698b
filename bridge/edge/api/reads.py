"""The addresses that only tell."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Annotated, Any, Final, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from bridge.edge.api import rows, story
from bridge.edge.api.endpoint import LARGEST_ID, Call, Desk, Endpoint, Shown
from bridge.edge.masked import body_of
from bridge.edge.standing import lanes_now
from bridge.kit.clock import milliseconds
from bridge.ledger import identities, overview, reports
from bridge.ledger.reports import Filter
from bridge.ledger.states import State
from bridge.ledger.story import By
from bridge.ledger.story import story as story_of

_RECENT: Final = timedelta(days=7)
_CAUSES: Final = 200
_LONGEST: Final = 300  # characters of what is looked for

Limit = Annotated[int, Field(ge=1, le=500, description="how many")]


class Listed(Shown):
    """Which part of a list is wanted."""

    limit: Limit = 50
    cursor: str | None = Field(
        default=None, pattern=r"^[1-9][0-9]{0,17}$", description="`next_cursor` of the part before"
    )

    @property
    def before(self) -> int | None:
        """The id that came last."""
        return None if self.cursor is None else int(self.cursor)


class Since(Listed):
    """Which part of a list that is ordered by time."""

    since: AwareDatetime | None = Field(default=None, description="not older: a date and time with its zone")


class Events(Since):
    """Which events."""

    source: str | None = None
    state: Literal["accepted", "refused", "unreadable", "ignored"] | None = None


class Registrations(Since):
    """Which registrations."""

    source: str | None = None
    state: State | None = None
    product: str | None = None
    learner_id: int | None = Field(default=None, ge=1, le=LARGEST_ID)


class Deliveries(Since):
    """Which deliveries."""

    target: str | None = None
    state: Literal["waiting", "open", "blocked", "leased", "dead", "done"] | None = None


class Lookups(Since):
    """Which lookups."""

    source: str | None = None
    state: Literal["open", "dead", "done"] | None = None


class Quarantine(Since):
    """What of the quarantine; by default what waits."""

    source: str | None = None
    product: str | None = None
    state: Literal["waiting", "released", "superseded", "all"] = "waiting"


class OfSource(Shown):
    """Of one source, or of all."""

    source: str | None = None


class Alerts(Shown):
    """Which alerts: open ones, and those since a time; by default of the last seven days."""

    limit: Limit = 50
    since: AwareDatetime | None = None


class Limited(Shown):
    """How many."""

    limit: Limit = 50


class Wanted(BaseModel):
    """What is looked for. It stands in the body, because addresses are logged on the way."""

    model_config = ConfigDict(extra="forbid")

    what: str = Field(min_length=1, max_length=_LONGEST, description="an e-mail address, an id, or what else names it")


class Traced(Wanted):
    """What is looked for, and which of these it is: by default each is tried."""

    by: By | None = None


def _page(call: Call, found: Sequence[dict[str, Any]], key: str) -> dict[str, Any]:
    more = len(found) == call.query.limit
    return {"items": call.shown(found), "next_cursor": str(found[-1][key]) if more else None}


def _listed(question: Callable[[Any, Filter], list[dict[str, Any]]], key: str) -> Callable[[Desk, Call], Any]:
    async def told(desk: Desk, call: Call) -> dict[str, Any]:
        given = call.query.model_dump(exclude={"reveal", "cursor"}, exclude_none=True)
        if given.get("state") == "all":
            del given["state"]
        wanted = Filter(**given, before=call.query.before)
        return _page(call, await desk.ledger.read(lambda connection: question(connection, wanted)), key)

    return told


def _one(question: Callable[[Any, int], dict[str, Any] | None], key: str) -> Callable[[Desk, Call], Any]:
    async def told(desk: Desk, call: Call) -> Any:
        found = await desk.ledger.read(lambda connection: question(connection, call.path[key]))
        return None if found is None else call.shown(found)

    return told


async def _event(desk: Desk, call: Call) -> dict[str, Any] | None:
    found = await desk.ledger.read(lambda connection: reports.event(connection, call.path["event_id"]))
    if found is None:
        return None
    return dict(call.shown({**found, "body": body_of(found, reveal=call.query.reveal)}))


async def _registration(desk: Desk, call: Call) -> Any:
    wanted = str(call.path["registration_id"])
    found = await desk.ledger.read(lambda connection: story_of(connection, wanted, "registration"))
    return None if found is None else call.shown(found["purchases"][0])


async def _trace(desk: Desk, call: Call) -> Any:
    wanted: Traced = call.body
    async with desk.searching:
        found = await desk.ledger.read(lambda connection: story_of(connection, wanted.what, wanted.by))
    return call.shown(found or {"what": wanted.what, "purchases": [], "waiting": [], "events": []})


async def _causes(desk: Desk, call: Call) -> dict[str, Any]:
    found = await desk.ledger.read(
        lambda connection: reports.quarantine_causes(connection, call.query.source, overview.MANY, _CAUSES)
    )
    return {"items": call.shown(found)}


async def _lanes(desk: Desk, call: Call) -> dict[str, Any]:
    catalogue, now = desk.catalogue(), milliseconds(desk.clock.now())
    status = desk.bridge.standing().lanes
    found = await desk.ledger.read(lambda connection: lanes_now(connection, catalogue, now))
    return {"items": call.shown([{**row, "status": status.get(row["target"], "elsewhere")} for row in found])}


async def _alerts(desk: Desk, call: Call) -> dict[str, Any]:
    since = milliseconds(call.query.since or desk.clock.now() - _RECENT)
    return {
        "items": call.shown(
            await desk.ledger.read(lambda connection: reports.alerts(connection, since, call.query.limit))
        )
    }


async def _audit(desk: Desk, call: Call) -> dict[str, Any]:
    asked: Listed = call.query
    found = await desk.ledger.read(lambda connection: overview.audit(connection, asked.before, asked.limit))
    return _page(call, found, "action_id")


async def _twins(desk: Desk, call: Call) -> dict[str, Any]:
    found = await desk.ledger.read(lambda connection: identities.learners(connection, None, call.query.limit))
    return {"items": call.shown(found)}


async def _find_learners(desk: Desk, call: Call) -> dict[str, Any]:
    async with desk.searching:
        found = await desk.ledger.read(
            lambda connection: identities.learners(connection, call.body.what, call.query.limit)
        )
    return {"items": call.shown(found)}


READS: Final = (
    Endpoint(
        "GET",
        "/events",
        "listEvents",
        "List what sources sent, newest first.",
        rows.EventPage,
        _listed(reports.events, "event_id"),
        Events,
    ),
    Endpoint("GET", "/events/{event_id}", "getEvent", "Tell one event in full.", rows.EventInFull, _event),
    Endpoint(
        "GET",
        "/registrations",
        "listRegistrations",
        "List order lines, newest first.",
        rows.RegistrationPage,
        _listed(reports.registrations, "registration_id"),
        Registrations,
    ),
    Endpoint(
        "GET",
        "/registrations/{registration_id}",
        "getRegistration",
        "Tell the whole story of one purchase.",
        story.PurchaseInFull,
        _registration,
    ),
    Endpoint(
        "GET",
        "/deliveries",
        "listDeliveries",
        "List work for targets, newest first; `state=dead` are the dead letters.",
        rows.DeliveryPage,
        _listed(reports.deliveries, "delivery_id"),
        Deliveries,
    ),
    Endpoint(
        "GET",
        "/deliveries/{delivery_id}",
        "getDelivery",
        "Tell one delivery with every attempt.",
        rows.DeliveryInFull,
        _one(reports.delivery, "delivery_id"),
    ),
    Endpoint(
        "GET",
        "/lookups",
        "listLookups",
        "List what senders are asked about their thin events, newest first.",
        rows.LookupPage,
        _listed(reports.lookups, "lookup_id"),
        Lookups,
    ),
    Endpoint(
        "GET",
        "/quarantine",
        "listQuarantine",
        "List what waits in quarantine, newest first.",
        rows.QuarantinedPage,
        _listed(reports.quarantine, "quarantine_id"),
        Quarantine,
    ),
    Endpoint(
        "GET",
        "/quarantine/causes",
        "countCauses",
        "Count what waits in quarantine by its cause.",
        rows.Causes,
        _causes,
        OfSource,
    ),
    Endpoint(
        "GET",
        "/quarantine/{quarantine_id}",
        "getQuarantined",
        "Tell one quarantined line with the command that waits.",
        rows.QuarantinedInFull,
        _one(reports.quarantined, "quarantine_id"),
    ),
    Endpoint("GET", "/lanes", "listLanes", "Tell how every target's lane stands.", rows.Lanes, _lanes),
    Endpoint("GET", "/alerts", "listAlerts", "List what is wrong, and what was of late.", rows.Alerts, _alerts, Alerts),
    Endpoint("GET", "/audit", "listAudit", "List who did what, newest first.", rows.AuditedPage, _audit, Listed),
    Endpoint(
        "GET",
        "/learners",
        "listTwins",
        "List learners who share an address, and are perhaps one person.",
        rows.Learners,
        _twins,
        Limited,
    ),
    Endpoint(
        "GET",
        "/learners/{learner_id}",
        "getLearner",
        "Tell one learner, and who may be the same person.",
        rows.Learner,
        _one(identities.learner, "learner_id"),
    ),
    Endpoint(
        "POST",
        "/learners/search",
        "findLearners",
        "Find learners by address, user id, number or a part of the name.",
        rows.Learners,
        _find_learners,
        Limited,
        Wanted,
    ),
    Endpoint(
        "POST",
        "/trace",
        "trace",
        "Tell the whole story behind a registration, an order, an event key, an address or a user id.",
        story.Trace,
        _trace,
        Shown,
        Traced,
    ),
)
"""Every address that changes nothing."""
