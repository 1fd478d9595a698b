"""The tables of alerts: what is wrong, which channel was told of it, and what is known of each source's rhythm."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Integer, Table, Text, text

from bridge.ledger.tables import Id, metadata, quarantine

alert = Table(
    "alert",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=True),
    Column("uid", Text, nullable=False),  # what receivers know it by; the same on every try
    Column("kind", Text, nullable=False),  # contract.alerts.AlertKind, or digest
    Column("cause", Text, nullable=False),  # what makes two sightings the same alert
    Column("said", Text, nullable=False),  # whole sentences, as the newest sighting words them
    Column("remedy", Text, nullable=False, server_default=""),
    Column("count", Integer, nullable=False, server_default="1"),  # how many it concerns
    Column("first_seen", BigInteger, nullable=False),
    Column("last_seen", BigInteger, nullable=False),
    Column("told_at", BigInteger, nullable=True),  # when the first channel had taken it
    Column("recovered_at", BigInteger, nullable=True),
    Column("told_recovery_at", BigInteger, nullable=True),
    sqlite_autoincrement=True,
)
_OPEN = text("recovered_at IS NULL")
Index("uq_alert_open", alert.c.kind, alert.c.cause, unique=True, sqlite_where=_OPEN, postgresql_where=_OPEN)
Index("ix_alert_last_seen", alert.c.last_seen)

alert_telling = Table(
    "alert_telling",
    metadata,
    Column("alert_id", Id, ForeignKey("alert.id"), primary_key=True),
    Column("channel", Text, primary_key=True),  # mail | slack | webhook
    Column("told", Text, nullable=False, server_default=""),  # begun | recovered: the newest that the channel took
    Column("told_at", BigInteger, nullable=True),
    Column("times", Integer, nullable=False, server_default="0"),  # how often it took something
    Column("tries", Integer, nullable=False, server_default="0"),  # in vain, since then
    Column("tried_at", BigInteger, nullable=True),
    Column("why", Text, nullable=False, server_default=""),  # of the newest try in vain
)

job_place = Table(
    "job_place",
    metadata,
    Column("job", Text, primary_key=True),
    Column("place", BigInteger, nullable=False),  # the id of the newest row that it has read
)

source_hour = Table(
    "source_hour",
    metadata,
    Column("source", Text, primary_key=True),
    Column("hour", BigInteger, primary_key=True),  # hours since 1970
    Column("events", Integer, nullable=False),
    Column("last_at", BigInteger, nullable=False),
    Column("longest", BigInteger, nullable=False),  # milliseconds: the longest silence that ended in this hour
)

# Few wait there at any time; what has been released is not looked at.
_OTHERS = text("state = 'waiting' AND kind <> 'unmapped'")
Index(
    "ix_quarantine_others",
    quarantine.c.kind,
    quarantine.c.source,
    quarantine.c.created_at,
    sqlite_where=_OTHERS,
    postgresql_where=_OTHERS,
)
