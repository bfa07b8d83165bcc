"""Where a lot stands, what a reviewer is asked for, and the words for what is wrong with a label."""

from enum import StrEnum


class LotState(StrEnum):
    """Where a lot stands: reviewed still, or decided by its plan."""

    OPEN = "open"
    ACCEPTED = "accepted"
    REJECTED = "rejected"


class Part(StrEnum):
    """What a person is asked for: a finding of their own, or the decision between two that differ."""

    REVIEW = "review"
    ARBITRATION = "arbitration"


class LabelFault(StrEnum):
    """What is wrong with a label: another class, something overlooked, something that is not there, inexact borders,
    a text in other words or letters, against the guideline in another way, or none of these.
    """

    WRONG_CLASS = "wrong_class"
    MISSED = "missed"
    INVENTED = "invented"
    INEXACT = "inexact"
    TEXT = "text"
    GUIDELINE = "guideline"
    OTHER = "other"
