"""The way of a model that labels a request's tasks."""

from enum import StrEnum

from marketplace.core.states import Transitions


class AnnotatorState(StrEnum):
    """Where a model stands: being reached, labeling, done with all items, given up on, or stopped by its enterprise."""

    CONNECTING = "connecting"
    LABELING = "labeling"
    DONE = "done"
    FAILED = "failed"
    STOPPED = "stopped"


ANNOTATOR_STEPS: Transitions[AnnotatorState] = {
    AnnotatorState.CONNECTING: frozenset({AnnotatorState.LABELING, AnnotatorState.FAILED, AnnotatorState.STOPPED}),
    AnnotatorState.LABELING: frozenset({AnnotatorState.DONE, AnnotatorState.FAILED, AnnotatorState.STOPPED}),
    AnnotatorState.DONE: frozenset({AnnotatorState.LABELING, AnnotatorState.STOPPED}),
    AnnotatorState.FAILED: frozenset({AnnotatorState.CONNECTING, AnnotatorState.STOPPED}),
}
"""A stopped model's labels stay, and stay out of the consensus; `failed` may be tried again."""
