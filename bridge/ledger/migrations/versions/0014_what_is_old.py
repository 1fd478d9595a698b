"""How far old rows have been removed; on PostgreSQL, tables whose rows change are vacuumed before a fifth of them is dead."""

from collections.abc import Mapping

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"

_SOON = {"autovacuum_vacuum_scale_factor": "0.02"}
_SOON_AND_COUNTED = {**_SOON, "autovacuum_analyze_scale_factor": "0.02"}
_AUTOVACUUM: Mapping[str, Mapping[str, str]] = {
    # Each delivery is changed two or three times; what is dead among them, every claim has to pass.
    "delivery": {
        "autovacuum_vacuum_scale_factor": "0",
        "autovacuum_vacuum_threshold": "20000",
        "autovacuum_vacuum_cost_delay": "0",
    },
    "registration": _SOON_AND_COUNTED,
    "right": _SOON_AND_COUNTED,
    "event": _SOON,  # emptied, and
    "attempt": _SOON,  # removed, a day's worth every day
}


def upgrade() -> None:
    op.create_table(
        "removal",
        sa.Column("what", sa.Text(), nullable=False),
        sa.Column("older_than", sa.BigInteger(), nullable=False),
        sa.Column("place", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("removed", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("what", name=op.f("pk_removal")),
    )
    if op.get_bind().dialect.name == "postgresql":
        for table, options in _AUTOVACUUM.items():
            _set(table, options)


def _set(table: str, options: Mapping[str, str]) -> None:
    """Set storage parameters, but for those that the operator has set; no row is locked, and nobody has to wait."""
    found = op.get_bind().scalar(
        sa.text("SELECT reloptions FROM pg_class WHERE relname = :name AND pg_table_is_visible(oid)"), {"name": table}
    )
    known = {option.partition("=")[0] for option in found or ()}
    missing = [f"{name} = {value}" for name, value in options.items() if name not in known]
    if missing:
        op.execute(f'ALTER TABLE "{table}" SET ({", ".join(missing)})')
