"""The table of notices: what each mail says, to whom, and why. What has become of it stands in the outbox."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Table, Text, text

from bridge.ledger.tables import Id, metadata

notice = Table(
    "notice",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=True),
    Column("registration_id", Id, ForeignKey("registration.id"), nullable=False),
    Column("event_id", Id, ForeignKey("event.id"), nullable=True),
    Column("kind", Text, nullable=False),  # access | cancelled_user | cancelled_admin | seats
    Column("recipient", Text, nullable=False, server_default=""),  # empty: the learner, at the address of that day
    Column("cause", Text, nullable=False),  # what makes two notices the same one
    Column("data", Text, nullable=False, server_default="{}"),  # JSON for the template
    Column("created_at", BigInteger, nullable=False),
    sqlite_autoincrement=True,
)
Index(
    "uq_notice",
    notice.c.registration_id,
    notice.c.kind,
    notice.c.cause,
    notice.c.recipient,
    unique=True,
)
_KEPT = text("data <> '{}'")
Index("ix_notice_created_at", notice.c.created_at, sqlite_where=_KEPT, postgresql_where=_KEPT)  # what is to be emptied
