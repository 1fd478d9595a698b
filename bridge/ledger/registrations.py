"""Registrations: one order line each. Repeats are decided by unique indexes inside the insert."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from bridge.ledger.insertion import Insertion
from bridge.ledger.states import Intent, State, derive
from bridge.ledger.unit import Unit


@dataclass(slots=True)
class RegistrationRow:
    """One order line to be kept. Times in milliseconds, JSON as text."""

    source: str
    learner_id: int
    remote_product_id: str
    line: str
    business_scope: str | None
    business_key: str | None
    intent: str
    occurred_at: int
    quantity: int
    amount_paid: str | None
    currency: str | None
    order_number: str | None
    transaction_id: str | None
    subscription_id: str | None
    order_data: str
    options: str
    targets: str
    mapping_version_id: int | None
    event_id: int

    @property
    def key(self) -> tuple[Any, ...]:
        """What the unique indexes decide by."""
        if self.business_key is not None:
            return (self.business_scope, self.business_key, self.line)
        return (self.source, self.learner_id, self.remote_product_id, self.line)


@dataclass(slots=True)
class Opened:
    """What became of a row: the registration that stands for it now.

    Attributes:
        keyed: it has a business key, so that time decides between events.
        quantity: how many units it was known to be of.
        bare: its purchase has not arrived yet, only a cancellation of it; it has no mapping and no grants.
        money_at: of the newest word about its money, where more was said of it than that it is bought.
    """

    id: int
    created: bool
    source: str
    learner_id: int
    intent: Intent
    state: State
    occurred_at: int
    options: str
    keyed: bool
    quantity: int
    bare: bool
    money_at: int | None = None


_COLUMNS = {
    "source": "text",
    "learner_id": "int",
    "remote_product_id": "text",
    "line": "text",
    "business_scope": "text",
    "business_key": "text",
    "intent": "text",
    "occurred_at": "int",
    "quantity": "int",
    "amount_paid": "text",
    "currency": "text",
    "order_number": "text",
    "transaction_id": "text",
    "subscription_id": "text",
    "order_data": "text",
    "options": "text",
    "targets": "text",
    "mapping_version_id": "int",
    "event_id": "int",
}
_INSERT = Insertion(
    "registration", _COLUMNS, computed={"state": "'pending'", "created_at": ":now", "updated_at": ":now"}
)
_FIND_LIVE = """
SELECT g.* FROM {rows} JOIN registration g ON g.source = r.source AND g.learner_id = r.learner_id
 AND g.remote_product_id = r.remote_product_id AND g.line = r.line
 AND g.business_key IS NULL AND g.intent IN ('live', 'suspended')
"""
_FIND_KEYED = """
SELECT g.* FROM {rows} JOIN registration g ON g.business_scope = r.business_scope AND g.business_key = r.business_key
 AND g.line = r.line
"""
_TRIES = 3
_LARGEST_ID = 2**63 - 1
_KEYLESS = {"source": "text", "learner_id": "int", "remote_product_id": "text", "line": "text"}
_KEYED = {"business_scope": "text", "business_key": "text", "line": "text"}
_SET_INTENT = """
UPDATE registration SET intent = r.intent, occurred_at = r.occurred_at, options = r.options, updated_at = :now
FROM {rows} WHERE registration.id = r.id
"""
_RENEWED = [name for name in _COLUMNS if name not in ("source", "line", "business_scope", "business_key", "event_id")]
_RENEW = f"""
UPDATE registration SET {", ".join(f"{name} = r.{name}" for name in _RENEWED)}, updated_at = :now
FROM {{rows}} WHERE registration.id = r.id
"""
_ADVANCE = """
UPDATE registration SET occurred_at = r.occurred_at FROM {rows} WHERE registration.id = r.id AND registration.occurred_at < r.occurred_at
"""
# A dead letter counts where it is what the registration waits for; what has no mapping yet waits for its purchase.
_SUMMARY = """
SELECT g.id, g.intent, g.state,
 sum(CASE WHEN t.live = 1 AND w.held <> 'yes' OR g.mapping_version_id IS NULL THEN 1 ELSE 0 END) AS missing,
 sum(CASE WHEN w.wanted = 0 AND w.held <> 'no' THEN 1 ELSE 0 END) AS leaving,
 sum(CASE WHEN d.id IS NULL THEN 0 WHEN g.intent = 'live' AND t.live = 1 AND w.held <> 'yes' THEN 1
  WHEN g.intent <> 'live' AND w.wanted = 0 AND w.held <> 'no' THEN 1 ELSE 0 END) AS dead
