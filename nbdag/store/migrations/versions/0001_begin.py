"""Create the first tables."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "dags",
        sa.Column("id", sa.String(length=250), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_dags")),
    )
    op.create_table(
        "pools",
        sa.Column("name", sa.String(length=250), nullable=False),
        sa.Column("slots", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_pools")),
    )
    op.create_table(
        "schedulers",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("birth", sa.Text(), nullable=False),
        sa.Column("started", sa.Double(), nullable=False),
        sa.Column("heartbeat", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_schedulers")),
    )
    op.create_table(
        "versions",
        sa.Column("dag_id", sa.String(length=250), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("created", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["dag_id"], ["dags.id"], name=op.f("fk_versions_dag_id")),
        sa.PrimaryKeyConstraint("dag_id", "digest", name=op.f("pk_versions")),
    )
    op.create_table(
        "runs",
        sa.Column("id", NUMBER, nullable=False),
        sa.Column("dag_id", sa.String(length=250), nullable=False),
        sa.Column("name", sa.String(length=250), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("created", sa.Double(), nullable=False),
        sa.Column("started", sa.Double(), nullable=True),
        sa.Column("ended", sa.Double(), nullable=True),
        sa.Column("logical_date", sa.Double(), nullable=False),
        sa.Column("interval_start", sa.Double(), nullable=False),
        sa.Column("interval_end", sa.Double(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("cwd", sa.Text(), nullable=False),
        sa.Column("output", sa.Text(), nullable=True),
        sa.Column("parameters", sa.Text(), nullable=False),
        sa.Column("tasks", sa.Text(), nullable=True),
        sa.Column("fail_fast", sa.Boolean(), nullable=False),
        sa.Column("cancel_asked", sa.Double(), nullable=True),
        sa.Column("scheduler_id", sa.String(length=32), nullable=True),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["dag_id", "digest"], ["versions.dag_id", "versions.digest"], name=op.f("fk_runs_dag_id_digest")
        ),
        sa.ForeignKeyConstraint(["scheduler_id"], ["schedulers.id"], name=op.f("fk_runs_scheduler_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_runs")),
        sa.UniqueConstraint("dag_id", "name", name=op.f("uq_runs_dag_id_name")),
    )
    op.create_index(op.f("ix_runs_created"), "runs", ["created"], unique=False)
    op.create_index(op.f("ix_runs_dag_id_created"), "runs", ["dag_id", "created"], unique=False)
    op.create_index(op.f("ix_runs_state_created"), "runs", ["state", "created"], unique=False)
    op.create_table(
        "borrowed",
        sa.Column("run_id", NUMBER, nullable=False),
        sa.Column("task", sa.String(length=250), nullable=False),
        sa.Column("from_run_id", NUMBER, nullable=False),
        sa.ForeignKeyConstraint(["from_run_id"], ["runs.id"], name=op.f("fk_borrowed_from_run_id")),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name=op.f("fk_borrowed_run_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("run_id", "task", name=op.f("pk_borrowed")),
    )
    op.create_index(op.f("ix_borrowed_from_run_id"), "borrowed", ["from_run_id"], unique=False)
    op.create_table(
        "instances",
        sa.Column("id", NUMBER, nullable=False),
        sa.Column("run_id", NUMBER, nullable=False),
        sa.Column("task", sa.String(length=250), nullable=False),
        sa.Column("map_index", sa.Integer(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("wake", sa.Double(), nullable=True),
        sa.Column("pool", sa.String(length=250), nullable=False),
        sa.Column("slots", sa.Integer(), nullable=False),
        sa.Column("short_circuit", sa.Boolean(), nullable=False),
        sa.Column("element", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name=op.f("fk_instances_run_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_instances")),
        sa.UniqueConstraint("run_id", "task", "map_index", name=op.f("uq_instances_run_id_task_map_index")),
    )
    op.create_index(op.f("ix_instances_state"), "instances", ["state"], unique=False)
    op.create_table(
        "attempts",
        sa.Column("instance_id", NUMBER, nullable=False),
        sa.Column("try_number", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("started", sa.Double(), nullable=False),
        sa.Column("ended", sa.Double(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("traceback", sa.Text(), nullable=True),
        sa.Column("scheduler_id", sa.String(length=32), nullable=False),
        sa.ForeignKeyConstraint(
            ["instance_id"], ["instances.id"], name=op.f("fk_attempts_instance_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["scheduler_id"], ["schedulers.id"], name=op.f("fk_attempts_scheduler_id")),
        sa.PrimaryKeyConstraint("instance_id", "try_number", name=op.f("pk_attempts")),
    )
    op.create_table(
        "notes",
        sa.Column("id", NUMBER, nullable=False),
        sa.Column("run_id", NUMBER, nullable=False),
        sa.Column("instance_id", NUMBER, nullable=True),
        sa.Column("try_number", sa.Integer(), nullable=True),
        sa.Column("code", sa.String(length=16), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["instance_id", "try_number"],
            ["attempts.instance_id", "attempts.try_number"],
            name=op.f("fk_notes_instance_id_try_number"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name=op.f("fk_notes_run_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notes")),
    )
    op.create_index(op.f("ix_notes_run_id"), "notes", ["run_id"], unique=False)
    op.create_table(
        "outputs",
        sa.Column("instance_id", NUMBER, nullable=False),
        sa.Column("try_number", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("digest", sa.String(length=128), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("summary", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["instance_id", "try_number"],
            ["attempts.instance_id", "attempts.try_number"],
            name=op.f("fk_outputs_instance_id_try_number"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("instance_id", "try_number", "name", name=op.f("pk_outputs")),
    )
    op.create_index(op.f("ix_outputs_digest"), "outputs", ["digest"], unique=False)
    pools = sa.table("pools", sa.column("name", sa.String), sa.column("slots", sa.Integer))
    op.bulk_insert(pools, [{"name": "default_pool", "slots": 128}])
