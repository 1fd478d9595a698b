"""The table of removals: up to when old rows are gone, so that a story can say so and a pass can be gone on with."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Table, Text

from bridge.ledger.tables import metadata

removal = Table(
    "removal",
    metadata,
    Column("what", Text, primary_key=True),  # of removals.KINDS
    Column("older_than", BigInteger, nullable=False),  # what is older is gone, or about to go
    Column(
        "place", BigInteger, nullable=False, server_default="0"
    ),  # id that the pass under way has come to; 0: none is
    Column("removed", BigInteger, nullable=False, server_default="0"),  # rows, by all passes
    Column("ended_at", BigInteger, nullable=True),  # the newest pass that came to its end
)
