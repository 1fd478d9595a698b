"""Deliveries know their source: each source has queues of its own at a target."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

_OPEN = sa.text("state = 'open'")


def upgrade() -> None:
    op.add_column("delivery", sa.Column("source", sa.Text(), server_default="", nullable=False))
    op.execute(
        "UPDATE delivery SET source = coalesce((SELECT g.source FROM registration g WHERE g.id = delivery.registration_id), '')"
        " WHERE state IN ('waiting', 'open', 'blocked', 'leased', 'dead')"
    )
    op.create_index(
        "ix_delivery_queue",
        "delivery",
        ["target", "source", sa.text("(attempts > 0)"), "due_at"],
        sqlite_where=_OPEN,
        postgresql_where=_OPEN,
    )
    op.drop_index("ix_delivery_due", table_name="delivery")
