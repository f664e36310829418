"""Database tables of routes, providers, deployments and rollouts."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, Double, ForeignKey, Index, LargeBinary, String, Text, false
from sqlalchemy.orm import Mapped, mapped_column, relationship

from llmos.core.database import Base, Time


class RouteTargetRow(Base):
    __tablename__ = "route_targets"

    route: Mapped[str] = mapped_column(ForeignKey("routes.name", ondelete="CASCADE"), primary_key=True)
    role: Mapped[str] = mapped_column(String(16), primary_key=True)
    """weighted, fallback or shadow."""
    place: Mapped[int] = mapped_column(primary_key=True)
    target: Mapped[str] = mapped_column(String(256), index=True)
    """The reference of a model, or remote:PROVIDER/MODEL. Kept as it was written: `smollm2` follows the newest version,
    `smollm2@1` does not."""
    percent: Mapped[float | None] = mapped_column(Double)
    """Share of the calls. NULL for a fallback."""


class RouteRow(Base):
    __tablename__ = "routes"

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    sticky: Mapped[str] = mapped_column(String(16))
    timeout_seconds: Mapped[float | None] = mapped_column(Double)
    cache: Mapped[bool] = mapped_column(server_default=false())
    updated_at: Mapped[datetime] = mapped_column(Time)
    targets: Mapped[list[RouteTargetRow]] = relationship(
        cascade="all, delete-orphan",
        passive_deletes=True,
        lazy="selectin",
        order_by="(RouteTargetRow.role, RouteTargetRow.place)",
    )


class RouteMoveRow(Base):
    """A change of a route. Stays when the route is removed."""

    __tablename__ = "route_moves"

    id: Mapped[int] = mapped_column(primary_key=True)
    route: Mapped[str] = mapped_column(String(64), index=True)
    moved_at: Mapped[datetime] = mapped_column(Time)
    moved_by: Mapped[str | None] = mapped_column(String(256))
    reason: Mapped[str | None] = mapped_column(Text)
    before: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    after: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))


class ProviderRow(Base):
    __tablename__ = "providers"

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    kind: Mapped[str] = mapped_column(String(16))
    base_url: Mapped[str] = mapped_column(Text)
    text_input: Mapped[str | None] = mapped_column(String(128))
    text_output: Mapped[str | None] = mapped_column(String(128))
    """The tensors of models of the kind open-inference. NULL: they are seen from a model's description."""
    sealed_key: Mapped[bytes | None] = mapped_column(LargeBinary)
    """Encrypted, and bound to name, kind and base_url. NULL for a provider without a key."""
    created_at: Mapped[datetime] = mapped_column(Time)
    updated_at: Mapped[datetime] = mapped_column(Time)


