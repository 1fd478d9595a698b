"""Seats: what is bought beyond the first learner's own access, as links that are claimed."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "seat",
        sa.Column("id", _ID, autoincrement=True, nullable=False),
        sa.Column("registration_id", _ID, nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("why", sa.Text(), server_default="", nullable=False),
        sa.Column("recipient", sa.Text(), nullable=True),
        sa.Column("told_at", sa.BigInteger(), nullable=True),
        sa.Column("claimed_registration_id", _ID, nullable=True),
        sa.Column("claimed_at", sa.BigInteger(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["registration_id"], ["registration.id"], name=op.f("fk_seat_registration_id")),
        sa.ForeignKeyConstraint(
            ["claimed_registration_id"], ["registration.id"], name=op.f("fk_seat_claimed_registration_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_seat")),
        sqlite_autoincrement=True,
    )
    claimed = sa.text("claimed_registration_id IS NOT NULL")
    op.create_index("uq_seat_code", "seat", ["code"], unique=True)
    op.create_index("uq_seat_number", "seat", ["registration_id", "number"], unique=True)
    op.create_index(
        "ix_seat_claimed", "seat", ["claimed_registration_id"], sqlite_where=claimed, postgresql_where=claimed
    )
