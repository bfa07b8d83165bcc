"""Consensus of tag sequences (named entities and other spans of tokens): BIO tags of several workers a sentence.

The probability that a span is an entity follows exactly from the chain (`sequences_chain`): that it begins here with
this label, goes on, and ends there. Spans are kept from the threshold on that makes the expected F1 greatest, which is
half of the F1 it reaches (Lipton et al., ECML 2014), rather than by the most probable tags, which miss what few marked.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from marketplace.quality.consensus.engine import Convergence
from marketplace.quality.consensus.sequences_chain import Chain, fit_chain
from marketplace.quality.consensus.sequences_tags import (
    Answers,
    Floats,
    Ints,
    Packed,
    Span,
    TagCodes,
    label_of,
    of_one_length,
    pack,
    tags_of,
)

LONGEST_SPAN: Final = 64
"""Tokens an entity may have."""
LEAST_PROBABILITY: Final = 0.02
"""Spans less probable than this are not looked at."""
LOWEST_THRESHOLD: Final = 0.2
HIGHEST_THRESHOLD: Final = 0.5


@dataclass(frozen=True, slots=True)
class SequenceFit:
    """Tags by sentence, valid BIO; `spans` with the probability of each; `confidence` that all tags are right.

    A sentence without answers has no tags and confidence 0. `skipped` counts answers of another length than most of
    their sentence's, which say nothing here; `threshold` is the probability from which on spans were kept.
    """

    tags: tuple[tuple[str, ...], ...]
    confidence: Floats
    spans: tuple[tuple[tuple[Span, float], ...], ...]
    skipped: int
    threshold: float
    record: Convergence


@dataclass(frozen=True, slots=True)
class Candidates:
    """Possible spans: sentence, start, end (exclusive), label number, probability."""

    sentence: Ints
    start: Ints
    end: Ints
    label: Ints
    probability: Floats


def fit_sequences(answers: Sequence[Answers], *, seed: int = 0) -> SequenceFit:
    """Return the consensus of each sentence's (worker number, tags); nothing is drawn, `seed` is for the interface.

    Raises:
        NotTags: a tag is neither O nor B- or I- with a label.
    """
    del seed
    shaped = [of_one_length(given) for given in answers]
    skipped = sum(map(len, answers)) - sum(len(given) for _, given in shaped)
    codes = TagCodes([label for _, given in shaped for _, tags in given for tag in tags if (label := label_of(tag))])
    packed = pack([length for length, _ in shaped], [given for _, given in shaped], codes)
    if not packed.tokens:
        empty: tuple[tuple[str, ...], ...] = ((),) * len(answers)
        sure = np.array([float(bool(given)) for given in answers], dtype=np.float64)
        return SequenceFit(empty, sure, ((),) * len(answers), skipped, 0.5, Convergence("chain", 0, True, ()))
    found = fit_chain(packed, codes.count, int(packed.worker.max()) + 1)
    candidates = span_probabilities(packed, found.chain)
    threshold = best_threshold(candidates.probability)
    kept = choose_spans(packed, candidates, threshold, codes)
    tags = tuple(
        tuple(tags_of([span for span, _ in spans], int(length)))
        for spans, length in zip(kept, packed.lengths, strict=True)
    )
    confidence = _confidence(packed, found.chain, tags, codes) * np.array([bool(given) for given in answers])
    record = Convergence("chain", len(found.bound), found.converged, found.bound)
    return SequenceFit(tags, confidence, kept, skipped, threshold, record)


def span_probabilities(packed: Packed, chain: Chain) -> Candidates:
    """Return each span's probability: begin × go on × … × end, by the posterior chain P(tag | tag before, all seen)."""
    following = _following(packed)
    begin, inside = np.arange(1, chain.step.shape[0], 2), np.arange(2, chain.step.shape[0], 2)
    coming = (chain.seen * chain.after / chain.scale[:, None])[:, inside]
    sentence, position = _where(packed)
    at, label = (grid.ravel() for grid in np.meshgrid(np.arange(packed.tokens), np.arange(len(begin)), indexing="ij"))
    start, probability, tag = at, chain.posterior[:, begin].ravel(), begin
    parts: list[tuple[Ints, Ints, Ints, Floats]] = []
    for length in range(1, LONGEST_SPAN + 1):
        kept = probability > LEAST_PROBABILITY
        at, start, label, probability = at[kept], start[kept], label[kept], probability[kept]
        if not len(at):
            break
        after = following[at]
        odds = chain.step[tag[label], inside[label]] * coming[after, label] / chain.after[at, tag[label]]
        goes_on = np.where(after >= 0, np.minimum(odds, 1.0), 0.0)
        parts.append((start, np.full_like(start, length), label, probability * (1 - goes_on)))
        at, probability, tag = after, probability * goes_on, inside
    start, lengths, label, probability = (
        (np.concatenate(part) for part in zip(*parts, strict=True))
        if parts
        else (np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64), np.zeros(0))
    )
    return Candidates(sentence[start], position[start], position[start] + lengths, label, probability)