class DeploymentRow(Base):
    """The desired state of one version. Stays when the deployment is removed, because its history names it."""

    __tablename__ = "deployments"

    model: Mapped[str] = mapped_column(String(64), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    ref: Mapped[str] = mapped_column(String(256))
    """The reference that it was deployed by, which may be an alias of the version."""
    min_replicas: Mapped[int]
    max_replicas: Mapped[int]
    runner: Mapped[str] = mapped_column(String(32))
    options: Mapped[dict[str, Any]] = mapped_column(JSON)
    placement: Mapped[str | None] = mapped_column(String(200))
    """The machines that its replicas run on: NULL for the server's machine, `nodes` for any node, the name of a node,
    or LABEL=VALUE."""
    idle_seconds: Mapped[int | None]
    keep_warm: Mapped[bool]
    forced: Mapped[bool]
    asleep: Mapped[bool]
    created_at: Mapped[datetime] = mapped_column(Time)
    updated_at: Mapped[datetime] = mapped_column(Time)
    removed_at: Mapped[datetime | None] = mapped_column(Time)


class NodeRow(Base):
    """A machine that runs replicas for the servers of this database. Its certificate counts while its row is here."""

    __tablename__ = "nodes"

    name: Mapped[str] = mapped_column(String(48), primary_key=True)
    key_digest: Mapped[str] = mapped_column(String(64))
    """SHA-256 of its public key, hexadecimal."""
    token_id: Mapped[str] = mapped_column(String(32))
    """The token that it joined with."""
    address: Mapped[str] = mapped_column(String(256))
    """The address that it joined from."""
    joined_at: Mapped[datetime] = mapped_column(Time)


class NodeTokenRow(Base):
    """A token that one node may join with, once."""

    __tablename__ = "node_tokens"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    secret_digest: Mapped[str] = mapped_column(String(64))
    """SHA-256 of the secret, hexadecimal."""
    expires_at: Mapped[datetime] = mapped_column(Time)
    used_at: Mapped[datetime | None] = mapped_column(Time)


class DeploymentEventRow(Base):
    """An event in the history of a deployment."""

    __tablename__ = "deployment_events"
    __table_args__ = (Index(None, "deployment"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    deployment: Mapped[str] = mapped_column(String(80))
    """The reference of its version."""
    at: Mapped[datetime] = mapped_column(Time)
    kind: Mapped[str] = mapped_column(String(32))
    actor: Mapped[str | None] = mapped_column(String(256))
    """The user, the key or the part of the server that caused it. NULL in events from before it was recorded."""
    reason: Mapped[str] = mapped_column(Text)
    data: Mapped[dict[str, Any]] = mapped_column(JSON)


class RolloutRow(Base):
    """A version that takes over a route. Stays when the rollout has ended."""

    __tablename__ = "rollouts"

    id: Mapped[int] = mapped_column(primary_key=True)
    route: Mapped[str] = mapped_column(String(64), index=True)
    target: Mapped[str] = mapped_column(String(256))
    before: Mapped[dict[str, float]] = mapped_column(JSON)
    steps: Mapped[list[float]] = mapped_column(JSON)
    gate: Mapped[str] = mapped_column(Text)
    min_calls: Mapped[int]
    max_hold_seconds: Mapped[int | None]
    cases: Mapped[list[dict[str, Any]]] = mapped_column(JSON)
    state: Mapped[str] = mapped_column(String(16), index=True)
    step: Mapped[int]
    step_began_at: Mapped[datetime] = mapped_column(Time)
    baseline: Mapped[dict[str, float]] = mapped_column(JSON)
    scores: Mapped[dict[str, float]] = mapped_column(JSON)
    reason: Mapped[str] = mapped_column(Text)
    begun_by: Mapped[str | None] = mapped_column(String(256))
    created_at: Mapped[datetime] = mapped_column(Time)
    ended_at: Mapped[datetime | None] = mapped_column(Time)


class RolloutEventRow(Base):
    """An event in the history of a rollout."""

    __tablename__ = "rollout_events"

    id: Mapped[int] = mapped_column(primary_key=True)
    rollout: Mapped[int] = mapped_column(ForeignKey("rollouts.id"), index=True)
    at: Mapped[datetime] = mapped_column(Time)
    kind: Mapped[str] = mapped_column(String(16))
    actor: Mapped[str | None] = mapped_column(String(256))
    """See DeploymentEventRow.actor."""
    reason: Mapped[str] = mapped_column(Text)
    data: Mapped[dict[str, Any]] = mapped_column(JSON)


class EvidenceRow(Base):
    """The outcome of a call, or the comparison of a shadow's answer, that one of the servers saw."""

    __tablename__ = "evidence"

    id: Mapped[int] = mapped_column(primary_key=True)
    server: Mapped[str] = mapped_column(String(32))
    """The run of a server that wrote it: a restarted server is another one."""
    route: Mapped[str] = mapped_column(String(64))
    target: Mapped[str] = mapped_column(String(256))
    at: Mapped[datetime] = mapped_column(Time)
    kind: Mapped[str] = mapped_column(String(16))
    """outcome or comparison."""
    data: Mapped[dict[str, Any]] = mapped_column(JSON)
