"""The evidence as a file: JSON Lines, one object a line, `line` says of which kind. Equal evidence gives equal bytes.

========  ===========================================================================================================
line      members
========  ===========================================================================================================
request   what was asked and by which rules (evidence.Header); the first line
worker    `name`; the order of these lines is the order of workers in a fit
item      `id`, and `truth` of gold, `label`, `confidence`, `done`, where there are any
answer    `item`, `worker`, `claim` (a number), `revision`, `value`, `seconds`, `counts` (the labels are made of it);
          a model's has the claim -1
verdict   evidence.Verdict
appeal    evidence.Appeal
sample    evidence.Sampling
review    evidence.Review
model     evidence.Model
report    `report`: the quality report itself, as it was stored; the last line
========  ===========================================================================================================
"""

from collections.abc import Iterable, Iterator
from typing import Any, Final
from uuid import UUID

import msgspec

from marketplace.quality.delivery_report.evidence import (
    NONE,
    Appeal,
    Builder,
    Evidence,
    Header,
    Model,
    Review,
    Sampling,
    Verdict,
)

_TYPED: Final[dict[str, Any]] = {
    "request": Header, "verdict": Verdict, "appeal": Appeal, "review": Review, "sample": Sampling, "model": Model,
}  # fmt: skip


class EvidenceBroken(ValueError):
    """The file is no evidence of a delivery; the message says on which line, and why."""


def lines_of(evidence: Evidence, report: dict[str, Any] | None) -> Iterator[dict[str, Any]]:
    """Yield the objects of the file in their fixed order."""
    yield msgspec.to_builtins(evidence.header)
    for name in evidence.workers:
        yield {"line": "worker", "name": name}
    yield from _items(evidence)
    yield from _answers(evidence)
    several: list[Iterable[Any]] = [evidence.verdicts, evidence.appeals, evidence.reviews]
    for some in several:
        yield from (msgspec.to_builtins(one) for one in some)
    for one in (evidence.sampling, evidence.model):
        if one is not None:
            yield msgspec.to_builtins(one)
    if report is not None:
        yield {"line": "report", "report": report}


def _items(evidence: Evidence) -> Iterator[dict[str, Any]]:
    items, values = evidence.items, evidence.values
    for place, item in enumerate(items.ids):
        row: dict[str, Any] = {"line": "item", "id": str(item)}
        if items.truth[place] != NONE:
            row["truth"] = values[items.truth[place]]
        if items.label[place] != NONE:
            row |= {"label": values[items.label[place]], "confidence": float(items.confidence[place])}
        if items.done[place]:
            row["done"] = True
        yield row


def _answers(evidence: Evidence) -> Iterator[dict[str, Any]]:
    answers = evidence.answers
    columns = zip(
        answers.item.tolist(), answers.worker.tolist(), answers.claim.tolist(), answers.revision.tolist(),
        answers.value.tolist(), answers.seconds.tolist(), answers.counts.tolist(), strict=True,
    )  # fmt: skip
    for item, worker, claim, revision, value, seconds, counts in columns:
        yield {
            "line": "answer", "item": str(evidence.items.ids[item]), "worker": evidence.workers[worker],
            "claim": claim, "revision": revision, "value": evidence.values[value], "seconds": seconds, "counts": counts,
        }  # fmt: skip


def read_evidence(lines: Iterable[bytes]) -> tuple[Evidence, dict[str, Any] | None]:
    """Return the evidence in these lines, and the report that stands with it.

    Raises:
        EvidenceBroken: a line is none of the above, or names an item or worker that no line before it has.
    """
    builder = Builder()
    report: dict[str, Any] | None = None
    for number, line in enumerate(lines, start=1):
        try:
            row = msgspec.json.decode(line)
            if row["line"] == "report":
                report = dict(row["report"])
            else:
                _take(builder, row)
        except (msgspec.MsgspecError, KeyError, TypeError, ValueError, AttributeError) as error:
            raise EvidenceBroken(f"line {number}: {type(error).__name__}: {error}") from error
    try:
        return builder.build(), report
    except ValueError as error:
        raise EvidenceBroken(str(error)) from error


def _take(builder: Builder, row: dict[str, Any]) -> None:
    match row["line"]:
        case "worker":
            builder.add_worker(row["name"])
        case "item":
            builder.add_item(UUID(row["id"]), row)
        case "answer":
            builder.add_answer(UUID(row["item"]), row["worker"], row)
        case kind:
            _put(builder, msgspec.convert(row, _TYPED[kind]))


def _put(builder: Builder, row: Header | Verdict | Appeal | Review | Sampling | Model) -> None:
    match row:
        case Header():
            builder.header = row
        case Verdict():
            builder.verdicts.append(row)
        case Appeal():
            builder.appeals.append(row)
        case Review():
            builder.reviews.append(row)
        case Sampling():
            builder.sampling = row
        case Model():
            builder.model = row
