"""Who was merged into whom, and whose each registration was: what it takes to undo it."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Integer, MetaData, Table, Text, text
from sqlalchemy.types import TypeEngine


def add_merge_tables(metadata: MetaData, number: TypeEngine[int]) -> None:
    """Add the tables; ``number`` is the type of ids."""
    merge = Table(
        "learner_merge",
        metadata,
        Column("id", number, primary_key=True, autoincrement=True),
        Column("from_id", number, ForeignKey("learner.id"), nullable=False),
        Column("into_id", number, ForeignKey("learner.id"), nullable=False),
        Column("operator", Text, nullable=False),
        Column("at", BigInteger, nullable=False),
        Column("undone_by", Text, nullable=True),
        Column("undone_at", BigInteger, nullable=True),
        sqlite_autoincrement=True,
    )
    standing = text("undone_at IS NULL")
    Index("uq_learner_merge_from_id", merge.c.from_id, unique=True, sqlite_where=standing, postgresql_where=standing)
    Index("ix_learner_merge_into_id", merge.c.into_id)
    moved = Table(
        "merged_registration",
        metadata,
        Column("merge_id", number, ForeignKey("learner_merge.id"), primary_key=True),
        Column("registration_id", number, ForeignKey("registration.id"), primary_key=True),
        Column("given_back", Integer, nullable=False, server_default="0"),
    )
    Index("ix_merged_registration_registration_id", moved.c.registration_id)
