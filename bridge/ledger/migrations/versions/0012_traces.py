"""The trace that a delivery belongs to. Empty where nothing is traced, and unknown to a previous version."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    op.add_column("delivery", sa.Column("traceparent", sa.Text(), nullable=True))
