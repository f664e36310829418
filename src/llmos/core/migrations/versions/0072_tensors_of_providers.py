"""The tensors of providers of the Open Inference Protocol."""

import sqlalchemy as sa
from alembic import op

revision = "0072"
down_revision = "0071"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for name in ("text_input", "text_output"):
        op.add_column("providers", sa.Column(name, sa.String(128)))


def downgrade() -> None:
    for name in ("text_input", "text_output"):
        op.drop_column("providers", name)
