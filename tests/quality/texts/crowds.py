"""Made-up crowds with known truth: transcripts, and named entities."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from marketplace.quality.consensus.sequences_tags import spans_of, tags_of

LABELS = ("LOC", "MISC", "ORG", "PER")
WORDS = tuple(f"{a}{b}{c}" for a in "bdkmst" for b in "aeiou" for c in "lnrt")


def transcripts(
    tasks: int, seed: int, workers: int = 12, each: int = 5
) -> tuple[list[list[tuple[int, str]]], list[str]]:
    """Workers of very different error rates who drop, replace and repeat words."""
    random = np.random.default_rng(seed)
    rate = random.choice([0.08, 0.2, 0.6], size=workers)
    truth = [" ".join(random.choice(WORDS, size=int(random.integers(5, 20)))) for _ in range(tasks)]
    answers = []
    for text in truth:
        row = []
        for worker in random.choice(workers, size=each, replace=False):
            heard: list[str] = []
            for word in text.split():
                slip = random.random() / rate[worker]
                if slip < 0.4:
                    continue
                heard += [str(random.choice(WORDS))] if slip < 0.8 else [word, word] if slip < 1 else [word]
            row.append((int(worker), " ".join(heard).capitalize() + "."))
        answers.append(row)
    return answers, truth


def entities(sentences: int, seed: int, workers: int = 20) -> tuple[list[list[tuple[int, list[str]]]], list[list[str]]]:
    """Workers who overlook many entities (hard ones together), misname some, cut some wrongly; one marks nothing."""
    random = np.random.default_rng(seed)
    recall = random.beta(2.0, 1.2, size=workers)
    recall[0] = 0.001
    names, cuts = random.beta(1.0, 6.0, size=workers), random.beta(0.8, 6.0, size=workers)
    answers, truth = [], []
    for _ in range(sentences):
        length = int(random.integers(4, 25))
        found, place = [], 0
        while place < length:
            if random.random() < 0.15:
                end = min(length, place + int(random.geometric(0.65)))
                found.append((place, end, LABELS[int(random.choice(4, p=[0.3, 0.15, 0.27, 0.28]))]))
                place = end
            place += 1
        hard = random.normal(0, 1.3, size=len(found))
        wrong = random.choice(LABELS, size=len(found))
        row = []
        for worker in random.choice(workers, size=int(random.integers(3, 6)), replace=False):
            odds = np.log(recall[worker] / (1 - recall[worker])) + hard
            marked = []
            for (start, end, label), seen, other in zip(found, odds, wrong, strict=True):
                if random.random() < 1 / (1 + np.exp(-seen)):
                    own = str(other) if random.random() < names[worker] else label
                    last = end - 1 if end - start > 1 and random.random() < cuts[worker] else end
                    marked.append((start, last, own))
            row.append((int(worker), tags_of(marked, length)))
        answers.append(row)
        truth.append(tags_of(found, length))
    return answers, truth


def slips(
    sentences: int, seed: int, workers: int, rate: float, *, at_the_end: bool
) -> tuple[list[list[tuple[int, list[str]]]], list[list[str]]]:
    """One PER of two tokens a sentence, found by all; where is none, some mark a LOC (the last token, or any)."""
    random = np.random.default_rng(seed)
    answers, truth = [], []
    for _ in range(sentences):
        length, place = int(random.integers(5, 10)), int(random.integers(3))
        true = tags_of([(place, place + 2, "PER")], length)
        row = []
        for worker in random.choice(workers, size=4, replace=False):
            tags = list(true)
            for token in range(length - 1 if at_the_end else 0, length):
                if true[token] == "O" and random.random() < rate:
                    tags[token] = "B-LOC"
            row.append((int(worker), tags))
        answers.append(row)
        truth.append(true)
    return answers, truth


def majority(answers: Sequence[Sequence[tuple[int, list[str]]]]) -> list[list[str]]:
    """The most frequent tag of each token."""
    columns = (zip(*(tags for _, tags in row), strict=True) for row in answers)
    return [[Counter(column).most_common(1)[0][0] for column in found] for found in columns]


def entity_f1(found: Sequence[Sequence[str]], truth: Sequence[Sequence[str]]) -> float:
    """Strict F1."""
    pairs = [(set(spans_of(one)), set(spans_of(other))) for one, other in zip(found, truth, strict=True)]
    return 2 * sum(len(a & b) for a, b in pairs) / max(sum(len(a) + len(b) for a, b in pairs), 1)
