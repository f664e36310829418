"""Routes with several targets, and their history; providers of remote models."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    targets = op.create_table(
        "route_targets",
        sa.Column("route", sa.String(64), nullable=False),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("target", sa.String(256), nullable=False),
        sa.Column("percent", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("route", "role", "place", name="pk_route_targets"),
        sa.ForeignKeyConstraint(["route"], ["routes.name"], name="fk_route_targets_route_routes", ondelete="CASCADE"),
    )
    op.create_index("ix_route_targets_target", "route_targets", ["target"])
    op.create_table(
        "route_moves",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("route", sa.String(64), nullable=False),
        sa.Column("moved_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("moved_by", sa.String(256), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("before", sa.JSON(), nullable=True),
        sa.Column("after", sa.JSON(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_route_moves"),
    )
    op.create_index("ix_route_moves_route", "route_moves", ["route"])
    op.create_table(
        "providers",
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("base_url", sa.Text(), nullable=False),
        sa.Column("sealed_key", sa.LargeBinary(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_providers"),
    )
    # The target of each route gets all of its calls.
    routes = sa.table("routes", sa.column("name", sa.String), sa.column("target", sa.String))
    found = op.get_bind().execute(sa.select(routes.c.name, routes.c.target)).all()
    rows = [
        {"route": name, "role": "weighted", "place": 0, "target": target, "percent": 100.0} for name, target in found
    ]
    if rows:
        op.bulk_insert(targets, rows)
    op.drop_column("routes", "target")
    op.add_column("routes", sa.Column("sticky", sa.String(16), nullable=False, server_default="user"))
    op.add_column("routes", sa.Column("timeout_seconds", sa.Double(), nullable=True))


def downgrade() -> None:
    op.drop_column("routes", "timeout_seconds")
    op.drop_column("routes", "sticky")
    op.add_column("routes", sa.Column("target", sa.String(256), nullable=False, server_default=""))
    targets = sa.table("route_targets", *map(sa.column, ("route", "role", "place", "target", "percent")))
    routes = sa.table("routes", sa.column("name"), sa.column("target"))
    weighted = sa.select(targets.c.route, targets.c.target).where(targets.c.role == "weighted")
    for route, target in op.get_bind().execute(weighted.order_by(targets.c.percent)).all():
        op.execute(routes.update().where(routes.c.name == route).values(target=target))
    for table in ("providers", "route_moves", "route_targets"):
        op.drop_table(table)
