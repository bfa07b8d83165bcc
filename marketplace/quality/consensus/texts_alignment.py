"""Voting by alignment: answers laid against a backbone token by token, and each column decided by weight.

The scheme of ROVER (Fiscus, ASRU 1997) as a star: every answer is aligned to one backbone by Levenshtein operations
instead of into a growing lattice, and the outcome becomes the next backbone. Texts are strings of token codes.
"""

from collections.abc import Sequence
from itertools import chain
from typing import Final

from rapidfuzz.distance import Levenshtein

NOTHING: Final = ""
Column = tuple[str, ...]
"""What each answer has at one place: the code of a token, or nothing."""


class Codes:
    """Codes of tokens, one character each, in the order of their keys: comparing codes is comparing keys."""

    def __init__(self, texts: Sequence[Sequence[str]]) -> None:
        self.keys = sorted(set(chain.from_iterable(texts)))
        self._code = {key: chr(index) for index, key in enumerate(self.keys)}

    def encode(self, keys: Sequence[str]) -> str:
        """Return a text's keys as codes."""
        return "".join(map(self._code.__getitem__, keys))

    def decode(self, codes: str) -> list[str]:
        """Return the keys of codes."""
        return [self.keys[ord(code)] for code in codes]


def align(backbone: str, answers: Sequence[str]) -> list[Column]:
    """Return the columns of the answers laid against the backbone, in reading order.

    Tokens inserted before the same token of the backbone stand in common columns, first with first.
    """
    count, length = len(answers), len(backbone)
    placed = [[NOTHING] * count for _ in range(length)]
    inserted: list[dict[int, str]] = [{} for _ in range(length + 1)]
    for number, answer in enumerate(answers):
        for block in Levenshtein.opcodes(backbone, answer):
            found = answer[block.dest_start : block.dest_end]
            if block.tag == "insert":
                inserted[block.src_start][number] = found
            elif block.tag != "delete":
                for place, code in enumerate(found, block.src_start):
                    placed[place][number] = code
    columns: list[Column] = []
    for place, more in enumerate(inserted):
        deepest = max(map(len, more.values()), default=0)
        columns += [tuple(more.get(number, "")[at : at + 1] for number in range(count)) for at in range(deepest)]
        if place < length:
            columns.append(tuple(placed[place]))
    return columns


def vote(columns: Sequence[Column], weights: Sequence[float]) -> list[str]:
    """Return what the most weight has in each column, maybe nothing; ties to nothing, then to the first key."""
    return [column[0] if len(set(column)) == 1 else _heaviest(column, weights) for column in columns]


def _heaviest(column: Column, weights: Sequence[float]) -> str:
    support: dict[str, float] = {}
    for code, weight in zip(column, weights, strict=True):
        support[code] = support.get(code, 0.0) + weight
    return min(support, key=lambda code: (-round(support[code], 9), code))
