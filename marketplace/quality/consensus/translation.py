"""Consensus of translations: the one that is nearest to all others by chrF, by the weight of their translators.

Two good translations share few edits but many stretches of characters, so the measure is chrF (Popović, WMT 2015), and
the choice is that of minimum Bayes risk decoding (Eikema and Aziz, COLING 2020; Freitag et al., TACL 2022): the
candidate with the greatest expected chrF, expected over the answers by weight. A translator's weight is the mean chrF
of their answers to what was chosen without a preference for their own, shrunk to everyone's.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import numpy as np
import numpy.typing as npt

from marketplace.quality.consensus.engine import AnswerRow, Convergence, Learned, TaskConsensus
from marketplace.quality.consensus.numbered import number_rows, skill_of
from marketplace.quality.spec import LabelSpec

ORDER: Final = 6
BETA: Final = 2.0
ROUNDS: Final = 4
PRIOR_ANSWERS: Final = 4.0
PRIOR_QUALITY: Final = 0.6
"""The chrF a translator of whom nothing is known is expected to reach."""
_SHARPNESS: Final = 2.0
"""A weight is quality to this power: twice the chrF counts four times."""

Floats = npt.NDArray[np.float64]
Grams = tuple[Counter[str], ...]


@dataclass(frozen=True, slots=True)
class TranslationFit:
    """The number of the answer chosen in each task (−1: no answers), its expected chrF, and each worker's quality.

    Answers are numbered in the order of (worker, text). `seen` is how many answers a quality rests on.
    """

    chosen: tuple[int, ...]
    expected: Floats
    quality: Floats
    seen: Floats
    rounds: int


def grams_of(text: str) -> Grams:
    """Return the character n-grams of a text by length, 1 to `ORDER`, without white space."""
    plain = "".join(text.split())
    return tuple(
        Counter(plain[place : place + size] for place in range(len(plain) - size + 1)) for size in range(1, ORDER + 1)
    )


def chrf(hypothesis: Grams, reference: Grams) -> float:
    """Return chrF2 of two texts, 0 to 1: F2 of the mean precision and the mean recall over lengths both have."""
    precision, recall, lengths = 0.0, 0.0, 0
    for found, wanted in zip(hypothesis, reference, strict=True):
        given, meant = found.total(), wanted.total()
        if given and meant:
            small, large = (found, wanted) if len(found) <= len(wanted) else (wanted, found)
            common = sum(min(count, large[gram]) for gram, count in small.items() if gram in large)
            precision, recall, lengths = precision + common / given, recall + common / meant, lengths + 1
    if not lengths:
        return float(not hypothesis[0] and not reference[0])
    precision, recall = precision / lengths, recall / lengths
    bottom = BETA**2 * precision + recall
    return (1 + BETA**2) * precision * recall / bottom if bottom else 0.0


def fit_translations(
    answers: Sequence[Sequence[tuple[int, str]]],
    *,
    gold: Mapping[int, str] | None = None,
    quality: Floats | None = None,
) -> TranslationFit:
    """Return the choice in each task, and each worker's quality; with `quality` given, it is taken as it is."""
    rows = [sorted(row) for row in answers]
    workers = [np.array([worker for worker, _ in row], dtype=np.int64) for row in rows]
    alike = [_alike([text for _, text in row]) for row in rows]
    true = {number: _to_truth(rows[number], truth) for number, truth in (gold or {}).items()}
    count = 1 + max((worker for row in rows for worker, _ in row), default=-1)
    own = np.full(count, PRIOR_QUALITY) if quality is None else quality
    seen = np.zeros(count)
    rounds = 0
    while quality is None and rounds < ROUNDS:
        own, seen = _qualities(workers, alike, true, own)
        rounds += 1
    risks = [_utility(matrix, own[who]) for matrix, who in zip(alike, workers, strict=True)]
    chosen = tuple(int(np.argmax(np.round(risk, 9))) if len(risk) else -1 for risk in risks)
    expected = np.array([risk[best] if best >= 0 else 0.0 for risk, best in zip(risks, chosen, strict=True)])
    return TranslationFit(chosen, expected, own, seen, rounds)


