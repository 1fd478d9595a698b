"""The addresses that change something: the operator's actions."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, create_model

from bridge.actions import asked
from bridge.edge.api import done
from bridge.edge.api.endpoint import Call, Desk, Endpoint, Nothing, Tried

Does = Callable[[Desk, Call], Awaitable[Any]]


def _body(model: type[BaseModel], *without: str, name: str = "") -> type[BaseModel]:
    """Return what of an action's arguments stands in the body; the others stand in the address."""
    fields: dict[str, Any] = {
        key: (field.annotation, field) for key, field in model.model_fields.items() if key not in {*without, "dry_run"}
    }
    return create_model(
        name or f"{model.__name__}Body", __config__=ConfigDict(extra="forbid"), __doc__=_first_line(model), **fields
    )


def _first_line(model: type[BaseModel]) -> str:
    return (model.__doc__ or "").partition("\n")[0]


async def _act(desk: Desk, call: Call, action: str, given: Mapping[str, Any]) -> Any:
    dry_run = {"dry_run": call.query.dry_run} if isinstance(call.query, Tried) else {}
    return await desk.actions.act(action, {**given, **dry_run}, call.caller.recorded_as)


def _many(action: str, key: str, **fixed: Any) -> Does:
    """Return what does an action on many, each of which is told by its id ``key``."""

    async def does(desk: Desk, call: Call) -> dict[str, Any]:
        given = call.body.model_dump()
        found = await _act(desk, call, action, {**given, **fixed})
        known = {row[key] for row in found}
        left_out = [number for number in dict.fromkeys(given.get("ids") or ()) if number not in known]
        return {"dry_run": call.query.dry_run, "done": call.shown(found), "left_out": left_out}

    return does


def _one(action: str, **fixed: Any) -> Does:
    """Return what does an action on what the address names."""

    async def does(desk: Desk, call: Call) -> dict[str, Any]:
        given = call.body.model_dump() if call.body is not None else {}
        found = await _act(desk, call, action, {**given, **call.path, **fixed})
        return {"dry_run": call.query.dry_run, **call.shown(found)}

    return does


async def _seats(desk: Desk, call: Call) -> dict[str, Any]:
    found = await _act(desk, call, "seats", {**call.body.model_dump(), **call.path})
    known = {row["number"] for row in found}
    left_out = [number for number in dict.fromkeys(call.body.numbers) if number not in known]
    shown = [{**call.shown(row), "code": row["code"]} for row in found]
    return {"dry_run": call.query.dry_run, "done": shown, "left_out": left_out}


def _learner(*, undo: bool) -> Does:
    async def does(desk: Desk, call: Call) -> dict[str, Any]:
        given = {"learner": call.path["learner_id"], "undo": undo, **({} if undo else call.body.model_dump())}
        return {"dry_run": call.query.dry_run, **call.shown(await _act(desk, call, "merge", given))}

    return does


async def _doctor(desk: Desk, call: Call) -> Any:
    return call.shown(await _act(desk, call, "doctor", call.path))


async def _reload(desk: Desk, call: Call) -> Any:
    return await _act(desk, call, "reload", {})


class MergeInto(BaseModel):
    """Whom the learner is one person with: who has everything from then on."""

    model_config = ConfigDict(extra="forbid")

    into: asked.Id


def _acting(
    path: str, name: str, summary: str, answer: type[BaseModel], does: Does, body: type[BaseModel] | None
) -> Endpoint:
    return Endpoint("POST", path, name, summary, answer, does, Tried, body, operates=True)


_WHY: Final = _body(asked.LaneSwitch, "target", name="WhyBody")
ACTS: Final = (
    _acting(
        "/deliveries/requeue",
        "requeueDeliveries",
        "Try dead letters again: these, a target's, or all.",
        done.RequeuedAnswer,
        _many("requeue", "delivery_id"),
        _body(asked.Requeue, "source", "lookups"),
    ),
    _acting(
        "/deliveries/retry",
        "retryDeliveries",
        "Try deliveries at once that wait for their next try.",
        done.RetriedAnswer,
        _many("retry", "delivery_id"),
        _body(asked.RetryNow),
    ),
    _acting(
        "/deliveries/dismiss",
        "dismissDeliveries",
        "End dead letters for good that were settled at their targets by hand.",
        done.DismissedAnswer,
        _many("dismiss", "delivery_id"),
        _body(asked.Dismiss),
    ),
    _acting(
        "/lookups/requeue",
        "requeueLookups",
        "Ask senders again: these lookups that were given up, a source's, or all.",
        done.ReaskedAnswer,
        _many("requeue", "lookup_id", lookups=True),
        _body(asked.Requeue, "target", "lookups", name="RequeueLookupsBody"),
    ),
    _acting(
        "/quarantine/release",
        "releaseLines",
        "Accept quarantined lines whose product is mapped by now: these, a source's, a product's, or all.",
        done.ReleasedAnswer,
        _many("release", "quarantine_id"),
        _body(asked.ReleaseLines),
    ),
    _acting(
        "/events/replay",
        "replayEvents",
        "Understand events anew by today's adapters and mapping: these, or a source's in one state.",
        done.ReplayedAnswer,
        _many("replay", "event_id"),
        _body(asked.ReplayEvents),
    ),
    _acting(
        "/registrations/cancel",
        "cancelRegistrations",
        "Take the access of registrations away, as if their sources had cancelled them.",
        done.CancelledAnswer,
        _many("cancel", "registration_id"),
        _body(asked.CancelRegistrations),
    ),
    _acting(
        "/registrations/{registration_id}/move",
        "moveRegistration",
        "Let a registration lead to other courses than it does.",
        done.Moved,
        _one("move"),
        _body(asked.MoveRegistration, "registration_id"),
    ),
    _acting(
        "/registrations/{registration_id}/seats/revoke",
        "reviseSeats",
        "Take seats of an order line back, or with `renew` give each a new link.",
        done.RevisedAnswer,
        _seats,
        _body(asked.ReviseSeats, "registration_id"),
    ),
    _acting(
        "/learners/{learner_id}/merge",
        "mergeLearner",
        "Say that a learner is the same person as another one.",
        done.Joined,
        _learner(undo=False),
        MergeInto,
    ),
    _acting(
        "/learners/{learner_id}/unmerge",
        "unmergeLearner",
        "Say that a learner who was merged is somebody of their own.",
        done.Joined,
        _learner(undo=True),
        None,
    ),
    _acting(
        "/lanes/{target}/pause",
        "pauseLane",
        "Stop a target's lane until it is resumed; what is queued stays.",
        done.Switched,
        _one("pause"),
        _WHY,
    ),
    _acting(
        "/lanes/{target}/resume",
        "resumeLane",
        "Let a target's lane go on.",
        done.Switched,
        _one("resume"),
        _WHY,
    ),
    Endpoint(
        "POST",
        "/lanes/{target}/doctor",
        "examineTarget",
        "Ask a target whether it can be reached, takes our credentials, and knows what is mapped; takes up to 30 seconds.",
        done.Examined,
        _doctor,
        Nothing,
        operates=True,
    ),
    Endpoint(
        "POST",
        "/reload",
        "reload",
        "Let the daemon read its configuration again; a bad one changes nothing.",
        done.Reloaded,
        _reload,
        Nothing,
        operates=True,
    ),
)
"""Every address that changes something, for operators only."""
