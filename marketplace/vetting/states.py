"""States of a vetting file and the steps between them (domain.md), and the kinds of things in it."""

from enum import StrEnum
from typing import Final

from marketplace.core.states import Transitions


class VettingState(StrEnum):
    """Where a vetting file stands."""

    APPLIED = "applied"
    IN_REVIEW = "in_review"
    NEEDS_PAPERS = "needs_papers"
    APPROVED = "approved"
    REFUSED = "refused"
    EXPIRED = "expired"
    SUSPENDED = "suspended"


class SubjectKind(StrEnum):
    """Who is vetted."""

    WORKER = "worker"
    VENDOR = "vendor"


class PaperKind(StrEnum):
    """What a paper proves."""

    BUSINESS_LICENCE = "business_licence"
    IDENTITY_DOCUMENT = "identity_document"
    RESIDENCE = "residence"
    SECURITY_CERTIFICATE = "security_certificate"
    LANGUAGE_CERTIFICATE = "language_certificate"
    TRAINING_CERTIFICATE = "training_certificate"
    OTHER = "other"


class Modality(StrEnum):
    """What kind of data a vendor labels."""

    TEXT = "text"
    IMAGE = "image"
    AUDIO = "audio"
    VIDEO = "video"


# needs_papers goes back to the queue when the applicant has added them; suspended is a pause until a person has looked
# again, so it goes back to review; refused and expired are final, and a new application makes a new file.
VETTING_STEPS: Final[Transitions[VettingState]] = {
    VettingState.APPLIED: frozenset({VettingState.IN_REVIEW}),
    VettingState.IN_REVIEW: frozenset({VettingState.APPROVED, VettingState.REFUSED, VettingState.NEEDS_PAPERS}),
    VettingState.NEEDS_PAPERS: frozenset({VettingState.APPLIED}),
    VettingState.APPROVED: frozenset({VettingState.EXPIRED, VettingState.SUSPENDED}),
    VettingState.SUSPENDED: frozenset({VettingState.IN_REVIEW}),
    VettingState.REFUSED: frozenset(),
    VettingState.EXPIRED: frozenset(),
}
FINAL_STATES: Final = frozenset(state for state, steps in VETTING_STEPS.items() if not steps)
