"""Agreement of texts: pairwise word or character error rate and chrF, with bootstrap intervals over tasks.

Word error rate where a script has spaces, character error rate where it has none (Thai, Lao, Khmer, Burmese, Han,
kana); each pair of answers counts once, its edits over the mean length of the two, so that neither is the reference.
chrF is sacrebleu's chrF2, the mean of both directions.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, combinations
from typing import Final

import numpy as np
import numpy.typing as npt
from rapidfuzz.distance import Levenshtein

from marketplace.quality.consensus.texts_words import is_unspaced, text_keys
from marketplace.quality.consensus.translation import chrf, grams_of

RESAMPLES: Final = 1_000
Answers = Sequence[tuple[int, str]]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Measure:
    """A figure, the 95 % interval of it over tasks, and how many tasks it rests on (NaN when none)."""

    value: float
    low: float
    high: float
    tasks: int


@dataclass(frozen=True, slots=True)
class TextAgreement:
    """How alike workers' texts are: `unit` is what errors are counted in, "word" or "character".

    `error_rate` is edits a unit between two answers; `chrf` is 0 to 1; `by_worker` each worker's mean error rate
    to the others.
    """

    unit: str
    error_rate: Measure
    chrf: Measure
    by_worker: dict[int, float]


def text_agreement(answers: Sequence[Answers], *, seed: int = 0, resamples: int = RESAMPLES) -> TextAgreement:
    """Return the agreement of each task's (worker number, text) pairs; tasks of one answer say nothing."""
    shared = [sorted(row) for row in answers if len(row) > 1]
    texts = [text for row in shared for _, text in row]
    unspaced = 2 * sum(map(is_unspaced, texts)) > len(texts)
    edits, lengths, alike = np.zeros(len(shared)), np.zeros(len(shared)), np.zeros(len(shared))
    own: dict[int, list[float]] = {}
    for number, row in enumerate(shared):
        keys = [text_keys(text) for _, text in row]
        units = [list(chain.from_iterable(found)) if unspaced else found for found in keys]
        grams = [grams_of(text) for _, text in row]
        scores: list[float] = []
        for one, other in combinations(range(len(row)), 2):
            distance = Levenshtein.distance(units[one], units[other])
            length = (len(units[one]) + len(units[other])) / 2
            edits[number], lengths[number] = edits[number] + distance, lengths[number] + length
            scores.append((chrf(grams[one], grams[other]) + chrf(grams[other], grams[one])) / 2)
            for worker in (row[one][0], row[other][0]):
                own.setdefault(worker, []).append(distance / max(length, 1.0))
        alike[number] = float(np.mean(scores))
    by_worker = {worker: float(np.mean(rates)) for worker, rates in sorted(own.items())}
    unit = "character" if unspaced else "word"
    return TextAgreement(
        unit,
        ratio_interval(edits, lengths, seed=seed, resamples=resamples),
        ratio_interval(alike, np.ones(len(shared)), seed=seed, resamples=resamples),
        by_worker,
    )


def ratio_interval(top: Floats, bottom: Floats, *, seed: int, resamples: int = RESAMPLES) -> Measure:
    """Return Σ top / Σ bottom over tasks with its percentile bootstrap interval (Efron 1979); 0/0 counts as 0."""
    if not len(top):
        return Measure(float("nan"), float("nan"), float("nan"), 0)
    drawn = np.random.default_rng(seed).multinomial(len(top), np.full(len(top), 1 / len(top)), size=resamples)
    below = drawn @ bottom
    ratios = np.divide(drawn @ top, below, out=np.zeros(resamples), where=below > 0)
    low, high = np.quantile(ratios, [0.025, 0.975])
    total = float(bottom.sum())
    return Measure(float(top.sum()) / total if total else 0.0, float(low), float(high), len(top))
