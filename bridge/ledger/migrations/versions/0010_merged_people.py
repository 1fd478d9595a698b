"""Learners who are one person, and the rights that change places with it."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _partial(name: str, table: str, columns: list[str], where: str, *, unique: bool = False) -> None:
    condition = sa.text(where)
    op.create_index(name, table, columns, unique=unique, sqlite_where=condition, postgresql_where=condition)


def upgrade() -> None:
    op.add_column("learner", sa.Column("merged_into", _ID, nullable=True))
    _partial("ix_learner_merged_into", "learner", ["merged_into"], "merged_into IS NOT NULL")
    _partial("ix_learner_merged_email", "learner", ["namespace", "email_key"], "merged_into IS NOT NULL")
    op.add_column("right", sa.Column("heir_id", _ID, nullable=True))
    op.add_column("right", sa.Column("awaited", sa.Integer(), nullable=True))
    _partial("ix_right_heir_id", "right", ["heir_id"], "heir_id IS NOT NULL")
    op.create_table(
        "learner_merge",
        sa.Column("id", _ID, autoincrement=True, nullable=False),
        sa.Column("from_id", _ID, nullable=False),
        sa.Column("into_id", _ID, nullable=False),
        sa.Column("operator", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("undone_by", sa.Text(), nullable=True),
        sa.Column("undone_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["from_id"], ["learner.id"], name=op.f("fk_learner_merge_from_id")),
        sa.ForeignKeyConstraint(["into_id"], ["learner.id"], name=op.f("fk_learner_merge_into_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_learner_merge")),
        sqlite_autoincrement=True,
    )
    _partial("uq_learner_merge_from_id", "learner_merge", ["from_id"], "undone_at IS NULL", unique=True)
    op.create_index("ix_learner_merge_into_id", "learner_merge", ["into_id"])
    op.create_table(
        "merged_registration",
        sa.Column("merge_id", _ID, nullable=False),
        sa.Column("registration_id", _ID, nullable=False),
        sa.Column("given_back", sa.Integer(), server_default="0", nullable=False),
        sa.ForeignKeyConstraint(["merge_id"], ["learner_merge.id"], name=op.f("fk_merged_registration_merge_id")),
        sa.ForeignKeyConstraint(
            ["registration_id"], ["registration.id"], name=op.f("fk_merged_registration_registration_id")
        ),
        sa.PrimaryKeyConstraint("merge_id", "registration_id", name=op.f("pk_merged_registration")),
    )
    op.create_index("ix_merged_registration_registration_id", "merged_registration", ["registration_id"])
