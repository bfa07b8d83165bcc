"""The answers of one task as tokens, and the text nearest to them by given weights."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from rapidfuzz.distance import Levenshtein

from marketplace.quality.consensus.texts_alignment import Codes, Column, align, vote
from marketplace.quality.consensus.texts_words import Glued, Token, gluing, join_keys, join_surfaces, read_text

MOST_CANDIDATES: Final = 24
"""How many answers of a task may become its backbone: the heaviest ones."""
_STARS: Final = 3


@dataclass(slots=True)
class TaskTexts:
    """A task's answers in the order of their workers; candidates and alignments are kept between iterations."""

    workers: list[int]
    tokens: list[list[Token]]
    codes: Codes
    answers: list[str]
    truth: str | None = None
    _distances: dict[str, list[int]] = field(default_factory=dict)
    _columns: dict[str, list[Column]] = field(default_factory=dict)
    _best: str | None = None
    _glued: Glued | None = None

    @property
    def lengths(self) -> list[int]:
        """How many tokens each answer has, at least one."""
        return [max(len(answer), 1) for answer in self.answers]

    def keys(self, text: str) -> str:
        """Return an encoded text in lower case without punctuation."""
        if self._glued is None:
            self._glued = gluing(self.tokens)
        return join_keys(self.codes.decode(text), self._glued)

    def distances(self, text: str) -> list[int]:
        """Return how many token edits each answer is from a text."""
        found = self._distances.get(text)
        if found is None:
            found = self._distances[text] = [Levenshtein.distance(text, answer) for answer in self.answers]
        return found

    def nearest(self, weights: Sequence[float]) -> str:
        """Return the truth where it is known, else the text with the least weighted distance to the answers.

        Candidates: the heaviest answers, what was nearest before, and what voting by alignment makes of either. So
        the weighted distance is never above that of the text found before.
        """
        if self.truth is not None:
            return self.truth
        if len(set(self.answers)) > 1:
            best = self._least(self._heaviest(weights), weights)
            best = self._least([best, *self._stars(best, weights)], weights)
            if self._best is not None and self._best != best:
                best = self._least([best, self._best, *self._stars(self._best, weights)], weights)
            self._best = best
        else:
            self._best = self.answers[0] if self.answers else ""
        return self._best

    def written(self, text: str, weights: Sequence[float]) -> str:
        """Return an encoded text as the weight of those who have a token there writes it."""
        writings: list[dict[Token, float]] = [{} for _ in text]
        for answer, tokens, weight in zip(self.answers, self.tokens, weights, strict=True):
            for block in Levenshtein.opcodes(text, answer):
                if block.tag == "equal":
                    for place, at in zip(
                        range(block.src_start, block.src_end), range(block.dest_start, block.dest_end), strict=True
                    ):
                        token = tokens[at]
                        writings[place][token] = writings[place].get(token, 0.0) + weight
        return join_surfaces(
            min(found, key=lambda token: (-round(found[token], 9), token)) if found else Token(key, key, glued=False)
            for found, key in zip(writings, self.codes.decode(text), strict=True)
        )

    def _heaviest(self, weights: Sequence[float]) -> list[str]:
        if len(self.answers) <= MOST_CANDIDATES:
            return self.answers
        order = sorted(range(len(self.answers)), key=lambda number: (-weights[number], self.answers[number]))
        return [self.answers[number] for number in order[:MOST_CANDIDATES]]

    def _least(self, candidates: Sequence[str], weights: Sequence[float]) -> str:
        """Return the candidate with the least weighted distance; ties to the first by its keys."""
        return min(dict.fromkeys(candidates), key=lambda text: (round(self._cost(text, weights), 9), text))

    def _cost(self, text: str, weights: Sequence[float]) -> float:
        return sum(weight * distance for weight, distance in zip(weights, self.distances(text), strict=True))

    def _stars(self, backbone: str, weights: Sequence[float]) -> list[str]:
        """Return what voting along a backbone gives, and along that, until it stays."""
        found: list[str] = []
        for _ in range(_STARS):
            columns = self._columns.get(backbone)
            if columns is None:
                columns = self._columns[backbone] = align(backbone, self.answers)
            outcome = "".join(vote(columns, weights))
            if outcome == backbone or outcome in found:
                break
            found.append(outcome)
            backbone = outcome
        return found


def read_tasks(answers: Sequence[Sequence[tuple[int, str]]], gold: Mapping[int, str]) -> list[TaskTexts]:
    """Return each task's texts as tokens; `gold` holds the true texts of tasks, by their number."""
    return [_read_task(given, gold.get(number)) for number, given in enumerate(answers)]


def _read_task(given: Sequence[tuple[int, str]], truth: str | None) -> TaskTexts:
    ordered = sorted(given)
    tokens = [read_text(text) for _, text in ordered]
    keys = [[token.key for token in found] for found in tokens]
    true_keys = None if truth is None else [token.key for token in read_text(truth)]
    codes = Codes([*keys, true_keys or []])
    encoded = [codes.encode(found) for found in keys]
    known = None if true_keys is None else codes.encode(true_keys)
    return TaskTexts([worker for worker, _ in ordered], tokens, codes, encoded, known)
