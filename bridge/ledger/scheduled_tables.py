"""What takes effect later: part of the schema, beside ``tables.py``.

A row lives until its change takes effect or is lifted, so the table is as small as what lies ahead.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Table, Text

from bridge.ledger.tables import Id, metadata

scheduled_change = Table(
    "scheduled_change",
    metadata,
    Column("registration_id", Id, ForeignKey("registration.id"), primary_key=True),
    Column("action", Text, primary_key=True),  # suspend | cancel
    Column("at", BigInteger, nullable=False),  # when it takes effect
    Column("effect", Text, nullable=False),  # suspended | cancelled | ended: what it is then, in the word of an effect
    Column("occurred_at", BigInteger, nullable=False),  # of the event, at the sender: a newer word lifts it
    Column("event_id", Id, ForeignKey("event.id"), nullable=False),
)
Index("ix_scheduled_change_at", scheduled_change.c.at)
