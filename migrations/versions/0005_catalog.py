"""Tables of catalog.

Revision: 0005, after 0004.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_TABLES = (
    "dataset_request", "label_schema", "guideline", "item", "gold", "upload", "upload_part", "delivery", "export",
)  # fmt: skip


def _made() -> sa.Column[object]:
    return sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False)


def _choice(name: str, *values: str) -> sa.Enum:
    return sa.Enum(*values, name=name, native_enum=False, create_constraint=True, length=32)


def _create_request() -> None:
    op.create_table(
        "dataset_request",
        _made(),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("title", sa.String(), nullable=False),
        sa.Column("description", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("languages", JSONB(), nullable=False),
        sa.Column("currency", sa.String(3), nullable=False),
        sa.Column("unit_price_ceiling", sa.BigInteger(), nullable=False),
        sa.Column("budget_minor", sa.BigInteger(), nullable=False),
        sa.Column("deadline", sa.DateTime(timezone=True), nullable=False),
        sa.Column("bid_deadline", sa.DateTime(timezone=True), nullable=False),
        sa.Column("quality_plan", JSONB(), nullable=False),
        sa.Column("scoring", JSONB(), nullable=False),
        sa.Column("data_class", _choice("data_class", "public", "internal", "personal", "important"), nullable=False),
        sa.Column("residency", JSONB(), nullable=False),
        sa.Column("channel", _choice("channel", "vendors", "open_crowd", "both"), nullable=False),
        sa.Column("award_mode", _choice("award_mode", "manual", "auto"), nullable=False),
        sa.Column("refund_to", _choice("refund_to", "balance", "source"), nullable=False),
        sa.Column("release_window_seconds", sa.Integer(), nullable=False),
        sa.Column("seconds_per_task", sa.Float(), nullable=False),
        sa.Column("seed", sa.BigInteger(), nullable=False),
        sa.Column("label_schema_version", sa.Integer(), nullable=False),
        sa.Column("guideline_version", sa.Integer(), nullable=False),
        sa.Column("item_count", sa.Integer(), nullable=False),
        sa.Column("gold_count", sa.Integer(), nullable=False),
        sa.Column(
            "state",
            _choice(
                "state",
                "draft",
                "funded",
                "open",
                "awarded",
                "in_production",
                "in_acceptance",
                "delivered",
                "settled",
                "closed",
                "cancelled",
                "suspended",
            ),
            nullable=False,
        ),
        sa.Column("suspended_from", sa.String(), nullable=True),
        sa.Column("published_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("budget_minor > 0", name=op.f("ck_dataset_request_budget_positive")),
        sa.CheckConstraint("unit_price_ceiling > 0", name=op.f("ck_dataset_request_price_positive")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_dataset_request")),
    )
    op.create_index(op.f("ix_dataset_request_organisation_id_id"), "dataset_request", ["organisation_id", "id"])
    op.create_index(op.f("ix_dataset_request_state_id"), "dataset_request", ["state", "id"])


def _create_versions() -> None:
    op.create_table(
        "label_schema",
        _made(),
        sa.Column("request_id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column(
            "kind",
            _choice(
                "kind",
                "single_choice",
                "multiple_choice",
                "text_spans",
                "free_text",
                "numeric_scale",
                "pairwise_preference",
                "image_shapes",
            ),
            nullable=False,
        ),
        sa.Column("definition", JSONB(), nullable=False),
        sa.Column("json_schema", JSONB(), nullable=False),
        sa.PrimaryKeyConstraint("request_id", "version", name=op.f("pk_label_schema")),
    )
    op.create_table(
        "guideline",
        _made(),
        sa.Column("request_id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("body", sa.String(), nullable=False),
        sa.Column("examples", JSONB(), nullable=False),
        sa.PrimaryKeyConstraint("request_id", "version", name=op.f("pk_guideline")),
    )


def _create_data() -> None:
    op.create_table(
        "item",
        _made(),
        sa.Column("request_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("external_id", sa.String(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("data", JSONB(), nullable=False),
        sa.Column("media_key", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("request_id", "id", name=op.f("pk_item")),
        sa.UniqueConstraint("request_id", "external_id", name=op.f("uq_item_request_id_external_id")),
    )
    op.create_index("ix_item_request_id_position", "item", ["request_id", "position"])
    op.create_table(
        "gold",
        _made(),
        sa.Column("request_id", sa.Uuid(), nullable=False),
        sa.Column("item_id", sa.Uuid(), nullable=False),
        sa.Column("truth", JSONB(), nullable=False),
        sa.Column("note", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("request_id", "item_id", name=op.f("pk_gold")),
    )
    op.create_table(
        "upload",
        _made(),
        sa.Column("request_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("filename", sa.String(), nullable=False),
        sa.Column("format", _choice("format", "jsonl", "csv", "zip"), nullable=False),
        sa.Column("keep_good_rows", sa.Boolean(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("offset_bytes", sa.BigInteger(), nullable=False),
        sa.Column(
            "state", _choice("state", "receiving", "received", "importing", "imported", "refused"), nullable=False
        ),
        sa.Column("rows_good", sa.Integer(), nullable=False),
        sa.Column("rows_bad", sa.Integer(), nullable=False),
        sa.Column("report", JSONB(), nullable=False),
        sa.PrimaryKeyConstraint("request_id", "id", name=op.f("pk_upload")),
    )
    op.create_table(
        "upload_part",
        _made(),
        sa.Column("request_id", sa.Uuid(), nullable=False),
        sa.Column("upload_id", sa.Uuid(), nullable=False),
        sa.Column("offset_bytes", sa.BigInteger(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("object_key", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("request_id", "upload_id", "offset_bytes", name=op.f("pk_upload_part")),
    )


def _create_files() -> None:
    op.create_table(
        "delivery",
        _made(),
        sa.Column("request_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("report", JSONB(), nullable=False),
        sa.Column("accepted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("disputed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("dispute_reason", sa.String(), nullable=True),
        sa.Column("dismissal_reason", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("request_id", "id", name=op.f("pk_delivery")),
        sa.UniqueConstraint("request_id", name=op.f("uq_delivery_request_id")),
    )
    op.create_table(
        "export",
        _made(),
        sa.Column("request_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("format", _choice("format", "jsonl", "csv", "parquet"), nullable=False),
        sa.Column("with_answers", sa.Boolean(), nullable=False),
        sa.Column("state", _choice("state", "waiting", "ready", "failed"), nullable=False),
        sa.Column("object_key", sa.String(), nullable=True),
        sa.Column("rows", sa.Integer(), nullable=True),
        sa.Column("size_bytes", sa.BigInteger(), nullable=True),
        sa.Column("sha256", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("request_id", "id", name=op.f("pk_export")),
    )


def upgrade() -> None:
    _create_request()
    _create_versions()
    _create_data()
    _create_files()


def downgrade() -> None:
    for table in reversed(_TABLES):
        op.drop_table(table)
