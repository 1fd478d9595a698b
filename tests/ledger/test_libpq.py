"""What goes to the database as a value comes back as it was, and what fails fails as SQLAlchemy says it; on both dialects."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy.exc import DBAPIError, IntegrityError

from bridge.contract.errors import LedgerError
from bridge.ledger.engine import writing_engine
from bridge.ledger.store import Ledger
from bridge.ledger.unit import Unit

VALUES = (
    "SELECT CAST(:number AS bigint) AS number, CAST(:text AS text) AS text, CAST(:share AS double precision) AS share"
)


@pytest.mark.parametrize("number", [0, -1, 2**62, None])
@pytest.mark.parametrize("text", ["", "Ä 'quoted' \"twice\" \\ $1 :name %s", "line\nbreak 🎓", None])
async def test_values_come_back_as_they_were(ledger: Ledger, number: int | None, text: str | None) -> None:
    """Whether the statement is prepared by then or not, and though a name stands for something else the next time."""

    def ask(unit: Unit) -> list[tuple[Any, ...]]:
        found = []
        for turn in range(5):
            for given in (number, None):
                found += unit.rows(VALUES, number=given, text=text, share=0.5 if turn % 2 else None)
        return [tuple(row) for row in found]

    expected = [(given, text, 0.5 if turn % 2 else None) for turn in range(5) for given in (number, None)]
    assert await ledger.write(ask) == expected


async def test_columns_are_attributes_and_touched_rows_are_counted(ledger: Ledger) -> None:
    """A statement without rows returns none; one that changes nothing says 0."""

    def ask(unit: Unit) -> None:
        assert unit.rows("SELECT 1 AS one, 'two' AS two")[0]._asdict() == {"one": 1, "two": "two"}
        assert unit.rows("SELECT id FROM event WHERE id < :id", id=0) == []
        put = "INSERT INTO mapping_version (digest, mapping, created_at) VALUES (:digest, '{}', :now)"
        assert unit.run(put, digest="a", now=1) == 1
        assert unit.run("UPDATE mapping_version SET created_at = 2 WHERE digest = :digest", digest="b") == 0
        assert unit.rows("DELETE FROM mapping_version WHERE digest = :digest", digest="a") == []

    await ledger.write(ask)


async def test_a_fault_is_of_sqlalchemys_kind_and_quotes_no_value(ledger: Ledger) -> None:
    """The writer judges both databases' alike; what was to be written is nobody's business."""
    seen: list[DBAPIError] = []

    def twice(unit: Unit) -> None:
        put = "INSERT INTO mapping_version (digest, mapping, created_at) VALUES (:digest, :mapping, 1)"
        unit.run(put, digest="same", mapping="ada@example.org")
        try:
            unit.run(put, digest="same", mapping="ada@example.org")
        except DBAPIError as fault:
            seen.append(fault)
            raise

    with pytest.raises(LedgerError) as told:
        await ledger.write(twice)
    assert {type(fault) for fault in seen} == {IntegrityError}
    assert not any(fault.connection_invalidated for fault in seen)
    assert "ada@" not in str(seen[0].statement) + str(seen[0].params) + str(told.value)
    assert await ledger.write(lambda unit: len(unit.rows("SELECT 1 AS one"))) == 1


async def test_a_value_that_nobody_can_bind_is_told(ledger: Ledger) -> None:
    """It is a mistake of ours, and no reason to leave the connection."""
    with pytest.raises(LedgerError):
        await ledger.write(lambda unit: unit.rows("SELECT :what AS what", what=object()))
    assert await ledger.write(lambda unit: len(unit.rows("SELECT 1 AS one"))) == 1


async def test_a_schema_that_changes_meanwhile_stops_nobody(ledger: Ledger) -> None:
    """A newer bridge adds a column while this one runs, whose statements were made before."""

    def ask(unit: Unit) -> list[str]:
        return list(unit.rows("SELECT v.* FROM mapping_version v WHERE v.id > :id", id=-1)[0]._asdict())

    await ledger.write(
        lambda unit: unit.run("INSERT INTO mapping_version (digest, mapping, created_at) VALUES ('x', '{}', 1)")
    )
    for _ in range(5):
        before = await ledger.write(ask)
    engine = writing_engine(ledger._writing.url)
    with engine.begin() as other:
        other.exec_driver_sql("ALTER TABLE mapping_version ADD COLUMN later TEXT")
    engine.dispose()
    for _ in range(5):
        assert await ledger.write(ask) == [*before, "later"]
