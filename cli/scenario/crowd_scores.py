"""How far labels of a crowd set are from its truth, and what simple rules (majority, mean, median) would reach."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from rapidfuzz.distance import Levenshtein

from cli.errors import CannotRunError
from cli.scenario.crowd_data import CrowdTable, DataKind, number, tags_of
from cli.scenario.crowd_labels import words_of
from marketplace.quality.consensus.sequences_tags import spans_of

Floats = npt.NDArray[np.float64]
Scores = dict[str, float]

ECE_BINS: Final = 10
MAIN: Final = {
    DataKind.CHOICE: "accuracy",
    DataKind.NUMERIC: "mae",
    DataKind.TEXT: "wer",
    DataKind.BIO: "span_f1",
}
"""The score that tells most of a kind; accuracy and F1 are better when higher, the others when lower."""


def score(kind: DataKind, tasks: Sequence[str], found: Sequence[Any], truth: Mapping[str, str]) -> Scores:
    """Return the scores of labels (one a task) over the tasks whose truth is known.

    Choices: accuracy, the share of equal labels. Numbers: mean absolute and root mean square error. Texts: word error
    rate, edits of all words over the number of true words, without case and punctuation. BIO: micro F1 of spans with
    exact bounds and label (as at CoNLL 2003).

    Raises:
        CannotRunError: a truth is no number where numbers are asked for, or no task has both.
    """
    pairs = [(label, truth[task]) for task, label in zip(tasks, found, strict=True) if task in truth]
    if not pairs:
        raise CannotRunError("No task of truth.csv is in labels.csv.", "The two files must name tasks alike.")
    if kind is DataKind.CHOICE:
        return {"accuracy": sum(same_class(str(label), value) for label, value in pairs) / len(pairs)}
    if kind is DataKind.NUMERIC:
        errors = np.array([float(label) - _known(value) for label, value in pairs])
        return {"mae": float(np.abs(errors).mean()), "rmse": math.sqrt(float((errors**2).mean()))}
    if kind is DataKind.TEXT:
        spoken = [(words_of(label), words_of(value)) for label, value in pairs]
        wrong = sum(Levenshtein.distance(said, meant) for said, meant in spoken)
        return {"wer": wrong / max(sum(len(meant) for _, meant in spoken), 1)}
    return {"span_f1": _span_f1([(tags_of(label), tags_of(value)) for label, value in pairs])}


def same_class(label: str, value: str) -> bool:
    """Return whether two spellings name one class: 1 and 1.0 do."""
    if label == value:
        return True
    one, other = number(label), number(value)
    return one is not None and one == other


def calibration_error(confidence: Floats, right: Floats) -> float:
    """Return the expected calibration error: the mean distance of confidence and accuracy in ten bins of equal width,
    weighted by their tasks (Naeini et al., AAAI 2015).
    """
    bins = np.minimum((confidence * ECE_BINS).astype(np.intp), ECE_BINS - 1)
    sums = [np.bincount(bins, weights=values, minlength=ECE_BINS) for values in (confidence, right)]
    return float(np.abs(sums[0] - sums[1]).sum() / len(confidence))


def majority(table: CrowdTable, kind: DataKind, truth: Mapping[str, str]) -> dict[str, Scores]:
    """Return what simple rules reach: the majority (for choices the expected accuracy when ties are split at random),
    the mean and the median of numbers, the majority of each token's tags.
    """
    if kind is DataKind.CHOICE:
        return {"majority": {"accuracy": _expected_majority(table.without_blanks(), truth)}}
    if kind is DataKind.NUMERIC:
        filled = table.only_numbers()
        by_task = _grouped(filled, filled.numbers())
        answered = [task for task, values in zip(table.tasks, by_task, strict=True) if len(values)]
        some = [values for values in by_task if len(values)]
        return {
            "mean": score(kind, answered, [float(np.mean(values)) for values in some], truth),
            "median": score(kind, answered, [float(np.median(values)) for values in some], truth),
        }
    pick = _plural if kind is DataKind.TEXT else _token_majority
    return {
        "majority": score(kind, table.tasks, [pick([said for _, said in rows]) for _, rows in table.given()], truth)
    }


def _known(value: str) -> float:
    known = number(value)
    if known is None:
        raise CannotRunError(f"The truth {value[:60]!r} is no number.", "Another --kind?")
    return known


def _expected_majority(table: CrowdTable, truth: Mapping[str, str]) -> float:
    counts = np.zeros((len(table.tasks), len(table.labels)), dtype=np.int32)
    np.add.at(counts, (table.task, table.label), 1)
    best = counts == counts.max(1, keepdims=True)
    chances = [
        sum(same_class(table.labels[code], truth[task]) for code in np.flatnonzero(row)) / int(row.sum())
        for task, row in zip(table.tasks, best, strict=True)
        if task in truth
    ]
    return sum(chances) / len(chances)


def _grouped(table: CrowdTable, values: Floats) -> list[Floats]:
    order = np.argsort(table.task, kind="stable")
    return np.split(values[order], np.searchsorted(table.task[order], np.arange(1, len(table.tasks))))


def _plural(said: Sequence[str]) -> str:
    """Return the most frequent transcript, among equals the first."""
    alike = Counter(" ".join(words_of(one)) for one in said)
    return max(alike, key=lambda one: alike[one])


def _token_majority(said: Sequence[str]) -> str:
    """Return the most frequent tag of each token, among equals the first; of the most frequent length."""
    tags = [one.split() for one in said]
    length = Counter(map(len, tags)).most_common(1)[0][0]
    columns = zip(*(one for one in tags if len(one) == length), strict=True)
    return " ".join(Counter(column).most_common(1)[0][0] for column in columns)


def _span_f1(pairs: Sequence[tuple[list[str], list[str]]]) -> float:
    hits = said = meant = 0
    for found, known in pairs:
        ours, theirs = set(spans_of(found)), set(spans_of(known))
        hits += len(ours & theirs)
        said += len(ours)
        meant += len(theirs)
    return 2 * hits / (said + meant) if said + meant else 1.0
