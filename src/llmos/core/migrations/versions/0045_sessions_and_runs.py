"""Sessions and runs of applications."""

import sqlalchemy as sa
from alembic import op

revision = "0045"
down_revision = "0042"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "app_sessions",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("project", sa.String(64), nullable=False),
        sa.Column("app", sa.String(64), nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("num_turns", sa.Integer(), nullable=False),
        sa.Column("num_tokens", sa.Integer(), nullable=False),
        sa.Column("first_turn", sa.Integer(), nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("updated_at", _TIME, nullable=False),
        sa.Column("expires_at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_app_sessions"),
        sa.UniqueConstraint("id", name="uq_app_sessions_id"),
        sa.UniqueConstraint("project", "app", "name", name="uq_app_sessions_project_app_name"),
    )
    op.create_index("ix_app_sessions_expires_at", "app_sessions", ["expires_at"])
    op.create_table(
        "app_turns",
        sa.Column("session_id", sa.String(64), nullable=False),
        sa.Column("index", sa.Integer(), nullable=False),
        sa.Column("run_id", sa.String(64)),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("session_id", "index", name="pk_app_turns"),
    )
    op.create_table(
        "app_runs",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("project", sa.String(64), nullable=False),
        sa.Column("app", sa.String(64), nullable=False),
        sa.Column("session_id", sa.String(64)),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("waits_for", sa.String(256)),
        sa.Column("lease", sa.String(64), nullable=False),
        sa.Column("lease_expires_at", _TIME, nullable=False),
        sa.Column("num_steps", sa.Integer(), nullable=False),
        sa.Column("input", sa.LargeBinary(), nullable=False),
        sa.Column("end", sa.LargeBinary()),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("ended_at", _TIME),
        sa.Column("expires_at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_app_runs"),
        sa.UniqueConstraint("id", name="uq_app_runs_id"),
    )
    op.create_index("ix_app_runs_project_app_state", "app_runs", ["project", "app", "state"])
    op.create_index("ix_app_runs_session_id_state", "app_runs", ["session_id", "state"])
    op.create_index("ix_app_runs_expires_at", "app_runs", ["expires_at"])
    op.create_table(
        "app_steps",
        sa.Column("run_id", sa.String(64), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("key", sa.String(128), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("name", sa.String(128), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("is_effect", sa.Boolean(), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("attempt", sa.String(64), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("seconds", sa.Double(), nullable=False),
        sa.Column("at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("run_id", "number", name="pk_app_steps"),
        sa.UniqueConstraint("run_id", "key", name="uq_app_steps_run_id_key"),
    )
    op.create_table(
        "app_signals",
        sa.Column("run_id", sa.String(64), nullable=False),
        sa.Column("name", sa.String(256), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("actor", sa.String(128)),
        sa.Column("at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("run_id", "name", name="pk_app_signals"),
    )


def downgrade() -> None:
    for table in ("app_signals", "app_steps", "app_runs", "app_turns", "app_sessions"):
        op.drop_table(table)
