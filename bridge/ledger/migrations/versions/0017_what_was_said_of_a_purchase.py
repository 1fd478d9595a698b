"""What was said of a purchase that is more than bought, so that all of it together decides and not the order of arrival."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "word",
        sa.Column("registration_id", _ID, nullable=False),
        sa.Column("event_id", _ID, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("ref", sa.Text(), nullable=True),
        sa.Column("made_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["registration_id"], ["registration.id"], name=op.f("fk_word_registration_id")),
        sa.ForeignKeyConstraint(["event_id"], ["event.id"], name=op.f("fk_word_event_id")),
        sa.PrimaryKeyConstraint("registration_id", "event_id", "kind", name=op.f("pk_word")),
    )
