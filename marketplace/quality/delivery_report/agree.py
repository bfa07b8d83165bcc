"""How far the workers' answers agree with each other, before any consensus."""

from typing import Any, Final

import numpy as np

from marketplace.catalog.states import LabelKind
from marketplace.quality.agreement.measure import Agreement, agreement_of
from marketplace.quality.agreement.similar import similarity_of
from marketplace.quality.delivery_report.evidence import Evidence, Floats, Ints
from marketplace.quality.schemas import AgreementFigures
from marketplace.quality.similarity import similarity

RESAMPLES: Final = 200
_OPEN_KINDS: Final = frozenset({LabelKind.TEXT_SPANS, LabelKind.FREE_TEXT, LabelKind.IMAGE_SHAPES})


def agreement_figures(evidence: Evidence) -> AgreementFigures:
    """Return the agreement of the counted answers to tasks that have two or more, with bootstrap intervals.

    Choices and numbers: the share of pairs that say the same, Krippendorff's alpha (nominal; for numbers interval) and
    Gwet's AC1; several options are one answer, as a set. Other kinds: the mean similarity of two answers to a task.
    """
    tasks = int((evidence.count_per_item(evidence.counted) > 1).sum())
    if evidence.spec.kind in _OPEN_KINDS:
        return _alike(evidence, tasks)
    if tasks == 0:
        return AgreementFigures(measure="equal", tasks=0, pairwise=None, alpha=None)
    codes, numbers = _codes(evidence)
    equal = _measured(evidence, codes, interval=False)
    alpha = _measured(evidence, numbers, interval=True) if evidence.spec.kind is LabelKind.NUMERIC_SCALE else equal
    return AgreementFigures(
        measure="equal", tasks=tasks, pairwise=equal.pairwise, alpha=alpha.alpha, alpha_low=alpha.alpha_low,
        alpha_high=alpha.alpha_high, ac1=equal.ac1, ac1_low=equal.ac1_low, ac1_high=equal.ac1_high,
    )  # fmt: skip


def _measured(evidence: Evidence, label: Ints | Floats, *, interval: bool) -> Agreement:
    answers, places = evidence.answers, evidence.counted
    return agreement_of(
        answers.item[places], answers.worker[places], label, level="interval" if interval else "nominal",
        classes=None if interval else _class_count(evidence, label), seed=evidence.header.seed, resamples=RESAMPLES,
    )  # fmt: skip


def _class_count(evidence: Evidence, label: Ints | Floats) -> int | None:
    """Return how many classes there are: those of the schema when each is one answer, else as many as occur."""
    closed = evidence.spec.kind in {LabelKind.SINGLE_CHOICE, LabelKind.PAIRWISE_PREFERENCE}
    return max(len(evidence.spec.classes), int(label.max()) + 1) if closed else None


def _alike(evidence: Evidence, tasks: int) -> AgreementFigures:
    given, spec, values = evidence.answers.value[evidence.counted].tolist(), evidence.spec, evidence.values

    def alike(one: int, other: int) -> float:
        return similarity(spec, spec.main(values[given[one]]), spec.main(values[given[other]]))

    items = evidence.answers.item[evidence.counted]
    found = similarity_of(items, alike, seed=evidence.header.seed, resamples=RESAMPLES)
    return AgreementFigures(
        measure="alike", tasks=tasks, pairwise=found.mean, pairwise_low=found.low, pairwise_high=found.high, alpha=None
    )


def _codes(evidence: Evidence) -> tuple[Ints, Floats]:
    """Return of each counted answer the code of what it says, and of a number the number itself."""
    codes: dict[Any, int] = {}
    used = np.unique(evidence.answers.value[evidence.counted])
    code_of = np.zeros(len(evidence.values), dtype=np.int32)
    number_of = np.zeros(len(evidence.values))
    for value in used.tolist():
        main = evidence.spec.main(evidence.values[value])
        key = tuple(sorted(main)) if isinstance(main, list) else main
        code_of[value] = codes.setdefault(key, len(codes))
        number_of[value] = main if isinstance(main, int | float) else 0.0
    given = evidence.answers.value[evidence.counted]
    return code_of[given], number_of[given]
