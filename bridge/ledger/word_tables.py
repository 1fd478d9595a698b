"""The table of words: what was said of a purchase that is more than bought. Part of the schema, beside ``tables.py``.

A purchase of which nobody says anything more has no row, so the table is as small as what is disputed and given back.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, ForeignKey, Table, Text

from bridge.ledger.tables import Id, metadata

word = Table(
    "word",
    metadata,
    Column("registration_id", Id, ForeignKey("registration.id"), primary_key=True),
    Column("event_id", Id, ForeignKey("event.id"), primary_key=True),
    # paid | held | freed | goes_on | cancelled | ended | refunded | failed | restored
    Column("kind", Text, primary_key=True),
    Column("at", BigInteger, nullable=False),  # when it was said at the sender
    Column("ref", Text, nullable=True),  # the sender's id of the refund, where it gives one
    Column("made_at", BigInteger, nullable=True),  # when that refund was made
)
