"""The way of a dataset request (domain.md), as a table; no other step exists."""

from enum import StrEnum

from marketplace.core.states import Transitions


class RequestState(StrEnum):
    """Where a dataset request stands."""

    DRAFT = "draft"
    FUNDED = "funded"
    OPEN = "open"
    AWARDED = "awarded"
    IN_PRODUCTION = "in_production"
    IN_ACCEPTANCE = "in_acceptance"
    DELIVERED = "delivered"
    SETTLED = "settled"
    CLOSED = "closed"
    CANCELLED = "cancelled"
    SUSPENDED = "suspended"


RUNNING = frozenset({
    RequestState.OPEN, RequestState.AWARDED, RequestState.IN_PRODUCTION, RequestState.IN_ACCEPTANCE,
})  # fmt: skip

REQUEST_STEPS: Transitions[RequestState] = {
    RequestState.DRAFT: frozenset({RequestState.FUNDED, RequestState.CANCELLED}),
    RequestState.FUNDED: frozenset({RequestState.OPEN, RequestState.CANCELLED}),
    RequestState.OPEN: frozenset({RequestState.AWARDED, RequestState.CANCELLED, RequestState.SUSPENDED}),
    RequestState.AWARDED: frozenset({RequestState.IN_PRODUCTION, RequestState.SUSPENDED}),
    RequestState.IN_PRODUCTION: frozenset({RequestState.IN_ACCEPTANCE, RequestState.SUSPENDED}),
    RequestState.IN_ACCEPTANCE: frozenset({RequestState.DELIVERED, RequestState.SUSPENDED}),
    RequestState.DELIVERED: frozenset({RequestState.SETTLED}),
    RequestState.SETTLED: frozenset({RequestState.CLOSED}),
    RequestState.SUSPENDED: RUNNING,
}


class UploadState(StrEnum):
    """Where an upload of data stands."""

    RECEIVING = "receiving"
    RECEIVED = "received"
    IMPORTING = "importing"
    IMPORTED = "imported"
    REFUSED = "refused"


UPLOAD_STEPS: Transitions[UploadState] = {
    UploadState.RECEIVING: frozenset({UploadState.RECEIVED, UploadState.REFUSED}),
    UploadState.RECEIVED: frozenset({UploadState.IMPORTING}),
    UploadState.IMPORTING: frozenset({UploadState.IMPORTED, UploadState.REFUSED}),
}


class UploadFormat(StrEnum):
    """In which form data arrive: a line an item, a row an item, or a file an item."""

    JSONL = "jsonl"
    CSV = "csv"
    ZIP = "zip"


class ExportFormat(StrEnum):
    """In which form results leave; `evidence` is what the quality report is computed from, as JSON Lines."""

    JSONL = "jsonl"
    CSV = "csv"
    PARQUET = "parquet"
    EVIDENCE = "evidence"


class ExportState(StrEnum):
    """Where an export file stands."""

    WAITING = "waiting"
    READY = "ready"
    FAILED = "failed"


EXPORT_STEPS: Transitions[ExportState] = {
    ExportState.WAITING: frozenset({ExportState.READY, ExportState.FAILED}),
}


class Channel(StrEnum):
    """Who may work on a request."""

    VENDORS = "vendors"
    OPEN_CROWD = "open_crowd"
    BOTH = "both"


class DataClass(StrEnum):
    """How sensitive the data are (GB/T 43697-2024 grades general data; personal data by PIPL)."""

    PUBLIC = "public"
    INTERNAL = "internal"
    PERSONAL = "personal"
    IMPORTANT = "important"


class AwardMode(StrEnum):
    """Whether the enterprise decides on bids, or the published formula alone."""

    MANUAL = "manual"
    AUTO = "auto"


class RefundTo(StrEnum):
    """Where unspent money goes at closing: the prepaid balance, or back to where it came from."""

    BALANCE = "balance"
    SOURCE = "source"


class LabelKind(StrEnum):
    """What sort of answer a label schema asks for."""

    SINGLE_CHOICE = "single_choice"
    MULTIPLE_CHOICE = "multiple_choice"
    TEXT_SPANS = "text_spans"
    FREE_TEXT = "free_text"
    NUMERIC_SCALE = "numeric_scale"
    PAIRWISE_PREFERENCE = "pairwise_preference"
    IMAGE_SHAPES = "image_shapes"
