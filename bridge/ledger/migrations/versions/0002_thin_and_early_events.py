"""Lookups at the sender, ids that name a purchase, and commands that came before theirs."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "parked_key",
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("quarantine_id", _ID, nullable=False),
        sa.ForeignKeyConstraint(["quarantine_id"], ["quarantine.id"], name=op.f("fk_parked_key_quarantine_id")),
        sa.PrimaryKeyConstraint("scope", "key", "quarantine_id", name=op.f("pk_parked_key")),
    )
    op.create_index("ix_parked_key_quarantine_id", "parked_key", ["quarantine_id"], unique=False)

    op.create_table(
        "order_ref",
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("ref", sa.Text(), nullable=False),
        sa.Column("registration_id", _ID, nullable=False),
        sa.ForeignKeyConstraint(["registration_id"], ["registration.id"], name=op.f("fk_order_ref_registration_id")),
        sa.PrimaryKeyConstraint("scope", "ref", "registration_id", name=op.f("pk_order_ref")),
    )

    op.create_table(
        "lookup",
        sa.Column("id", _ID, autoincrement=True, nullable=False),
        sa.Column("event_id", _ID, nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("age", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("why", sa.Text(), server_default="", nullable=False),
        sa.Column("remedy", sa.Text(), server_default="", nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["event_id"], ["event.id"], name=op.f("fk_lookup_event_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_lookup")),
        sqlite_autoincrement=True,
    )
    op.create_index("uq_lookup", "lookup", ["event_id", "kind", "key"], unique=True)
    for name, columns, state in (
        ("ix_lookup_due", ["source", "due_at"], "open"),
        ("ix_lookup_dead", ["source"], "dead"),
    ):
        where = sa.text(f"state = '{state}'")
        op.create_index(name, "lookup", columns, unique=False, sqlite_where=where, postgresql_where=where)