FROM {rows} JOIN registration g ON g.id = r.id
LEFT JOIN "grant" t ON t.registration_id = g.id
LEFT JOIN "right" w ON w.id = t.right_id
LEFT JOIN delivery d ON d.right_id = w.id AND d.state = 'dead'
GROUP BY g.id, g.intent, g.state
"""
_SET_STATE = "UPDATE registration SET state = r.state, updated_at = :now FROM {rows} WHERE registration.id = r.id"


def insert(unit: Unit, rows: Sequence[RegistrationRow], now: int) -> list[Opened]:
    """Insert order lines; where one is there already, return that one. One result per row; twins get the same id."""
    keys = [row.key for row in rows]
    opened: dict[tuple[Any, ...], Opened] = {}
    # In the order of other writers, so that two with the same keys wait for each other and don't deadlock.
    missing = sorted(dict(zip(reversed(keys), reversed(rows), strict=True)).items(), key=_in_order)
    for _ in range(_TRIES):
        ids = unit.insert(_INSERT, [row for _, row in missing], now=now)
        opened |= {key: _created(i, row) for i, (key, row) in zip(ids, missing, strict=True) if i is not None}
        there = [row for i, (_, row) in zip(ids, missing, strict=True) if i is None]
        opened |= {_key(row): as_opened(row) for row in _find(unit, there)}
        # One that was in the way of the insert and is gone now was cancelled by another process in between.
        if not there or not (missing := [(key, row) for key, row in missing if key not in opened]):
            break
    first: set[tuple[Any, ...]] = set()
    results = []
    for key in keys:
        result = opened[key]
        results.append(replace(result, created=False) if key in first else result)
        first.add(key)
    return results


def _in_order(item: tuple[Any, RegistrationRow]) -> tuple[int, str]:
    return item[1].learner_id, item[1].remote_product_id


_TAKEN_BACK = """
SELECT g.* FROM registration g WHERE g.source = :source AND g.learner_id = :learner AND g.remote_product_id = :product
 AND g.line = :line AND g.business_key IS NULL AND g.intent NOT IN ('live', 'suspended')
 AND EXISTS (SELECT 1 FROM effect e WHERE e.registration_id = g.id AND e.event_id >= :event_id)
ORDER BY g.id DESC LIMIT 1
"""


def taken_back(unit: Unit, row: RegistrationRow) -> Opened | None:
    """Return what a purchase without a business key has come to, where it or what was bought before it has ended since."""
    if row.business_key is not None:
        return None
    found = unit.rows(
        _TAKEN_BACK,
        source=row.source,
        learner=row.learner_id,
        product=row.remote_product_id,
        line=row.line,
        event_id=row.event_id,
    )
    return as_opened(found[0]) if found else None


def _find(unit: Unit, rows: Sequence[RegistrationRow]) -> list[Any]:
    keyed = [{name: getattr(row, name) for name in _KEYED} for row in rows if row.business_key is not None]
    live = [{name: getattr(row, name) for name in _KEYLESS} for row in rows if row.business_key is None]
    order = " ORDER BY g.id" + unit.holding("g")
    return [
        *unit.each(_FIND_LIVE + order, _KEYLESS, live),
        *unit.each(_FIND_KEYED + order, _KEYED, keyed),
    ]


def _created(registration_id: int, row: RegistrationRow) -> Opened:
    return Opened(
        registration_id,
        True,
        row.source,
        row.learner_id,
        Intent(row.intent),
        State.PENDING,
        row.occurred_at,
        row.options,
        row.business_key is not None,
        row.quantity,
        bare=False,
    )


def as_opened(row: Any) -> Opened:
    """Return a registration's row as what became of it."""
    return Opened(
        row.id,
        False,
        row.source,
        row.learner_id,
        Intent(row.intent),
        State(row.state),
        row.occurred_at,
        row.options,
        row.business_key is not None,
        row.quantity,
        bare=row.mapping_version_id is None,
        money_at=row.money_at,
    )


def _key(row: Any) -> tuple[Any, ...]:
    if row.business_key is not None:
        return (row.business_scope, row.business_key, row.line)
    return (row.source, row.learner_id, row.remote_product_id, row.line)


