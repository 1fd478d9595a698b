"""What docs/scaling.md tells an operator to ask and to set is taken by a real PostgreSQL with the bridge's schema."""

from __future__ import annotations

import re
from pathlib import Path

import psycopg
import pytest

SCALING = (Path(__file__).parents[2] / "docs" / "scaling.md").read_text(encoding="utf-8")
STATEMENTS = [
    " ".join(statement.split())
    for block in re.findall(r"```sql\n(.*?)```", SCALING, re.DOTALL)
    for statement in block.split(";\n")
    if statement.strip()
]


@pytest.mark.parametrize("statement", STATEMENTS)
def test_the_database_takes_the_advice(shared_url: str, statement: str):
    """Names of tables, columns, views and settings are right; what is set here is taken back."""
    with psycopg.connect(shared_url) as connection:
        connection.execute(statement.encode())
        connection.rollback()


def test_there_is_advice():
    """The page still has it."""
    assert len(STATEMENTS) >= 5
