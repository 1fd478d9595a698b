"""The tables of the web console: who is logged in, and who failed to. Neither holds anything that lets somebody in."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Integer, Table, Text

from bridge.ledger.tables import metadata

console_session = Table(
    "console_session",
    metadata,
    Column("token", Text, primary_key=True),  # SHA-256 of what the cookie holds
    Column("name", Text, nullable=False),
    Column("password", Text, nullable=False),  # fingerprint of the hash, or of the terms, it began with: others end it
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
)
console_failure = Table(
    "console_failure",
    metadata,
    Column("key", Text, primary_key=True),  # SHA-256 of whom it counts for: what was typed may be a password
    Column("failures", Integer, nullable=False),
    Column("at", BigInteger, nullable=False),  # of the newest that counted
)
