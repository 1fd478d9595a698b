"""The systems at both ends, as the configuration has them and the ledger knows them: for the console and the API alike."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from bridge.contract.settings import Rate
from bridge.kit.clock import milliseconds, moment
from bridge.ledger import credentials, days, rhythm
from bridge.ledger.credentials import Holder
from bridge.ledger.events import OPERATOR
from bridge.ledger.overview import MANY
from bridge.ledger.reports import ask

_NOTHING: Final = {"accepted": 0, "refused": 0, "unreadable": 0, "ignored": 0}


@dataclass(frozen=True, slots=True)
class Secret:
    """A credential without its value.

    Attributes:
        field: the setting that holds it, with dots.
        kind: in words.
        place: which of several it is while they rotate, from 1 on; 0 where there is one.
        fingerprint: by what the ledger knows it.
    """

    field: str
    kind: str
    place: int
    fingerprint: str


@dataclass(frozen=True, slots=True)
class TargetFacts:
    """A target as the configuration has it.

    Attributes:
        what: its connector, in a sentence.
        base_url: its address, without credentials.
        rates: the windows of its rate limit; none where nothing limits it.
        own_limit: the operator set them; else they are the connector's.
    """

    name: str
    connector: str
    what: str
    stage: str
    base_url: str
    rates: Sequence[Rate]
    own_limit: bool
    concurrency: int
    secrets: Sequence[Secret]


@dataclass(frozen=True, slots=True)
class SourceFacts:
    """A source as the configuration has it.

    Attributes:
        what: its adapter, in a sentence.
        product: what it calls its product.
        addresses: methods and address, those that a vendor prescribes first.
        public: the addresses begin with the bridge's public one; else with the one that it listens on.
        steps: what is to be done at the sender.
        asks: the address of the sender's API, where the bridge asks it.
        secrets: its credentials.
    """

    name: str
    adapter: str
    what: str
    product: str
    addresses: Sequence[tuple[str, str]]
    public: bool
    steps: Sequence[str]
    asks: str
    secrets: Sequence[Secret]


def target_told(connection: Any, facts: TargetFacts) -> dict[str, Any]:
    """Return what is configured of a target, with since when its credentials are known."""
    return {
        "target": facts.name,
        "connector": facts.connector,
        "what": facts.what,
        "stage": facts.stage,
        "base_url": facts.base_url,
        "concurrency": facts.concurrency,
        "limits": [{"requests": rate.requests, "seconds": rate.seconds} for rate in facts.rates],
        "own_limit": facts.own_limit,
        "credentials": _aged(connection, "target", facts.name, facts.secrets),
    }


def sources_told(connection: Any, all_facts: Iterable[SourceFacts], now: datetime) -> list[dict[str, Any]]:
    """Return what is configured of sources, since when their credentials are known, when they spoke last and how often today.

    Times are UTC; ``usual_silence``, in seconds, is None while too little is known.
    """
    midnight = milliseconds(now.replace(hour=0, minute=0, second=0, microsecond=0))
    heard, _ = rhythm.heard(connection)
    events = rhythm.counted_since(connection, midnight)
    today = days.received(connection, midnight, MANY)
    part = sum(row.n for row in today) >= MANY
    return [
        {
            "source": facts.name,
            "adapter": facts.adapter,
            "what": facts.what,
            "product": facts.product,
            "addresses": [{"methods": methods, "url": url} for methods, url in facts.addresses],
            "public": facts.public,
            "steps": list(facts.steps),
            "asks": facts.asks,
            "credentials": _aged(connection, "source", facts.name, facts.secrets),
            "last_event": _last(connection, facts.name, heard.get(facts.name)),
            "usual_silence": _seconds(rhythm.usual_silence(connection, facts.name, milliseconds(now))),
            "today": {
                "events": events.get(facts.name, 0),
                "part": part,
                "purchases": sum(int(row.bought) for row in today if row.source == facts.name),
                **_NOTHING,
                **{row.state: row.n for row in today if row.source == facts.name},
            },
        }
        for facts in all_facts
    ]


def _last(connection: Any, source: str, at: int | None) -> dict[str, Any] | None:
    if at is None:
        return None
    rows = ask(
        connection,
        "SELECT e.id AS event_id, e.state, e.note FROM event e WHERE e.received_at = :at AND e.source = :source"
        " AND e.adapter <> :operator ORDER BY e.id DESC LIMIT 1",
        at=at,
        source=source,
        operator=OPERATOR,
    )
    empty = {"event_id": None, "state": None, "note": None}
    return {"at": moment(at), **(rows[0] if rows else empty)}


def _seconds(found: int | None) -> float | None:
    return None if found is None else found / 1000


def _aged(connection: Any, holder: Holder, name: str, secrets: Sequence[Secret]) -> list[dict[str, Any]]:
    known = credentials.since(connection, holder, name)
    return [
        {
            "setting": one.field,
            "kind": one.kind,
            "place": one.place,
            "since": moment(at) if (at := known.get((one.field, one.fingerprint))) is not None else None,
        }
        for one in secrets
    ]
