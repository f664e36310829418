"""Sign-ins through an OpenID provider that were finished, which work no second time."""

import sqlalchemy as sa
from alembic import op

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "oidc_used_states",
        sa.Column("hash", sa.String(64), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("hash", name="pk_oidc_used_states"),
    )


def downgrade() -> None:
    op.drop_table("oidc_used_states")
