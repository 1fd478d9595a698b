"""Rows of a set-based statement arrive at SQLite as they were given, whatever their number and their values."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import pytest

from bridge.ledger.rowset import LENGTHS, as_json, as_values

COLUMNS = {"id": "int", "name": "text"}
STATEMENT = "SELECT r.id, r.name, r.n, :now AS now FROM {rows} ORDER BY r.n"


@dataclass
class Row:
    id: int | None
    name: str | None


def asked(statement: str, rows: list[Any], **values: Any) -> list[tuple[Any, ...]]:
    bound = as_values(statement, COLUMNS, rows, values)
    assert bound is not None
    with closing(sqlite3.connect(":memory:")) as connection:
        return connection.execute(*bound).fetchall()


@pytest.mark.parametrize("count", [1, 2, 5, 7, 33, 64, 97, 128])
def test_every_row_comes_through_and_no_padding(count: int) -> None:
    """In order, each once, with its place in the list."""
    rows = [{"id": 10 + n, "name": f"n{n}"} for n in range(count)]
    assert asked(STATEMENT, rows, now=7) == [(10 + n, f"n{n}", n, 7) for n in range(count)]


def test_values_keep_their_types() -> None:
    """Text that looks like a number stays text, nothing becomes something, and a truth is a 1."""
    rows = [Row(1, "0042"), Row(2, None), Row(True, "ä 'quoted' :now ?1")]
    assert asked(STATEMENT, rows, now=None) == [
        (1, "0042", 0, None),
        (2, None, 1, None),
        (1, "ä 'quoted' :now ?1", 2, None),
    ]


def test_a_name_may_stand_twice_and_the_rows_too() -> None:
    """The statement's own values and its rows are bound once."""
    statement = (
        "SELECT a.id, :x, :y, :x FROM (SELECT * FROM {rows}) a WHERE a.id IN (SELECT r.id FROM {rows}) ORDER BY a.id"
    )
    assert asked(statement, [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}], x="x", y="y") == [
        (1, "x", "y", "x"),
        (2, "x", "y", "x"),
    ]


def test_characters_that_postgresql_cannot_hold_are_left_out_on_both() -> None:
    """Or a key that is found on one dialect is not found on the other."""
    assert asked(STATEMENT, [{"id": 1, "name": "a\0b"}], now=0) == [(1, "ab", 0, 0)]
    assert as_json([{"id": 1, "name": "a\0b"}]) == '[{"id":1,"name":"ab"}]'


def test_long_and_unkeyed_lists_go_another_way() -> None:
    """A list longer than any padding, a statement of too many values, and a first column that may be nothing."""
    assert as_values(STATEMENT, COLUMNS, [Row(1, "a")] * (LENGTHS[-1] + 1), {}) is None
    wide = {f"c{n}": "int" for n in range(30)}
    assert as_values("SELECT * FROM {rows}", wide, [dict.fromkeys(wide, 1)] * 120, {}) is None
    assert as_values(STATEMENT, COLUMNS, [Row(None, "a")], {"now": 1}) is None
