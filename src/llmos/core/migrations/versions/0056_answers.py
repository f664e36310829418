"""The facts of answers."""

import sqlalchemy as sa
from alembic import op

revision = "0056"
down_revision = "0055"
branch_labels = None
depends_on = None

_COMMON = ("project", "key_id", "model", "route")
_RARE = {"user": "", "app": "", "outcome": "answered", "verdict": ""}


def upgrade() -> None:
    texts = {"user", "asked", "model", "route", "version", "app"}
    strings = {
        "id": 64, "request_id": 64, "project": 64, "key_id": 128, "operation": 16, "outcome": 16, "error": 64,
        "verdict": 16, "currency": 3,
    }  # fmt: skip
    integers = ("num_attempts",)
    numbers = (
        "at", "input_tokens", "cached_input_tokens", "output_tokens", "guardrail_micros", "load_micros", "queue_micros",
        "prefill_micros", "decode_micros", "total_micros", "replica_micros",
    )  # fmt: skip
    op.create_table(
        "answers",
        sa.Column("number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        *(sa.Column(name, sa.String(length), nullable=False) for name, length in strings.items()),
        *(sa.Column(name, sa.Text(), nullable=False) for name in sorted(texts)),
        *(sa.Column(name, sa.Integer(), nullable=False) for name in integers),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in numbers),
        sa.Column("cost_nanos", sa.BigInteger()),
        sa.Column("price_version", sa.Integer()),
        sa.Column("first_token_micros", sa.BigInteger()),
        sa.PrimaryKeyConstraint("number", name="pk_answers"),
    )
    op.create_index("ix_answers_id", "answers", ["id"])
    op.create_index("ix_answers_request_id", "answers", ["request_id"])
    op.create_index("ix_answers_at_number", "answers", ["at", "number"])
    op.create_index("ix_answers_cost", "answers", ["cost_nanos"])
    for name in _COMMON:
        op.create_index(f"ix_answers_{name}", "answers", [name, "at", "number"])
    for name, usual in _RARE.items():
        condition = sa.column(name) != sa.literal_column(f"'{usual}'")
        op.create_index(
            f"ix_answers_{name}",
            "answers",
            [name, "at", "number"],
            sqlite_where=condition,
            postgresql_where=condition,
        )


def downgrade() -> None:
    op.drop_table("answers")
