"""The engine's consensus of a set of crowd labels, whatever its kind: one call, labels in the spelling of the file."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cli.errors import CannotRunError
from cli.scenario.crowd_data import BARE, Codes, CrowdTable, DataKind, is_tags, tags_of
from marketplace.quality.consensus.choice.errors import VotesInvalid, VotesTooWide
from marketplace.quality.consensus.choice.fit import ChoiceFit, fit_choice
from marketplace.quality.consensus.choice.settings import ChoiceSettings
from marketplace.quality.consensus.choice.votes import Votes
from marketplace.quality.consensus.numeric import fit_numeric
from marketplace.quality.consensus.sequences import fit_sequences
from marketplace.quality.consensus.sequences_tags import spans_of
from marketplace.quality.consensus.sequences_tags import tags_of as bio_of
from marketplace.quality.consensus.texts import fit_texts

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Found:
    """Per task, in the order of the table's: the label (a number for measures, a text without case and punctuation,
    else as people write it), the probability that it is right, and for choices the class of the table's labels (-1 when
    there is none).
    """

    label: list[str | float]
    confidence: Floats
    code: npt.NDArray[np.intp] | None = None


def consensus(table: CrowdTable, kind: DataKind, *, gold: Mapping[int, int] | None = None, seed: int = 0) -> Found:
    """Return the engine's label for every task; `gold` holds, for choices, the class of some tasks.

    Raises:
        CannotRunError: the labels are not of the kind.
    """
    if kind is DataKind.CHOICE:
        return _choices(table.without_blanks(), gold, seed)
    if kind is DataKind.NUMERIC:
        return _numbers(table.only_numbers(), seed)
    if kind is DataKind.TEXT:
        texts = fit_texts([answers for _, answers in table.given()], seed=seed)
        return Found(list(texts.normalized), np.asarray(texts.confidence))
    return _tags(table, seed)


def fit_columns(
    task: Codes, worker: Codes, label: Codes, *, plain_iterations: int | None = None, seed: int = 0
) -> ChoiceFit:
    """Return the choice engine's fit of columns of codes; with `plain_iterations`, so many of plain Dawid–Skene."""
    sizes = (int(column.max()) + 1 for column in (task, worker, label))
    settings = (
        ChoiceSettings()
        if plain_iterations is None
        else ChoiceSettings("dawid_skene", iterations=plain_iterations, warmup=0, tolerance=0.0)
    )
    return fit_choice(Votes(task, worker, label, *sizes), settings=settings, seed=seed)


def fit_votes(table: CrowdTable, gold: Mapping[int, int] | None = None, seed: int = 0) -> ChoiceFit:
    """Return the choice engine's fit of a table of class names, with a posterior for each of its tasks."""
    votes = Votes(table.task, table.worker, table.label, len(table.tasks), len(table.workers), len(table.labels))
    known = None
    if gold:
        known = np.full(len(table.tasks), -1, dtype=np.int32)
        known[list(gold)] = list(gold.values())
    try:
        return fit_choice(votes, known, seed=seed)
    except (VotesInvalid, VotesTooWide) as error:
        raise CannotRunError(f"{table.name} cannot be judged as choices: {error}", "Another --kind?") from error


def _choices(table: CrowdTable, gold: Mapping[int, int] | None, seed: int) -> Found:
    fit = fit_votes(table, gold, seed)
    # a task that nobody answered has the class that most tasks have, and confidence 0
    code = np.where(fit.label >= 0, fit.label, fit.posterior.argmax(1))
    return Found([table.labels[one] for one in code], np.asarray(fit.confidence), np.asarray(code))


def _numbers(table: CrowdTable, seed: int) -> Found:
    values = table.numbers()
    fit = fit_numeric(table.task, table.worker, values, seed=seed)
    found, confidence = np.full(len(table.tasks), float(np.median(values))), np.zeros(len(table.tasks))
    answered = np.asarray(fit.tasks, dtype=np.intp)
    found[answered], confidence[answered] = fit.value, fit.confidence
    return Found(found.tolist(), confidence)


def _tags(table: CrowdTable, seed: int) -> Found:
    for label in table.labels:
        if label.strip() and not is_tags(label):
            raise CannotRunError(f"{table.name} has the label {label[:60]!r}, which is no BIO tags.", "Another --kind?")
    given = [[(who, said) for who, said in answers] for _, answers in table.given()]
    fit = fit_sequences([[(who, _bio(said, table)) for who, said in answers] for answers in given], seed=seed)
    # a task that nobody answered has no tags, and confidence 0
    spelled: list[str | float] = [
        _as_given(tags, [said for _, said in answers]) for tags, answers in zip(fit.tags, given, strict=True)
    ]
    return Found(spelled, np.asarray(fit.confidence))


def _bio(said: str, table: CrowdTable) -> list[str]:
    """Return the tags of a sequence; where the file has no B at all (IO), the first of each span becomes one."""
    tags = tags_of(said)
    return tags if table.begins else bio_of(spans_of(tags), len(tags))


def _as_given(tags: Sequence[str], answers: Sequence[str]) -> str:
    """Return tags as most answers with the same spans spell them (IOB1 and IO have other tags), else as BIO."""
    spans = spans_of(tags)
    alike = Counter(
        " ".join(answer.split())
        for answer in answers
        if len(own := tags_of(answer)) == len(tags) and spans_of(own) == spans
    )
    if alike:
        return min(alike, key=lambda one: (-alike[one], one))
    return " ".join(tag.removesuffix(BARE) for tag in tags)
