"""Rate tokens of one limit for any number of bridges: lent in blocks, and free again when the requests are surely out of the window.

A vendor counts a request between our sending it and its answer. So a token that was lent counts in every window of the limit
until its bridge says that the request is over, and for the length of the window from then on; where a bridge says nothing any
more, from when its last request must have ended. A block may be lent a moment ahead: it tells how long it is not yet to be used.
All times are the database's; what a bridge tells is told as an age.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bridge.ledger.unit import Unit

_AHEAD_MS = 1_000  # a block is not lent earlier than so long before it may be used
_SET_BACK_MS = 60_000  # a block that ends so much later than one of ours is of a clock that was set back since
_GRAINS = 200  # to which a window's uses are summed up: half a percent of it is lost, and no window has more rows


@dataclass(frozen=True, slots=True)
class Over:
    """What became of tokens of a block: requests that are over, the last ``age_ms`` ago, and tokens that were not used."""

    block: int
    ended: int
    age_ms: int
    unused: int


@dataclass(frozen=True, slots=True)
class Ask:
    """What a bridge tells, and how many tokens it wants. Milliseconds.

    Attributes:
        windows: requests and length, for each window of the limit.
        begin: within how long from when it may be used a token is used, or given back.
        longest: how long one request takes at most.
    """

    key: str
    owner: str
    windows: tuple[tuple[int, int], ...]
    want: int
    begin: int
    longest: int
    over: tuple[Over, ...] = ()


@dataclass(frozen=True, slots=True)
class Lent:
    """Tokens, to be used ``wait_ms`` from now; where there are none, ask again then."""

    block: int
    tokens: int
    wait_ms: int


def lend(unit: Unit, asks: Sequence[Ask]) -> list[Lent]:
    """Answer each; keys are held in order, so that bridges wait for each other and never in a ring."""
    for key in sorted({ask.key for ask in asks}):
        _hold(unit, key)
    return [_lend(unit, ask) for ask in asks]


def _hold(unit: Unit, key: str) -> None:
    statement = f"SELECT key FROM rate_key WHERE key = :key{unit.holding('rate_key')}"
    if not unit.rows(statement, key=key):
        unit.run("INSERT INTO rate_key (key) VALUES (:key) ON CONFLICT DO NOTHING", key=key)
        unit.rows(statement, key=key)


def _lend(unit: Unit, ask: Ask) -> Lent:
    now = int(unit.rows(f"SELECT {unit.dialect.now} AS now")[0].now)
    _take_in(unit, ask, now)
    if not ask.want:
        return Lent(0, 0, 0)
    at, room = _room(unit, ask, now)
    if at is None:  # every token is out with a request of somebody who has not told its end
        return Lent(0, 0, min(500, max(20, min(window for _, window in ask.windows) // 50)))
    if at > now + _AHEAD_MS:
        return Lent(0, 0, min(at - now - _AHEAD_MS // 2, 5_000))
    tokens = min(ask.want, room)
    rows = unit.rows(
        "INSERT INTO rate_block (key, owner, tokens, until) VALUES (:key, :owner, :tokens, :until) RETURNING id",
        key=ask.key,
        owner=ask.owner,
        tokens=tokens,
        until=at + ask.begin + ask.longest,
    )
    return Lent(rows[0].id, tokens, at - now + 1)  # the clock's own millisecond


def _take_in(unit: Unit, ask: Ask, now: int) -> None:
    """Let what is over leave the blocks and stand in the windows; forget what has left the windows."""
    ended: list[tuple[int, int]] = []  # when, how many
    for one in ask.over:
        found = unit.rows(
            "UPDATE rate_block SET tokens = tokens - :gone WHERE id = :id AND key = :key RETURNING tokens",
            gone=one.ended + one.unused,
            id=one.block,
            key=ask.key,
        )
        if found:  # else it was given up as too old, and counted then
            ended.append((now - one.age_ms, one.ended))
    unit.run("DELETE FROM rate_block WHERE key = :key AND tokens <= 0", key=ask.key)
    gone = unit.rows(
        "DELETE FROM rate_block WHERE key = :key AND (until < :now OR until > :latest) RETURNING tokens, until",
        key=ask.key,
        now=now,
        latest=now + _AHEAD_MS + ask.begin + ask.longest + _SET_BACK_MS,
    )
    ended += [(min(row.until, now), row.tokens) for row in gone]
    # What is said to leave a window later than a request that ends now would: the clock was set back. It ended now, then.
    left = unit.rows(
        "DELETE FROM rate_use WHERE key = :key AND (free_at <= :now OR free_at - :now > window_ms + window_ms / 100 + 2)"
        " RETURNING window_ms, free_at, tokens",
        key=ask.key,
        now=now,
    )
    uses = [
        {
            "key": ask.key,
            "window_ms": row.window_ms,
            "free_at": _grained(now + row.window_ms, row.window_ms),
            "tokens": row.tokens,
        }
        for row in left
        if row.free_at > now
    ]
    uses += [
        {"key": ask.key, "window_ms": window, "free_at": _grained(at + window, window), "tokens": tokens}
        for at, tokens in ended
        for _, window in ask.windows
        if tokens
    ]
    for use in uses:  # one after the other: two of one grain may not stand in one statement
        unit.run(
            "INSERT INTO rate_use (key, window_ms, free_at, tokens) VALUES (:key, :window_ms, :free_at, :tokens)"
            " ON CONFLICT (key, window_ms, free_at) DO UPDATE SET tokens = rate_use.tokens + excluded.tokens",
            **use,
        )


def _grained(at: int, window: int) -> int:
    grain = max(1, window // _GRAINS)
    return -(-at // grain) * grain


def _room(unit: Unit, ask: Ask, now: int) -> tuple[int | None, int]:
    """Return from when on there is room for a request in every window, and for how many."""
    out = int(unit.rows("SELECT coalesce(sum(tokens), 0) AS out FROM rate_block WHERE key = :key", key=ask.key)[0].out)
    rows = unit.rows("SELECT window_ms, free_at, tokens FROM rate_use WHERE key = :key ORDER BY free_at", key=ask.key)
    uses = {window: [(row.free_at, row.tokens) for row in rows if row.window_ms == window] for _, window in ask.windows}
    at = now
    for requests, window in ask.windows:
        left = requests - out - sum(tokens for _, tokens in uses[window])
        for free_at, tokens in uses[window]:
            if left > 0:
                break
            left += tokens
            at = max(at, free_at)
        if left <= 0:
            return None, 0
    room = min(
        requests - out - sum(tokens for free_at, tokens in uses[window] if free_at > at)
        for requests, window in ask.windows
    )
    return at, room
