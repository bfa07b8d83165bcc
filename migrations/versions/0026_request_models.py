"""What consensus learned of a request and of its workers, and the seats that were withdrawn because of it.

Revision: 0026, after 0022.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0026"
down_revision = "0022"
branch_labels = None
depends_on = None

_JSON = postgresql.JSONB(astext_type=sa.Text())


def upgrade() -> None:
    op.create_table(
        "request_model",
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("request_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("units", sa.BigInteger(), nullable=False),
        sa.Column("answers", sa.BigInteger(), nullable=False),
        sa.Column("parameters", sa.LargeBinary(), nullable=False),
        sa.Column("record", _JSON, nullable=False),
        sa.Column("calibration", _JSON, nullable=False),
        sa.Column("fitted_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("number > 0 AND answers >= 0", name=op.f("ck_request_model_counts")),
        sa.PrimaryKeyConstraint("request_id", name=op.f("pk_request_model")),
    )
    op.create_table(
        "request_skill",
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("request_id", sa.Uuid(), nullable=False),
        sa.Column("worker_id", sa.Uuid(), nullable=False),
        sa.Column("accuracy", sa.Float(), nullable=False),
        sa.Column("low", sa.Float(), nullable=False),
        sa.Column("high", sa.Float(), nullable=False),
        sa.Column("answers", sa.BigInteger(), nullable=False),
        sa.Column("gold", sa.Integer(), nullable=False),
        sa.CheckConstraint(
            "0 <= low AND low <= high AND high <= 1 AND 0 <= accuracy AND accuracy <= 1",
            name=op.f("ck_request_skill_shares"),
        ),
        sa.PrimaryKeyConstraint("request_id", "worker_id", name=op.f("pk_request_skill")),
    )
    op.add_column(
        "contract_plan", sa.Column("withdrawn_units", sa.BigInteger(), server_default=sa.text("0"), nullable=False)
    )
    op.create_index(
        "ix_task_spare", "task", ["request_id", "contract_id"], postgresql_where=sa.text("done AND answered < planned")
    )

    op.create_index("ix_verdict_rejected", "verdict", ["request_id"], postgresql_where=sa.text("outcome = 'rejected'"))


def downgrade() -> None:
    op.drop_index("ix_verdict_rejected", table_name="verdict")
    op.drop_index("ix_task_spare", table_name="task")
    op.drop_column("contract_plan", "withdrawn_units")
    op.drop_table("request_skill")
    op.drop_table("request_model")