def best_threshold(probability: Floats) -> float:
    """Return the probability from which on keeping spans makes expected F1 greatest: half of that F1."""
    if not len(probability):
        return HIGHEST_THRESHOLD
    hits = np.cumsum(np.sort(probability)[::-1])
    expected = 2 * hits / (np.arange(1, len(hits) + 1) + hits[-1])
    return float(np.clip(expected.max() / 2, LOWEST_THRESHOLD, HIGHEST_THRESHOLD))


def choose_spans(
    packed: Packed, candidates: Candidates, threshold: float, codes: TagCodes
) -> tuple[tuple[tuple[Span, float], ...], ...]:
    """Return the spans of each sentence, most probable first taken, each where nothing is taken yet."""
    kept = np.flatnonzero(candidates.probability >= threshold)
    order = kept[
        np.lexsort((candidates.label[kept], candidates.start[kept], -np.round(candidates.probability[kept], 12)))
    ]
    taken = [np.zeros(length, dtype=np.bool_) for length in packed.lengths]
    chosen: list[list[tuple[Span, float]]] = [[] for _ in packed.lengths]
    for index in order:
        sentence, start, end = (int(part[index]) for part in (candidates.sentence, candidates.start, candidates.end))
        if not taken[sentence][start:end].any():
            taken[sentence][start:end] = True
            span = (start, end, codes.labels[candidates.label[index]])
            chosen[sentence].append((span, float(candidates.probability[index])))
    return tuple(tuple(sorted(spans)) for spans in chosen)


def _following(packed: Packed) -> Ints:
    """Return where the next token of the sentence stands, −1 at its end."""
    found = np.full(packed.tokens, -1, dtype=np.int64)
    for here, before in packed.steps():
        if before is not None:
            found[before] = np.arange(here.start, here.stop)
    return found


def _where(packed: Packed) -> tuple[Ints, Ints]:
    """Return the sentence and the position of each token."""
    sentence, position = np.empty(packed.tokens, dtype=np.int64), np.empty(packed.tokens, dtype=np.int64)
    by_rank = np.argsort(packed.rank)
    for number, (here, _) in enumerate(packed.steps()):
        sentence[here] = by_rank[: here.stop - here.start]
        position[here] = number
    return sentence, position


def _confidence(packed: Packed, chain: Chain, tags: Sequence[Sequence[str]], codes: TagCodes) -> Floats:
    """Return the probability of each whole sequence under the chain's posterior; 1 for a sentence without tokens."""
    sure = np.ones(len(tags))
    for sentence, given in enumerate(tags):
        if given:
            code, places = codes.encode(given), packed.places(sentence)
            value = chain.posterior[places[0], code[0]]
            coming = chain.seen[places, code] * chain.after[places, code] / chain.scale[places]
            moved = chain.step[code[:-1], code[1:]] * coming[1:] / chain.after[places[:-1], code[:-1]]
            sure[sentence] = float(np.clip(value * np.prod(np.minimum(moved, 1.0)), 0.0, 1.0))
    return sure
