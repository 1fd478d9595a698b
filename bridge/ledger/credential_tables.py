"""The table of credentials: since when each is known. Neither a credential nor anything that it could be found by."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Table, Text, text

from bridge.ledger.tables import metadata, quarantine

credential = Table(
    "credential",
    metadata,
    Column("holder", Text, primary_key=True),  # source | target
    Column("name", Text, primary_key=True),  # of the source or target
    Column("field", Text, primary_key=True),  # the setting, with dots: api_key, verify.secret
    Column("fingerprint", Text, primary_key=True),  # twelve bits: see credentials.py
    Column("first_seen", BigInteger, nullable=False),
    Column("last_seen", BigInteger, nullable=False),  # to the day
)

# A purchase's own lines, and whether it was ever mapped, are asked for with each list and story.
_OF_PURCHASE = text("registration_id IS NOT NULL")
Index(
    "ix_quarantine_registration_id",
    quarantine.c.registration_id,
    sqlite_where=_OF_PURCHASE,
    postgresql_where=_OF_PURCHASE,
)
