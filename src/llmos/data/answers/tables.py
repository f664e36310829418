"""The table of answers."""

from sqlalchemy import BigInteger, Index, Integer, String, Text, literal_column
from sqlalchemy.orm import Mapped, mapped_column

from llmos.core.database import Base

_BIG = BigInteger().with_variant(Integer, "sqlite")

COMMON = ("project", "key_id", "model", "version", "route")
"""Every answer has these."""

RARE = {"user": "", "app": "", "run": "", "outcome": "answered", "verdict": ""}
"""Most answers have this value, which says nothing and is in no index."""


class AnswerRow(Base):
    """The facts of one call. Its guardrails' findings, settings and hashes are in its receipt."""

    __tablename__ = "answers"
    __table_args__ = (
        Index(None, "id"),
        Index(None, "request_id"),
        Index(None, "at", "number"),
        Index("ix_answers_cost", "cost_nanos"),
        Index("ix_answers_output_tokens", "output_tokens"),
        Index("ix_answers_total_micros", "total_micros"),
    )

    number: Mapped[int] = mapped_column(_BIG, primary_key=True)
    id: Mapped[str] = mapped_column(String(64))
    request_id: Mapped[str] = mapped_column(String(64))
    at: Mapped[int] = mapped_column(BigInteger)
    """When the call was accepted, in seconds since 1970."""
    project: Mapped[str] = mapped_column(String(64))
    key_id: Mapped[str] = mapped_column(String(128))
    user: Mapped[str] = mapped_column(Text)
    asked: Mapped[str] = mapped_column(Text)
    """The model name in the request."""
    model: Mapped[str] = mapped_column(Text)
    """The model that answered, without the version."""
    route: Mapped[str] = mapped_column(Text)
    version: Mapped[str] = mapped_column(Text)
    app: Mapped[str] = mapped_column(Text)
    run: Mapped[str] = mapped_column(String(64), server_default="")
    """The run of an application that gave it, or that the call belongs to."""
    operation: Mapped[str] = mapped_column(String(16))
    outcome: Mapped[str] = mapped_column(String(16))
    error: Mapped[str] = mapped_column(String(64))
    verdict: Mapped[str] = mapped_column(String(16))
    """The strictest one of its guardrails; empty where none found anything."""
    num_attempts: Mapped[int] = mapped_column(Integer)
    input_tokens: Mapped[int] = mapped_column(BigInteger)
    cached_input_tokens: Mapped[int] = mapped_column(BigInteger)
    output_tokens: Mapped[int] = mapped_column(BigInteger)
    cost_nanos: Mapped[int | None] = mapped_column(BigInteger)
    currency: Mapped[str] = mapped_column(String(3))
    price_version: Mapped[int | None] = mapped_column(Integer)
    guardrail_micros: Mapped[int] = mapped_column(BigInteger)
    load_micros: Mapped[int] = mapped_column(BigInteger)
    queue_micros: Mapped[int] = mapped_column(BigInteger)
    prefill_micros: Mapped[int] = mapped_column(BigInteger)
    decode_micros: Mapped[int] = mapped_column(BigInteger)
    first_token_micros: Mapped[int | None] = mapped_column(BigInteger)
    total_micros: Mapped[int] = mapped_column(BigInteger)
    replica_micros: Mapped[int] = mapped_column(BigInteger)


def _add_index(name: str, usual: str | None = None) -> None:
    """Add an index in the order in which answers are listed. `usual`: the value that is left out."""
    columns = AnswerRow.__table__.c
    condition = None if usual is None else columns[name] != literal_column(f"'{usual}'")
    Index(
        f"ix_answers_{name}",
        columns[name],
        columns.at,
        columns.number,
        sqlite_where=condition,
        postgresql_where=condition,
    )


for _name in COMMON:
    _add_index(_name)
for _name, _usual in RARE.items():
    _add_index(_name, _usual)
# An app is one of a project, and those of a busy project may be few among all of the same name.
_IS_OF_APP = AnswerRow.__table__.c.app != literal_column("''")
Index(
    "ix_answers_app_project",
    *(AnswerRow.__table__.c[name] for name in ("app", "project", "at", "number")),
    sqlite_where=_IS_OF_APP,
    postgresql_where=_IS_OF_APP,
)
