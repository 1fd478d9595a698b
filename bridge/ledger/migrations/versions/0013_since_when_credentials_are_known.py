"""Since when each credential is known, without the credential; and the lines of a purchase are found by it."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    op.create_table(
        "credential",
        sa.Column("holder", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("field", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("first_seen", sa.BigInteger(), nullable=False),
        sa.Column("last_seen", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("holder", "name", "field", "fingerprint", name=op.f("pk_credential")),
    )
    of_purchase = sa.text("registration_id IS NOT NULL")
    op.create_index(
        "ix_quarantine_registration_id",
        "quarantine",
        ["registration_id"],
        sqlite_where=of_purchase,
        postgresql_where=of_purchase,
    )