def _alike(texts: Sequence[str]) -> Floats:
    """Return chrF of each text (row) against each as the reference (column)."""
    grams = [grams_of(text) for text in texts]
    return np.array([[chrf(one, other) for other in grams] for one in grams]).reshape(len(texts), len(texts))


def _to_truth(row: Sequence[tuple[int, str]], truth: str) -> Floats:
    reference = grams_of(truth)
    return np.array([chrf(grams_of(text), reference) for _, text in row])


def _utility(alike: Floats, quality: Floats) -> Floats:
    """Return the expected chrF of each answer: the mean over all by weight, its own among them."""
    weight = quality**_SHARPNESS
    return np.asarray(alike @ weight / weight.sum(), dtype=np.float64) if len(weight) else np.zeros(0)


def _qualities(
    workers: Sequence[npt.NDArray[np.int64]], alike: Sequence[Floats], true: Mapping[int, Floats], quality: Floats
) -> tuple[Floats, Floats]:
    """Return each worker's mean chrF to the others by weight, or to the truth where it is known; shrunk."""
    total, seen = np.zeros(len(quality)), np.zeros(len(quality))
    for number, (who, matrix) in enumerate(zip(workers, alike, strict=True)):
        if number in true:
            total[who] += true[number]
            seen[who] += 1
        elif len(who) > 1:
            weight = np.tile(quality[who] ** _SHARPNESS, (len(who), 1)) * (1 - np.eye(len(who)))
            total[who] += (matrix * weight).sum(axis=1) / weight.sum(axis=1)
            seen[who] += 1
    mean = total.sum() / seen.sum() if seen.any() else PRIOR_QUALITY
    own = (total + PRIOR_ANSWERS * mean) / (seen + PRIOR_ANSWERS)
    return np.asarray(np.clip(own, 0.01, 1.0), dtype=np.float64), seen


class TranslationModel:
    """Translations: the answer with the greatest expected chrF. Accuracy and confidence are chrF, 0 to 1.

    Two right translations need not count as the same, so here the figure is not the chance of agreement but how much
    of a translation others confirm.
    """

    def fit(self, spec: LabelSpec, answers: Sequence[AnswerRow], gold: Mapping[UUID, Any], seed: int) -> Learned:
        """Learn each worker's quality; nothing is drawn."""
        del seed
        numbered = number_rows(spec, answers)
        known = numbered.known(spec, gold)
        found = fit_translations(numbered.rows, gold=known)
        given, on_gold = numbered.counts(known)
        workers = {}
        for number, worker in enumerate(numbered.workers):
            strength = float(found.seen[number]) + PRIOR_ANSWERS
            right = float(np.clip(found.quality[number], 0.01, 0.99)) * strength
            workers[worker] = skill_of(right, strength - right, given[number], on_gold[number])
        record = Convergence("chrf_minimum_bayes_risk", found.rounds, converged=True, log_likelihood=())
        return Learned(workers, {"measure": "chrF2"}, record)

    def consolidate(
        self, spec: LabelSpec, answers: Sequence[AnswerRow], learned: Learned, seed: int
    ) -> list[TaskConsensus]:
        """Return the chosen answer of each task with its expected chrF."""
        del seed
        numbered = number_rows(spec, answers)
        quality = np.array(
            [learned.workers[one].accuracy if one in learned.workers else PRIOR_QUALITY for one in numbered.workers]
        )
        found = fit_translations(numbered.rows, quality=quality)
        return [
            TaskConsensus(task, spec.answer(sorted(row)[best][1]), float(value), {"agreeing": float(value)}, len(row))
            for task, row, best, value in zip(numbered.tasks, numbered.rows, found.chosen, found.expected, strict=True)
        ]
