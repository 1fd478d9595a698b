"""Who is logged in at the console; what waits in quarantine is found without looking at what waited once."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    op.create_table(
        "console_session",
        sa.Column("token", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("password", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("token", name=op.f("pk_console_session")),
    )
    op.create_table(
        "console_failure",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_console_failure")),
    )
    waiting = sa.text("state = 'waiting'")
    op.create_index(
        "ix_quarantine_waiting",
        "quarantine",
        ["source", "remote_product_id"],
        sqlite_where=waiting,
        postgresql_where=waiting,
    )