def wins(old: Intent, old_at: int, new: Intent, at: int, *, dated: bool) -> bool:
    """Say whether a new intent counts over the one that stands.

    Under a business key the newer event wins, whatever the order of arrival; equal times are decided by rank. A sender
    that gives no times is taken at its word, in the order of its calls.
    """
    if not dated:
        return True
    return (at, new.rank) > (old_at, old.rank)


_NEIGHBOURS = """
SELECT h.id FROM registration h WHERE h.id IN (SELECT r.id FROM {rows}) OR h.id IN (
 SELECT b.registration_id FROM {rows} JOIN "grant" t ON t.registration_id = r.id JOIN "grant" b ON b.right_id = t.right_id)
ORDER BY h.id"""


def _held(unit: Unit, found: Sequence[Any]) -> list[Any]:
    """Return registrations as they are once they are held, with their learners and all that rest on the same rights."""
    if not unit.dialect.many_writers:
        return list(found)
    unit.hold("learner", (row.learner_id for row in found))  # whose address may just be moving, and the grants with it
    ids = [{"id": row.id} for row in found]
    unit.each(_NEIGHBOURS + unit.holding("h"), {"id": "int"}, ids)
    return list(
        unit.each("SELECT g.* FROM {rows} JOIN registration g ON g.id = r.id ORDER BY g.id", {"id": "int"}, ids)
    )


def by_id(unit: Unit, registration_id: int, source: str) -> list[Any]:
    """Return the source's registration of this id, or nothing: another source's is as good as absent."""
    if not 0 < registration_id <= _LARGEST_ID:
        return []
    statement = "SELECT * FROM registration WHERE id = :id AND source = :source"
    return _held(unit, unit.rows(statement, id=registration_id, source=source))


def by_ids(unit: Unit, ids: Iterable[int]) -> list[Any]:
    """Return registrations by their ids."""
    statement = "SELECT g.* FROM {rows} JOIN registration g ON g.id = r.id ORDER BY g.id"
    return _held(unit, unit.each(statement, {"id": "int"}, [{"id": i} for i in sorted(set(ids))]))


def by_business_key(unit: Unit, scope: str, key: str) -> list[Any]:
    """Return every line of the purchase with this business key."""
    statement = "SELECT * FROM registration WHERE business_scope = :scope AND business_key = :key ORDER BY id"
    return _held(unit, unit.rows(statement, scope=scope, key=key))


def by_order(unit: Unit, source: str, column: str, value: str) -> list[Any]:
    """Return the source's registrations by ``order_number``, ``transaction_id`` or ``subscription_id``."""
    assert column in ("order_number", "transaction_id", "subscription_id")  # noqa: S101 - names a column
    statement = f"SELECT * FROM registration WHERE {column} = :value AND source = :source ORDER BY id"
    return _held(unit, unit.rows(statement, value=value, source=source))


def live_of(unit: Unit, source: str, learner_id: int, products: Collection[str]) -> list[Any]:
    """Return the learner's live registrations at a source, of these products or of all."""
    statement = (
        "SELECT * FROM registration WHERE source = :source AND learner_id = :learner AND intent IN ('live', 'suspended')"
        " ORDER BY id"
    )
    rows = unit.rows(statement, source=source, learner=learner_id)
    return _held(unit, [row for row in rows if not products or row.remote_product_id in products])


def replaced(unit: Unit, row: Any) -> bool:
    """Say whether another live registration stands where this one, which has no business key, has stood."""
    if row.business_key is not None:
        return False
    return any(
        other.line == row.line and other.id != row.id
        for other in live_of(unit, row.source, row.learner_id, {row.remote_product_id})
    )


def followed(unit: Unit, learner_id: int) -> list[Any]:
    """Return a learner's registrations that CRM targets follow: id, targets, state; oldest first."""
    return list(
        unit.rows(
            "SELECT id, targets, state FROM registration WHERE learner_id = :learner AND targets <> '[]' ORDER BY id",
            learner=learner_id,
        )
    )


def newer_than(unit: Unit, source: str, learner_id: int, product: str, occurred_at: int) -> list[Any]:
    """Return the registrations of a learner and product that a later event shaped, live or ended, the newest first."""
    return list(
        unit.rows(
            "SELECT id FROM registration WHERE source = :source AND learner_id = :learner AND remote_product_id = :product"
            " AND occurred_at > :at ORDER BY occurred_at DESC",
            source=source,
            learner=learner_id,
            product=product,
            at=occurred_at,
        )
    )


