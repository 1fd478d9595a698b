"""Since when a credential is known: kept without the credential, by value, whatever bridges and reloads do."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bridge.ledger import credentials
from bridge.ledger.credentials import Held, fingerprint
from bridge.ledger.store import Ledger

NOW = 1_800_000_000_000
DAY = 86_400_000


def held(value: str, name: str = "shop", field: str = "secret") -> Held:
    return Held("source", name, field, fingerprint(value))


OLD, NEW = held("old"), held("new")


async def confirm(ledger: Ledger, now: int, *found: Held) -> None:
    await ledger.write(lambda unit: credentials.confirm(unit, found, now))


async def since(ledger: Ledger, one: Held) -> int | None:
    known = await ledger.read(lambda connection: credentials.since(connection, one.holder, one.name))
    return known.get((one.field, one.fingerprint))


async def test_a_value_is_as_old_as_when_it_was_seen_first(ledger: Ledger) -> None:
    """However often it is confirmed; of another setting, source or kind it is another one."""
    await confirm(ledger, NOW, OLD, OLD)
    await confirm(ledger, NOW + DAY, OLD)
    assert await since(ledger, OLD) == NOW
    for other in (held("old", "other"), held("old", field="api_key"), replace(OLD, holder="target")):
        assert await since(ledger, other) is None


async def test_bridges_with_different_values_do_not_disturb_each_other(ledger: Ledger) -> None:
    """While a new value is rolled out, each is as old as it is, and the old one still is when it comes back."""
    await confirm(ledger, NOW, OLD)
    for minute in range(1, 4):
        await confirm(ledger, NOW + minute, NEW)
        await confirm(ledger, NOW + minute, OLD)
    assert (await since(ledger, OLD), await since(ledger, NEW)) == (NOW, NOW + 1)


async def test_what_nobody_works_by_is_forgotten(ledger: Ledger) -> None:
    """After three months; what a bridge that was away so long works by is not."""
    await confirm(ledger, NOW, OLD, NEW)
    await confirm(ledger, NOW + credentials.KEPT + 1, NEW)
    assert (await since(ledger, OLD), await since(ledger, NEW)) == (None, NOW)


async def test_none_is_no_fault(ledger: Ledger) -> None:
    """A configuration without credentials has nothing to keep."""
    await confirm(ledger, NOW)
    assert await since(ledger, OLD) is None


def test_a_fingerprint_tells_a_new_value_and_names_none() -> None:
    """It has twelve bits: most values differ, and of many likely ones hundreds have the same."""
    assert fingerprint("a") == fingerprint("a")
    found = [fingerprint(f"{number:06}") for number in range(100_000)]
    assert {len(one) for one in found} == {3}
    assert len(set(found)) == 4_096
    assert min(map(found.count, sorted(set(found))[::512])) >= 10
    assert len(fingerprint("\ud800 no text at all")) == 3


@pytest.mark.parametrize("many", [3, 200])
async def test_however_many_there_are(ledger: Ledger, many: int) -> None:
    """All of them are kept in one write."""
    some = [held(str(number), f"source-{number}") for number in range(many)]
    await confirm(ledger, NOW, *some)
    assert await since(ledger, some[-1]) == NOW
