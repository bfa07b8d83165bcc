"""What a chain of tags says of spans: the probability of each, and of a whole sequence."""

from collections.abc import Sequence
from typing import Final

import numpy as np

from marketplace.quality.consensus.sequences_chain import Chain
from marketplace.quality.consensus.sequences_tags import Floats, Ints, Packed, Span, TagCodes

LONGEST_SPAN: Final = 64
"""Tokens an entity may have."""
LEAST_PROBABILITY: Final = 0.02
"""Spans less probable than this are not looked at."""


def span_probabilities(packed: Packed, chain: Chain, codes: TagCodes) -> dict[tuple[int, Span], float]:
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
    found: dict[tuple[int, Span], float] = {}
    for part in parts:
        for first, length, label_number, value in zip(*(column.tolist() for column in part), strict=True):
            place = int(position[first])
            found[int(sentence[first]), (place, place + length, codes.labels[label_number])] = value
    return found


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


def sequence_confidence(packed: Packed, chain: Chain, tags: Sequence[Sequence[str]], codes: TagCodes) -> Floats:
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
