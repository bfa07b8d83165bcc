"""How far the workers' answers agree with each other, before any consensus."""

import numpy as np
from numpy.typing import NDArray

from marketplace.catalog.states import LabelKind
from marketplace.quality.delivery_report.evidence import Evidence, Floats, Ints
from marketplace.quality.schemas import AgreementFigures

_OPEN_KINDS = frozenset({LabelKind.TEXT_SPANS, LabelKind.FREE_TEXT, LabelKind.IMAGE_SHAPES})


def agreement_figures(evidence: Evidence) -> AgreementFigures:
    """Return the agreement of the counted answers to tasks that have two or more.

    Krippendorff's alpha without pairs (report.py has the formulas): nominal for choices, where several options are one
    answer as a set, interval for numbers.
    """
    if evidence.spec.kind in _OPEN_KINDS:
        agreeing = evidence.items.agreeing[evidence.count_per_item(evidence.counted) > 1]
        return AgreementFigures(
            measure="similar",
            tasks=len(agreeing),
            pairwise=float(agreeing.mean()) if len(agreeing) else None,
            alpha=None,
        )
    item, label, numbers = _codes(evidence)
    tasks, of, size = np.unique(item, return_inverse=True, return_counts=True)
    kept = size[of] > 1
    if not kept.any():
        return AgreementFigures(measure="equal", tasks=0, pairwise=None, alpha=None)
    cells, count = np.unique(np.column_stack([item, label])[kept], axis=0, return_counts=True)
    same = np.bincount(np.searchsorted(tasks, cells[:, 0]), weights=count.astype(float) ** 2, minlength=len(tasks))
    m, same = size[size > 1].astype(float), same[size > 1]
    pairwise = float(np.mean((same - m) / (m * (m - 1))))
    if evidence.spec.kind is LabelKind.NUMERIC_SCALE:
        alpha = _interval_alpha(of[kept], numbers[label[kept]], size)
    else:
        totals = np.bincount(label[kept]).astype(float)
        alpha = _alpha(float(((m * m - same) / (m - 1)).sum()), m.sum() ** 2 - (totals**2).sum(), m.sum())
    return AgreementFigures(measure="equal", tasks=len(m), pairwise=pairwise, alpha=alpha)


def _codes(evidence: Evidence) -> tuple[Ints, Ints, Floats]:
    """Return items, codes of what the counted answers say, and of numbers the number behind each code."""
    used = np.unique(evidence.answers.value[evidence.counted])
    codes: dict[str, int] = {}
    code_of = np.zeros(len(evidence.values) + 1, dtype=np.int32)
    numbers = []
    for value in used.tolist():
        main = evidence.spec.main(evidence.values[value])
        key = repr(sorted(main)) if isinstance(main, list) else repr(main)
        if key not in codes:
            codes[key] = len(codes)
            numbers.append(float(main) if isinstance(main, int | float) else 0.0)
        code_of[value] = codes[key]
    places = evidence.counted
    return evidence.answers.item[places], code_of[evidence.answers.value[places]], np.array(numbers)


def _interval_alpha(task: NDArray[np.intp], number: Floats, size: NDArray[np.intp]) -> float | None:
    total = np.bincount(task, weights=number, minlength=len(size))[size > 1]
    squares = np.bincount(task, weights=number**2, minlength=len(size))[size > 1]
    m = size[size > 1].astype(float)
    observed = float(((m * squares - total**2) / (m - 1)).sum())
    return _alpha(observed, float(m.sum() * squares.sum() - total.sum() ** 2), float(m.sum()))


def _alpha(observed: float, scaled_expected: float, count: float) -> float | None:
    """Return 1 − observed / expected disagreement; null when all answers are the same, which says nothing."""
    return 1 - observed * (count - 1) / scaled_expected if scaled_expected > 0 else None
