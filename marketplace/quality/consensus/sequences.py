"""Consensus of tag sequences (named entities and other spans of tokens): BIO tags of several workers a sentence.

The probability that a span is an entity follows exactly from the chain (`sequences_chain`): that it begins here with
this label, goes on, and ends there. Spans are kept from the threshold on that makes the expected F1 greatest, which is
half of the F1 it reaches (Lipton et al., ECML 2014), rather than by the most probable tags, which miss what few marked.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from marketplace.quality.consensus.engine import Convergence
from marketplace.quality.consensus.sequences_chain import Chain, Crowd, chain_of, fit_chain
from marketplace.quality.consensus.sequences_entities import Habits, Readings
from marketplace.quality.consensus.sequences_marginals import sequence_confidence, span_probabilities
from marketplace.quality.consensus.sequences_tags import (
    Answers,
    Floats,
    Packed,
    Span,
    TagCodes,
    label_of,
    of_one_length,
    pack,
    spans_of,
    tags_of,
)

LOWEST_THRESHOLD: Final = 0.2
HIGHEST_THRESHOLD: Final = 0.5
_DECIDED: Final = Convergence("chain_and_entities", 0, converged=True, log_likelihood=())


@dataclass(frozen=True, slots=True)
class SequenceFit:
    """Tags by sentence, valid BIO; `spans` with the probability of each; `confidence` that all tags are right.

    A sentence without answers has no tags and confidence 0. `skipped` counts answers of another length than most of
    their sentence's, which say nothing here; `tagging` is what was learned of the workers (nothing
    from sentences without tokens).
    """

    tags: tuple[tuple[str, ...], ...]
    confidence: Floats
    spans: tuple[tuple[tuple[Span, float], ...], ...]
    skipped: int
    tagging: "Tagging | None"
    record: Convergence


@dataclass(frozen=True, slots=True)
class Tagging:
    """What was learned of a crowd: labels, the chain and its confusions, and habits with entities."""

    labels: tuple[str, ...]
    crowd: Crowd
    habits: Habits
    threshold: float


def fit_sequences(answers: Sequence[Answers], *, seed: int = 0) -> SequenceFit:
    """Return the consensus of each sentence's (worker number, tags); nothing is drawn, `seed` is for the interface.

    Raises:
        NotTags: a tag is neither O nor B- or I- with a label.
    """
    del seed
    shaped = [of_one_length(given) for given in answers]
    skipped = sum(map(len, answers)) - sum(len(given) for _, given in shaped)
    lengths, given = [length for length, _ in shaped], [rows for _, rows in shaped]
    codes = TagCodes([label for rows in given for _, tags in rows for tag in tags if (label := label_of(tag))])
    packed = pack(lengths, given, codes)
    if not packed.tokens:
        return _without_tokens(answers, skipped)
    workers = int(packed.worker.max()) + 1
    found = fit_chain(packed, codes.count, workers)
    probability = span_probabilities(packed, found.chain, codes)
    readings = Readings(given, codes.labels)
    habits = readings.habits(readings.start(probability), workers)
    mixed = _mixed(probability, readings, habits)
    threshold = best_threshold(np.array(list(mixed.values())))
    record = Convergence("chain_and_entities", len(found.bound), found.converged, found.bound)
    tagging = Tagging(codes.labels, found.crowd, habits, threshold)
    result = _result(packed, found.chain, mixed, tagging, given)
    return replace(result, skipped=skipped, record=record)


def tag_sequences(answers: Sequence[Answers], known: Tagging) -> SequenceFit:
    """Return the consensus of sentences whose workers (by number) are known from an earlier fit.

    Labels that the fit has never seen are left out.
    """
    shaped = [of_one_length([(worker, _of_labels(tags, known.labels)) for worker, tags in given]) for given in answers]
    skipped = sum(map(len, answers)) - sum(len(given) for _, given in shaped)
    given = [rows for _, rows in shaped]
    codes = TagCodes(known.labels)
    packed = pack([length for length, _ in shaped], given, codes)
    if not packed.tokens:
        return _without_tokens(answers, skipped)
    chain = chain_of(packed, known.crowd)
    mixed = _mixed(span_probabilities(packed, chain, codes), Readings(given, codes.labels), known.habits)
    return replace(_result(packed, chain, mixed, known, given), skipped=skipped)


def best_threshold(probability: Floats) -> float:
    """Return the probability from which on keeping spans makes expected F1 greatest: half of that F1."""
    if not len(probability):
        return HIGHEST_THRESHOLD
    hits = np.cumsum(np.sort(probability)[::-1])
    expected = 2 * hits / (np.arange(1, len(hits) + 1) + hits[-1])
    return float(np.clip(expected.max() / 2, LOWEST_THRESHOLD, HIGHEST_THRESHOLD))


def _mixed(
    probability: dict[tuple[int, Span], float], readings: Readings, habits: Habits
) -> dict[tuple[int, Span], float]:
    """Return the mean of what the chain and the entities say of each span."""
    if not readings.readings:
        return probability
    judged = readings.spans(readings.judged(habits))
    return {
        key: (probability.get(key, 0.0) + judged.get(key, 0.0)) / 2
        for key in sorted(probability.keys() | judged.keys())
    }


def _result(
    packed: Packed,
    chain: Chain,
    mixed: dict[tuple[int, Span], float],
    known: Tagging,
    given: Sequence[Answers],
) -> SequenceFit:
    lengths = packed.lengths.tolist()
    kept = _choose(_supported(mixed, given), known.threshold, lengths)
    tags = tuple(
        tuple(tags_of([span for span, _ in spans], length)) for spans, length in zip(kept, lengths, strict=True)
    )
    confidence = sequence_confidence(packed, chain, tags, TagCodes(known.labels))
    return SequenceFit(tags, confidence * np.array([bool(rows) for rows in given]), kept, 0, known, _DECIDED)


def _supported(mixed: dict[tuple[int, Span], float], given: Sequence[Answers]) -> dict[tuple[int, Span], float]:
    """Return the spans that may be kept: each token in somebody's span of the label; all and only those of a sentence
    that two workers or more tagged alike.
    """
    alike: dict[int, list[Span]] = {}
    marked: list[set[tuple[int, str]]] = []
    for sentence, rows in enumerate(given):
        spans = [spans_of(tags) for _, tags in rows]
        marked.append({(place, label) for found in spans for start, end, label in found for place in range(start, end)})
        if len(spans) > 1 and all(found == spans[0] for found in spans):
            alike[sentence] = spans[0]
    found = {
        (sentence, (start, end, label)): value
        for (sentence, (start, end, label)), value in mixed.items()
        if sentence not in alike and all((place, label) in marked[sentence] for place in range(start, end))
    }
    agreed = {(sentence, span): 1.0 for sentence, spans in alike.items() for span in spans}
    return found | {key: max(mixed.get(key, 0.0), HIGHEST_THRESHOLD) for key in agreed}


def _choose(
    mixed: dict[tuple[int, Span], float], threshold: float, lengths: Sequence[int]
) -> tuple[tuple[tuple[Span, float], ...], ...]:
    """Return the spans of each sentence, the most probable first taken, each where nothing is taken yet."""
    taken = [np.zeros(length, dtype=np.bool_) for length in lengths]
    chosen: list[list[tuple[Span, float]]] = [[] for _ in lengths]
    for (sentence, span), value in sorted(mixed.items(), key=lambda item: (-round(item[1], 12), item[0])):
        start, end, _ = span
        if value >= threshold and not taken[sentence][start:end].any():
            taken[sentence][start:end] = True
            chosen[sentence].append((span, value))
    return tuple(tuple(sorted(spans)) for spans in chosen)


def _of_labels(tags: Sequence[str], labels: Sequence[str]) -> list[str]:
    return [tag if label_of(tag) in labels else "O" for tag in tags]


def _without_tokens(answers: Sequence[Answers], skipped: int) -> SequenceFit:
    sure = np.array([float(bool(given)) for given in answers], dtype=np.float64)
    none: tuple[tuple[str, ...], ...] = ((),) * len(answers)
    return SequenceFit(none, sure, ((),) * len(answers), skipped, None, _DECIDED)
