"""The index of what a person waits for begins with the person: the database can't take one of a whole target in its place."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"

_UNDONE = sa.text("state IN ('open', 'blocked')")


def upgrade() -> None:
    op.drop_index("ix_delivery_person", table_name="delivery")
    op.create_index(
        "ix_delivery_person",
        "delivery",
        ["person", "target"],
        sqlite_where=_UNDONE,
        postgresql_where=_UNDONE,
    )
