"""Spans of text by character offsets, as the market asks for them: cut into pieces, then tagged as sequences.

All edges that anyone drew in a text cut it into pieces, which are the tokens of `sequences`; so each possible reading
of the answers can be written, and none that nobody drew. Where an answer's spans overlap, each label of that text is a
sequence of its own.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, Final, NamedTuple
from uuid import UUID

import numpy as np

from marketplace.quality.consensus.engine import AnswerRow, Learned, TaskConsensus, WorkerSkill
from marketplace.quality.consensus.numbered import Numbered, number_rows, skill_of
from marketplace.quality.consensus.sequences import SequenceFit, fit_sequences, tag_sequences
from marketplace.quality.consensus.sequences_store import read_tagging, stored_tagging
from marketplace.quality.consensus.texts import PRIOR_ANSWERS, PRIOR_SKILL, agreement_confidence
from marketplace.quality.similarity import same
from marketplace.quality.spec import LabelSpec

GOLD_WEIGHT: Final = 3
"""How many answers of a worker of its own the known truth of a task counts as."""
Drawn = list[Mapping[str, Any]]


class Pieces(NamedTuple):
    """A text as pieces: the task's number, the edges between pieces, and each worker's tags."""

    task: int
    edges: tuple[int, ...]
    tags: list[tuple[int, list[str]]]


class SpansModel:
    """Spans with labels: who finds, names and cuts them how, and the spans that expect the best F1."""

    def fit(self, spec: LabelSpec, answers: Sequence[AnswerRow], gold: Mapping[UUID, Any], seed: int) -> Learned:
        """Learn each worker's confusions; a known truth joins as answers of a worker of its own, who learns too."""
        numbered = number_rows(spec, answers)
        known = numbered.known(spec, gold)
        truth = len(numbered.workers)
        rows = [
            [*row, *([(truth, known[number])] * GOLD_WEIGHT if number in known else [])]
            for number, row in enumerate(numbered.rows)
        ]
        pieces = [piece for number, row in enumerate(rows) for piece in cut(number, row)]
        found = fit_sequences([piece.tags for piece in pieces], seed=seed)
        drawn = _drawn(pieces, found, len(rows))
        values = {number: known.get(number, [span for span, _ in spans]) for number, spans in enumerate(drawn)}
        skills = _skills(spec, numbered, values, known)
        return Learned(skills, stored_tagging(found.tagging, numbered.workers), found.record)

    def consolidate(
        self, spec: LabelSpec, answers: Sequence[AnswerRow], learned: Learned, seed: int
    ) -> list[TaskConsensus]:
        """Return each task's spans; `distribution` has the share that agrees and each span's own probability."""
        numbered = number_rows(spec, answers)
        pieces = [piece for number, row in enumerate(numbered.rows) for piece in cut(number, row)]
        tagging = read_tagging(learned.parameters, numbered.workers)
        tags = [piece.tags for piece in pieces]
        found = fit_sequences(tags, seed=seed) if tagging is None else tag_sequences(tags, tagging)
        drawn = _drawn(pieces, found, len(numbered.rows))
        return [_consensus(spec, numbered, number, spans, learned.workers) for number, spans in enumerate(drawn)]


def cut(task: int, row: Sequence[tuple[int, Drawn]]) -> list[Pieces]:
    """Return a task's answers as tags of pieces: one sequence, or one a label where spans of an answer overlap."""
    labels = sorted({span["label"] for _, spans in row for span in spans})
    groups = [[label] for label in labels] if any(_overlapping(spans) for _, spans in row) else [labels]
    found: list[Pieces] = []
    for group in groups:
        own = [(worker, [span for span in spans if span["label"] in group]) for worker, spans in row]
        edges = tuple(sorted({span[end] for _, spans in own for span in spans for end in ("start", "end")})) or (0, 0)
        place = {edge: number for number, edge in enumerate(edges)}
        found.append(Pieces(task, edges, [(worker, _tags(spans, place)) for worker, spans in own]))
    return found


def _overlapping(spans: Drawn) -> bool:
    ordered = sorted((span["start"], span["end"]) for span in spans)
    return any(one[1] > other[0] for one, other in pairwise(ordered))


def _tags(spans: Drawn, place: Mapping[int, int]) -> list[str]:
    """Return the tags of spans; of two that overlap the first and longer one counts."""
    tags = ["O"] * max(len(place) - 1, 1)
    for span in sorted(spans, key=lambda one: (one["start"], -one["end"], one["label"])):
        start, end = place[span["start"]], place[span["end"]]
        if start < end and all(tag == "O" for tag in tags[start:end]):
            tags[start:end] = [f"B-{span['label']}", *[f"I-{span['label']}"] * (end - start - 1)]
    return tags


def _drawn(pieces: Sequence[Pieces], found: SequenceFit, tasks: int) -> list[list[tuple[dict[str, Any], float]]]:
    """Return the spans of each task by character offsets, with their probabilities, in order."""
    drawn: list[list[tuple[dict[str, Any], float]]] = [[] for _ in range(tasks)]
    for piece, spans in zip(pieces, found.spans, strict=True):
        for (start, end, label), value in spans:
            span = {"start": piece.edges[start], "end": piece.edges[end], "label": label}
            drawn[piece.task].append((span, value))
    for own in drawn:
        own.sort(key=lambda pair: (pair[0]["start"], pair[0]["end"], pair[0]["label"]))
    return drawn


def _skills(
    spec: LabelSpec, numbered: Numbered, values: Mapping[int, Drawn], known: Mapping[int, Any]
) -> dict[UUID, WorkerSkill]:
    agreed, seen = np.zeros(len(numbered.workers)), np.zeros(len(numbered.workers))
    for number, row in enumerate(numbered.rows):
        if len(row) > 1 or number in known:
            for worker, spans in row:
                agreed[worker] += same(spec, spans, values[number])
                seen[worker] += 1
    given, gold = numbered.counts(known)
    return {
        worker: skill_of(
            float(agreed[number]) + PRIOR_ANSWERS * PRIOR_SKILL,
            float(seen[number] - agreed[number]) + PRIOR_ANSWERS * (1 - PRIOR_SKILL),
            given[number],
            gold[number],
        )
        for number, worker in enumerate(numbered.workers)
    }


def _consensus(
    spec: LabelSpec,
    numbered: Numbered,
    number: int,
    spans: Sequence[tuple[dict[str, Any], float]],
    skills: Mapping[UUID, WorkerSkill],
) -> TaskConsensus:
    row, value = numbered.rows[number], [span for span, _ in spans]
    agrees = [same(spec, answer, value) for _, answer in row]
    names = [numbered.workers[worker] for worker, _ in row]
    share = [skills[name].accuracy if name in skills else PRIOR_SKILL for name in names]
    measures = {"agreeing": sum(one for one, agreed in zip(share, agrees, strict=True) if agreed) / sum(share)}
    measures |= {f"{span['label']}:{span['start']}-{span['end']}": round(chance, 4) for span, chance in spans}
    confidence = agreement_confidence(agrees, share)
    return TaskConsensus(numbered.tasks[number], spec.answer(value), confidence, measures, len(row))
