"""Tag sequences as numbers: BIO tags to codes and back, and sentences packed so that all advance together.

Codes: 0 is O; label number x has B as 2x+1 and I as 2x+2. Packed: sentences stand longest first, and the tokens at one
position of all sentences that reach it stand side by side, so that a step over all sentences is one slice.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from marketplace.core.errors import Invalid

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Answers = Sequence[tuple[int, Sequence[str]]]
Span = tuple[int, int, str]


class NotTags(Invalid):
    """A tag sequence is made of O, and of B- and I- followed by a label."""

    code = "not_bio_tags"


class TagCodes:
    """The labels of a set of sequences, in their order, and the codes of their tags."""

    def __init__(self, labels: Sequence[str]) -> None:
        self.labels = tuple(sorted(set(labels)))
        self.tags = ("O", *(f"{part}-{label}" for label in self.labels for part in "BI"))
        self._codes = {tag: code for code, tag in enumerate(self.tags)}

    @property
    def count(self) -> int:
        """How many tags there are."""
        return len(self.tags)

    def encode(self, tags: Sequence[str]) -> Ints:
        """Return the codes of tags."""
        return np.array([self._codes[tag] for tag in tags], dtype=np.int64)


def label_of(tag: str) -> str:
    """Return a tag's label, "" for O; raises NotTags for what is no tag."""
    if tag == "O":
        return ""
    if len(tag) < 3 or tag[:2] not in {"B-", "I-"}:
        raise NotTags(f"{tag!r} is no BIO tag: give O, B-label or I-label.")
    return tag[2:]


def spans_of(tags: Sequence[str]) -> list[Span]:
    """Return the (start, end, label) of tags, end exclusive; an I without its B opens a span, as in CoNLL's scorer."""
    found: list[Span] = []
    start, label = 0, ""
    for place, tag in enumerate([*tags, "O"]):
        own = label_of(tag)
        if label and (own != label or tag[0] == "B"):
            found.append((start, place, label))
            label = ""
        if own and not label:
            start, label = place, own
    return found


def tags_of(spans: Sequence[Span], length: int) -> list[str]:
    """Return the tags of spans that do not overlap."""
    tags = ["O"] * length
    for start, end, label in spans:
        tags[start:end] = [f"B-{label}", *[f"I-{label}"] * (end - start - 1)]
    return tags


def of_one_length(answers: Answers) -> tuple[int, list[tuple[int, Sequence[str]]]]:
    """Return the length most answers of a sentence have (ties: the longer), and the answers that have it, in order."""
    lengths = Counter(len(tags) for _, tags in answers)
    length = max(lengths, key=lambda one: (lengths[one], one), default=0)
    return length, sorted((worker, tuple(tags)) for worker, tags in answers if len(tags) == length)


@dataclass(frozen=True, slots=True)
class Packed:
    """Sentences and their annotations: one row for each tag a worker gave, in the order of tokens, then workers.

    `rank` is a sentence's place among the packed, `width[t]` how many sentences have a token t, `offset[t]` where
    those tokens start. A row's `before` is the tag that the worker gave to the token before (O at the start).
    """

    lengths: Ints
    rank: Ints
    width: Ints
    offset: Ints
    token: Ints
    worker: Ints
    tag: Ints
    before: Ints

    @property
    def tokens(self) -> int:
        """How many tokens there are."""
        return int(self.offset[-1])

    @property
    def count(self) -> int:
        """How many sentences have a token."""
        return int(self.width[0]) if len(self.width) else 0

    def steps(self) -> list[tuple[slice, slice | None]]:
        """Return for each position where its tokens stand, and where the tokens before them do (at first none)."""
        found: list[tuple[slice, slice | None]] = []
        for position, width in enumerate(self.width):
            start = int(self.offset[position])
            before = int(self.offset[position - 1]) if position else 0
            found.append((slice(start, start + width), slice(before, before + width) if position else None))
        return found

    def places(self, sentence: int) -> Ints:
        """Return where the tokens of a sentence stand."""
        return np.asarray(self.offset[: self.lengths[sentence]] + self.rank[sentence], dtype=np.int64)


def pack(lengths: Sequence[int], answers: Sequence[Answers], codes: TagCodes) -> Packed:
    """Pack sentences of these lengths with answers of the same lengths."""
    size = np.array(lengths, dtype=np.int64)
    order = np.argsort(-size, kind="stable")
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    longest = int(size.max(initial=0))
    width = np.bincount(size, minlength=longest + 1)[::-1].cumsum()[::-1][1:]
    offset = np.concatenate([[0], np.cumsum(width)]).astype(np.int64)
    rows: list[Ints] = []
    for sentence, given in enumerate(answers):
        places = offset[: size[sentence]] + rank[sentence]
        for worker, tags in given:
            tag = codes.encode(tags)
            before = np.concatenate([[0], tag[:-1]])[: len(tag)]
            rows.append(np.stack([places, np.full_like(tag, worker), tag, before]))
    table = np.concatenate(rows, axis=1) if rows else np.zeros((4, 0), dtype=np.int64)
    table = table[:, np.lexsort((table[3], table[2], table[1], table[0]))]
    return Packed(size, rank, width.astype(np.int64), offset, table[0], table[1], table[2], table[3])
