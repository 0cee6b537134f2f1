"""The files that attempts read and wrote."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.create_table(
        "files",
        sa.Column("instance_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("try_number", sa.Integer(), nullable=False),
        sa.Column("uses", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["instance_id", "try_number"],
            ["attempts.instance_id", "attempts.try_number"],
            name=op.f("fk_files_instance_id_try_number"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("instance_id", "try_number", name=op.f("pk_files")),
    )
