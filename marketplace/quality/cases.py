"""What a judgement rests on: the request's fixed rules, and the facts of one submission."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from sqlalchemy.dialects.postgresql import insert
from sqlmodel.ext.asyncio.session import AsyncSession

from marketplace.catalog.answers import AnswerValidator
from marketplace.catalog.models import DatasetRequest
from marketplace.catalog.queries import validator_of
from marketplace.catalog.schemas import QualityPlan
from marketplace.quality.gates import agreement
from marketplace.quality.gates.facts import Submission, Tally
from marketplace.quality.gates.runner import define_gates, parameters_of, version_of
from marketplace.quality.gold.trust import trusted_truths
from marketplace.quality.models import Consensus, GateSet, Verdict, WorkerGold
from marketplace.quality.queries import consensus_of, gate_set_of
from marketplace.quality.similarity import same
from marketplace.quality.spec import LabelSpec, read_spec
from marketplace.quality.states import ReasonCode
from marketplace.tasks.queries import ClaimSheet

OTHERS_NEEDED: Final = 2
"""How many accepted answers a label has that answers are held against, where the gate set does not say."""
_NAMED_PROBLEMS: Final = 10


@dataclass(frozen=True, slots=True)
class Rules:
    """What was fixed before the first claim: plan, gates, what an answer is, and the seed of all that is drawn."""

    plan: QualityPlan
    gates: GateSet
    validator: AnswerValidator
    spec: LabelSpec
    seed: int


async def fix_gates(session: AsyncSession, request: DatasetRequest) -> GateSet:
    """Return the gates of a request, writing them down the first time; later changes of the plan do not reach them."""
    gates = await gate_set_of(session, request.id)
    if gates is not None:
        return gates
    definition = define_gates(QualityPlan.model_validate(request.quality_plan), request.label_schema_version)
    fixed = {"request_id": request.id, "version": version_of(definition), "definition": definition}
    await session.execute(insert(GateSet).values(**fixed).on_conflict_do_nothing())
    return await session.get_one(GateSet, (request.id, fixed["version"]))


async def load_rules(session: AsyncSession, request_id: UUID) -> Rules:
    """Return the rules by which a request's work is judged."""
    request = await session.get_one(DatasetRequest, request_id)
    gates = await fix_gates(session, request)
    validator = await validator_of(session, request_id, gates.definition["label_schema_version"])
    plan = QualityPlan.model_validate(request.quality_plan)
    return Rules(plan, gates, validator, read_spec(validator.definition), request.seed)


async def gather_facts(
    session: AsyncSession, rules: Rules, sheet: ClaimSheet, record: WorkerGold, earlier: list[Verdict]
) -> Submission:
    """Measure a submission: what is missing, how long it took, and how it compares with gold and with others."""
    truths = await trusted_truths(session, sheet.claim.request_id)
    others = await consensus_of(session, sheet.claim.request_id, sheet.bundle.task_ids)
    invalid = _invalid(rules.validator, sheet)
    valid = {task: answer.value for task, answer in sheet.answers.items() if task not in invalid}
    gold = {task: value for task, value in valid.items() if task in sheet.gold_ids}
    return Submission(
        revision=sheet.claim.revision,
        tasks=len(sheet.task_ids),
        missing=len(set(sheet.task_ids) - sheet.answers.keys()),
        invalid=len(invalid),
        problems=list(invalid.values())[:_NAMED_PROBLEMS],
        elapsed_seconds=_elapsed(sheet, earlier),
        reported_seconds=tuple(answer.seconds for answer in sheet.answers.values()),
        gold=_compare(rules.spec, gold, {task: truths[task] for task in gold if task in truths}),
        earlier_gold=_earlier_gold(earlier),
        gold_record=Tally(record.right, record.seen),
        agreement=_compare(rules.spec, valid, _comparable(others, rules.gates)),
        agreement_record=Tally(record.agreed, record.compared),
    )


def _invalid(validator: AnswerValidator, sheet: ClaimSheet) -> dict[UUID, str]:
    """Return why answers are refused, by task; the reasons name the member, never the task, which may be gold."""
    refused: dict[UUID, str] = {}
    for task, answer in sheet.answers.items():
        problems = validator.validate(answer.value)
        if problems:
            refused[task] = f"{problems[0].field or 'answer'}: {problems[0].reason}"
    return refused


def _elapsed(sheet: ClaimSheet, earlier: list[Verdict]) -> float:
    """Return the seconds on the server's clock; after "too fast" only the time since then shows more care."""
    since = sheet.claim.created_at
    if earlier and earlier[-1].reason_code is ReasonCode.TOO_FAST:
        since = earlier[-1].created_at
    until = sheet.claim.submitted_at or since
    return (until - since).total_seconds()


def _comparable(others: Mapping[UUID, Consensus], gates: GateSet) -> dict[UUID, Any]:
    """Return the labels that answers are held against: of enough answers, and sure by their calibrated confidence.

    They were made of accepted work, so that what is judged now is not among it.
    """
    asked = parameters_of(gates.definition, agreement.NAME)
    if asked is None:
        return {}
    answers, confidence = int(asked.get("others", OTHERS_NEEDED)), float(asked.get("confidence", 0.0))
    return {task: row.value for task, row in others.items() if row.answers >= answers and row.confidence >= confidence}


def _compare(spec: LabelSpec, given: Mapping[UUID, Any], right: Mapping[UUID, Any]) -> Tally:
    common = given.keys() & right.keys()
    hits = sum(same(spec, spec.main(given[task]), spec.main(right[task])) for task in common)
    return Tally(hits, len(common))


def _earlier_gold(earlier: list[Verdict]) -> Tally:
    tally = Tally()
    for verdict in earlier:
        for row in verdict.evidence["gates"]:
            if row["gate"] == "gold_accuracy":
                tally += Tally(row["right"], row["seen"])
    return tally
