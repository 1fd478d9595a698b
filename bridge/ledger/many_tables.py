"""What several bridges on one ledger tell each other: who lives, which target is in trouble, whose the rate tokens are.

On SQLite, where one bridge runs, these stay empty.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, Table, Text

from bridge.ledger.tables import Id, metadata

heartbeat = Table(
    "heartbeat",
    metadata,
    Column("owner", Text, primary_key=True),  # as in delivery.lease_owner, or a bridge
    Column("role", Text, nullable=False),  # all | ingest | dispatch | lane
    Column("started_at", BigInteger, nullable=False),  # like every time in here: by the database's clock
    Column("beat_at", BigInteger, nullable=False),
)

lane_trouble = Table(
    "lane_trouble",
    metadata,
    Column("target", Text, primary_key=True),
    Column("owner", Text, nullable=False),  # the lane that asks the target whether it is well again; the others wait
    Column("since", BigInteger, nullable=False),
)

rate_key = Table(
    "rate_key",
    metadata,
    Column("key", Text, primary_key=True),  # whose limit; the row is held while tokens of it are given out
)

rate_block = Table(
    "rate_block",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=True),
    Column("key", Text, nullable=False),
    Column("owner", Text, nullable=False),
    Column("tokens", Integer, nullable=False),  # given out, and not told to be over
    Column("until", BigInteger, nullable=False),  # when the last request of it is surely over, told or not
    sqlite_autoincrement=True,
)
Index("ix_rate_block_key", rate_block.c.key)

rate_use = Table(
    "rate_use",
    metadata,
    Column("key", Text, primary_key=True),
    Column("window_ms", BigInteger, primary_key=True),
    Column("free_at", BigInteger, primary_key=True),  # when these requests leave the window
    Column("tokens", Integer, nullable=False),
)
