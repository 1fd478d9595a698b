"""What the buttons do: first a preview, which changes nothing, then the action itself on just what was shown."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from aiohttp import web
from pydantic import ValidationError

from bridge.actions import ActionRefused, Actions
from bridge.actions.deliveries import LEFT
from bridge.contract.errors import ConfigError
from bridge.edge.console.access import Visitor
from bridge.edge.console.pages import page, said
from bridge.edge.console.words import key_of, key_of_lines
from bridge.edge.masked import veil
from bridge.kit.clock import Clock, milliseconds
from bridge.ledger import causes, overview
from bridge.ledger.store import Ledger

MOST: Final = 500
"""How many are done at once; after that the next ones are shown."""

_SHOWN: Final = 50


@dataclass(frozen=True, slots=True)
class _Act:
    """One kind of action.

    Attributes:
        heading: of its pages.
        button: what the last button says.
        key: the field of a row that names what is acted on; empty where that is a target, or nothing.
        columns: of the table, key -> heading.
        stays: how what ``became`` says of a row begins that the action would leave as it is.
        sentence: what it will do.
        why: whether it is asked why, and whether that has to be said.
    """

    heading: str
    button: str
    sentence: str
    key: str = ""
    columns: Mapping[str, str] | None = None
    stays: tuple[str, ...] = ()
    why: Literal["", "may", "must"] = ""


_DELIVERIES: Final = {
    "delivery_id": "Delivery",
    "target": "Target",
    "registration_id": "Purchase",
    "why": "Why it did not go through",
}
_ACTS: Final[Mapping[str, _Act]] = {
    "requeue": _Act(
        "Try dead letters again",
        "Try again",
        "Each is sent once more, with a fresh count of tries. What the target holds already is not done twice.",
        "delivery_id",
        _DELIVERIES | {"became": "What becomes of it"},
        (LEFT,),
    ),
    "dismiss": _Act(
        "Settled by hand",
        "It is settled",
        "Nothing is sent any more: what was to be done has been done at the target by hand. A later event of the purchase opens new work.",
        "delivery_id",
        _DELIVERIES,
        why="must",
    ),
    "cancel": _Act(
        "Take access away",
        "Take access away",
        "As if the seller had cancelled it. What another purchase stands behind stays.",
        "registration_id",
        {
            "registration_id": "Purchase",
            "became": "Becomes",
            "taken": "Is taken away",
            "kept": "Stays, by another purchase",
            "note": "Note",
        },
        ("unchanged",),
        why="may",
    ),
    "move": _Act(
        "Move to another course",
        "Move",
        "Access is given at the other course first, and taken away from the former one when it has arrived there. It stands:"
        " a renewal and a replay keep it.",
        "registration_id",
        {
            "registration_id": "Purchase",
            "became": "Becomes",
            "former": "From",
            "courses": "To",
            "given": "Is given",
            "taken": "Is taken away then",
            "kept": "Stays, by another purchase",
        },
        ("unchanged",),
        why="may",
    ),
    "requeue_lookups": _Act(
        "Ask the sender again",
        "Ask again",
        "Each question is put to the sender once more, with a fresh count of tries.",
        "lookup_id",
        {"lookup_id": "Lookup", "source": "Source", "event_id": "Event", "kind": "Kind", "why": "Why it was given up"},
    ),
    "retry": _Act(
        "Try now",
        "Try now",
        "Each is tried at once instead of at its time; the count of tries goes on.",
        "delivery_id",
        _DELIVERIES,
    ),
    "release": _Act(
        "Release from quarantine",
        "Release",
        "Each line that is mapped by now is accepted as if it came in now; the others go on waiting.",
        "quarantine_id",
        {
            "quarantine_id": "Line",
            "source": "Source",
            "remote_product_id": "Product",
            "became": "Becomes",
            "registration_id": "Purchase",
            "note": "Note",
        },
        ("waiting",),
    ),
    "replay": _Act(
        "Replay events",
        "Replay",
        "Each event is understood anew from what the sender wrote, by today's configuration. What happened already does not happen twice.",
        "event_id",
        {"event_id": "Event", "source": "Source", "became": "Becomes", "note": "Note"},
    ),
    "pause": _Act(
        "Pause a target",
        "Pause",
        "Nothing is sent to it until somebody resumes it. What is queued stays, and what comes in is kept.",
        why="may",
    ),
    "resume": _Act("Resume a target", "Resume", "What is queued for it goes out at once."),
    "doctor": _Act("Ask a target", "Ask it", "Nothing is changed there."),
    "reload": _Act(
        "Read the configuration again",
        "Reload",
        "bridge.toml is read and checked first; a file with a fault changes nothing.",
    ),
}


class Acting:
    """Previews actions, and does them."""

    def __init__(self, ledger: Ledger, actions: Actions, clock: Clock, changed: Callable[[], None]) -> None:
        """Act through ``actions``, which keep the record; ``changed`` is told of each."""
        self._ledger = ledger
        self._actions = actions
        self._clock = clock
        self._changed = changed

    async def act(self, _: web.Request, visitor: Visitor, form: Mapping[str, str]) -> web.Response:
        """Show what an action will do, or with ``step`` = ``do``, do it.

        Raises:
            LedgerError: it could not be looked at, or done.
        """
        name, does = form.get("action", ""), form.get("step") == "do"
        if name not in _ACTS:
            return said(visitor, 422, "There is no such action")
        if not visitor.operates:
            return said(
                visitor, 403, "Viewers change nothing", "Ask an operator, or have your role changed in bridge.toml."
            )
        try:
            if name == "doctor":  # it changes nothing, so that there is nothing to show before
                return await self._examine(visitor, form)
            return await (self._do(visitor, name, form) if does else self._preview(visitor, name, form))
        except (ActionRefused, ConfigError) as fault:
            return said(visitor, 422, "That was not possible", *str(fault).splitlines())
        except ValidationError:
            if does and _ACTS[name].why == "must" and not form.get("why", "").strip():
                return said(visitor, 422, "That was not possible", "Say what was done: go back, and fill in the field.")
            return said(visitor, 422, "That was not possible", "What was sent is not what this form sends.")

    async def _examine(self, visitor: Visitor, form: Mapping[str, str]) -> web.Response:
        found = veil(await self._actions.act("doctor", {"target": form.get("target", "")}, visitor.name))
        return page(
            "examined", visitor, here="targets", found=found, fine=sum(1 for one in found["findings"] if one["ok"])
        )

    async def _preview(self, visitor: Visitor, name: str, form: Mapping[str, str]) -> web.Response:
        act = _ACTS[name]
        shown: dict[str, Any] = {"name": name, "act": act, "target": form.get("target", "")}
        if not act.key:
            if name != "reload":
                arguments = {"target": shown["target"], "dry_run": True}
                shown["lane"] = await self._lane(await self._actions.act(name, arguments, visitor.name))
            return page("preview", visitor, here="targets", **shown)
        ids, left = await self._meant(form)
        rows = await self._done(visitor, name, ids, form, dry_run=True)
        doable = [row[act.key] for row in rows if not str(row.get("became", "")).startswith(act.stays or "\0")]
        return page(
            "preview",
            visitor,
            here="troubles",
            rows=veil(rows[:_SHOWN]),
            total=len(rows),
            ids=",".join(map(str, doable)),
            doable=len(doable),
            left=left,
            to=form.get("to", ""),
            **shown,
        )

    async def _do(self, visitor: Visitor, name: str, form: Mapping[str, str]) -> web.Response:
        act = _ACTS[name]
        if not act.key:
            arguments = {} if name == "reload" else {"target": form.get("target", ""), "why": form.get("why", "")[:500]}
            await self._actions.act(name, arguments, visitor.name)
            rows: list[dict[str, Any]] = []
        else:
            rows = await self._done(visitor, name, _numbers(form.get("ids", "")), form, dry_run=False)
        self._changed()
        return page(
            "done",
            visitor,
            here="troubles" if act.key else "targets",
            act=act,
            target=form.get("target", ""),
            rows=veil(rows[:_SHOWN]),
            total=len(rows),
        )

    async def _done(
        self, visitor: Visitor, name: str, ids: Sequence[int], form: Mapping[str, str], *, dry_run: bool
    ) -> list[dict[str, Any]]:
        if not ids:
            return []
        arguments: dict[str, Any] = {"dry_run": dry_run}
        arguments |= {"registration_id": ids[0], "to": [form.get("to", "")]} if name == "move" else {"ids": list(ids)}
        if name == "requeue_lookups":
            arguments["lookups"] = True
        if why := _ACTS[name].why:
            arguments["why"] = form.get("why", "").strip()[:500] or ("-" if dry_run and why == "must" else "")
        done = await self._actions.act(name.partition("_")[0], arguments, visitor.name)
        columns = _ACTS[name].columns or {}
        rows = [done] if name == "move" else done
        return [{key: _said(row[key]) for key in row if key in columns or key == "became"} for row in rows]

    async def _meant(self, form: Mapping[str, str]) -> tuple[Sequence[int], int]:
        """Return the ids that are meant, the oldest of a cause, and how many more there are."""
        if "ids" in form:
            ids = _numbers(form["ids"])
        else:
            ids = await self._ledger.read(
                lambda connection: _of_cause(connection, form["action"], form.get("cause", ""))
            )
        return ids[:MOST], max(0, len(ids) - MOST)

    async def _lane(self, looked_at: Mapping[str, Any]) -> dict[str, Any]:
        now, targets = milliseconds(self._clock.now()), [looked_at["target"]]
        return (await self._ledger.read(lambda connection: overview.lanes(connection, targets, now)))[0]


def _of_cause(connection: Any, action: str, key: str) -> list[int]:
    """Return the oldest of what waits for one reason; none where nothing does any more."""
    if action == "requeue":
        found = [row for row in causes.dead_letters(connection) if key_of(row.target, row.remedy) == key]
        return overview.dead_of(connection, found[0].target, found[0].remedy, MOST + 1) if found else []
    if action == "requeue_lookups":
        found = [row for row in causes.dead_lookups(connection) if key_of(row.source, row.remedy) == key]
        return overview.dead_lookups_of(connection, found[0].source, found[0].remedy, MOST + 1) if found else []
    if action in ("release", "replay"):
        group = next((row for row in overview.quarantined(connection) if key_of_lines(row) == key), None)
        lines = overview.quarantined_lines(connection, group, MOST + 1) if group is not None else []
        return list(dict.fromkeys(row["event_id" if action == "replay" else "quarantine_id"] for row in lines))
    return []


def _said(value: Any) -> Any:
    """Return a value of a row as a cell says it: several with commas, a right by its target and person."""
    if isinstance(value, tuple | list):
        return ", ".join(
            f"{one['target']} ({one['person']})" if isinstance(one, Mapping) else str(one) for one in value
        )
    return value


def _numbers(text: str) -> list[int]:
    parts = [part.strip() for part in text.split(",")]
    return [int(part) for part in parts if part.isascii() and part.isdigit() and len(part) < 19]