def set_intents(unit: Unit, changes: Iterable[tuple[int, Intent, int, str]], now: int) -> None:
    """Change what the sender wants: (registration id, intent, occurred at, options)."""
    rows = [
        {"id": i, "intent": intent.value, "occurred_at": at, "options": options} for i, intent, at, options in changes
    ]
    unit.each(_SET_INTENT, {"id": "int", "intent": "text", "occurred_at": "int", "options": "text"}, rows, now=now)


def renew(unit: Unit, rows: Iterable[tuple[int, RegistrationRow]], now: int) -> None:
    """Let what is known of registrations be what a newer event says of them: (registration id, row)."""
    columns = {"id": "int", **{name: _COLUMNS[name] for name in _RENEWED}}
    unit.each(_RENEW, columns, [{"id": i, **asdict(row)} for i, row in rows], now=now)


def advance(unit: Unit, moments: Iterable[tuple[int, int]]) -> None:
    """Note that a newer event confirmed what stands, so that an older one can't undo it: (registration id, occurred at)."""
    rows = [{"id": i, "occurred_at": at} for i, at in moments]
    unit.each(_ADVANCE, {"id": "int", "occurred_at": "int"}, rows)


_NOTE_MONEY = """
UPDATE registration SET money_at = r.at FROM {rows} WHERE registration.id = r.id
 AND (registration.money_at IS NULL OR registration.money_at < r.at)
"""


def note_money(unit: Unit, moments: Iterable[tuple[int, int]]) -> None:
    """Keep when the newest word about the money of registrations was said: (registration id, milliseconds)."""
    unit.each(_NOTE_MONEY, {"id": "int", "at": "int"}, [{"id": i, "at": at} for i, at in moments])


_COMPLETE = """
UPDATE registration SET order_number = coalesce(registration.order_number, r.order_number),
 transaction_id = coalesce(registration.transaction_id, r.transaction_id),
 subscription_id = coalesce(registration.subscription_id, r.subscription_id)
FROM {rows} WHERE registration.id = r.id
"""


def complete(unit: Unit, rows: Iterable[tuple[int, RegistrationRow]]) -> None:
    """Fill in ids of the order that were not known: (registration id, row). What is known stays."""
    columns = {"id": "int", **dict.fromkeys(("order_number", "transaction_id", "subscription_id"), "text")}
    given = [{"id": i, **{name: getattr(row, name) for name in columns if name != "id"}} for i, row in rows]
    unit.each(_COMPLETE, columns, given)


def derive_states(unit: Unit, ids: Iterable[int], now: int) -> list[int]:
    """Derive and keep the states of registrations; return those that are settled now, whether or not that is new."""
    wanted = [{"id": i} for i in sorted(set(ids))]
    unit.hold("registration", (row["id"] for row in wanted))
    changes, settled = [], []
    for row in unit.each(_SUMMARY, {"id": "int"}, wanted):
        state = derive(Intent(row.intent), missing=bool(row.missing), leaving=bool(row.leaving), dead=bool(row.dead))
        if state != row.state:
            changes.append({"id": row.id, "state": state.value})
        if state.settled:
            settled.append(row.id)
    unit.each(_SET_STATE, {"id": "int", "state": "text"}, changes, now=now)
    return settled


def states_of(unit: Unit, ids: Iterable[int]) -> dict[int, str]:
    """Return the kept state of each registration."""
    rows = unit.each(
        "SELECT g.id, g.state FROM {rows} JOIN registration g ON g.id = r.id",
        {"id": "int"},
        [{"id": i} for i in set(ids)],
    )
    return {row.id: row.state for row in rows}


def mapping_version(unit: Unit, digest: str, mapping: str, now: int) -> int:
    """Return the id of a mapping, keeping it when it is new."""
    statement = "SELECT id FROM mapping_version WHERE digest = :digest"
    if not (found := unit.rows(statement, digest=digest)):
        unit.run(
            "INSERT INTO mapping_version (digest, mapping, created_at) VALUES (:digest, :mapping, :now) ON CONFLICT DO NOTHING",
            digest=digest,
            mapping=mapping,
            now=now,
        )
        found = unit.rows(statement, digest=digest)
    return int(found[0].id)
