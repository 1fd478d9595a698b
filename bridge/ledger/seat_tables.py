"""The table of seats: what was bought in one order line beyond the first learner's own access, link by link."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Integer, Table, Text, text

from bridge.ledger.tables import Id, metadata

_CLAIMED = text("claimed_registration_id IS NOT NULL")

seat = Table(
    "seat",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=True),
    Column("registration_id", Id, ForeignKey("registration.id"), nullable=False),  # the order line
    Column("number", Integer, nullable=False),  # within the order line, counted from 1
    Column("code", Text, nullable=False),  # what the link ends with; whoever has it may claim the seat
    Column("state", Text, nullable=False),  # open | claimed | revoked
    # of a revoked one: order | quantity, which may come back; held: until its order, whose own time is over, is resumed; refund | operator; replaced: another seat stands for it
    Column("why", Text, nullable=False, server_default=""),
    Column("recipient", Text, nullable=True),  # e-mail address that the links go to; NULL: the learner's
    Column("told_at", BigInteger, nullable=True),  # when its link was handed out
    Column("claimed_registration_id", Id, ForeignKey("registration.id"), nullable=True),
    Column("claimed_at", BigInteger, nullable=True),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    sqlite_autoincrement=True,
)
Index("uq_seat_code", seat.c.code, unique=True)
Index("uq_seat_number", seat.c.registration_id, seat.c.number, unique=True)
Index("ix_seat_claimed", seat.c.claimed_registration_id, sqlite_where=_CLAIMED, postgresql_where=_CLAIMED)
