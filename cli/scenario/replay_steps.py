"""A replay step by step: the request, reserved seats for each real worker, their real labels, the end."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID, uuid4

from sqlalchemy import text

from cli.scenario.client import RefusedError
from cli.scenario.crowd_labels import CrowdLabels, Given, answer_of, label_schema
from cli.scenario.delivery import top_up
from cli.scenario.market import bid, contract_of, in_seconds, upload, wait_for_state, wait_until
from cli.scenario.people import Person
from marketplace.catalog.states import LabelKind
from marketplace.core.db import Database
from marketplace.core.money import PRICE_SCALE

CURRENCY: Final = "CNY"
PRICE_MINOR: Final = 5  # an answer
BUNDLE_TASKS: Final = 20
BID_SECONDS: Final = 4.0
DAY: Final = 86_400.0
# so sure no consensus is before all labels are in
NEVER_SURE: Final = 0.999999999
JUDGED_SECONDS: Final = 900.0
AT_ONCE: Final = 24
GUIDELINE_VERSION: Final = 1
Tell = Callable[[], None]


@dataclass(frozen=True)
class Replay:
    """What is replayed: a set of labels of one kind, under a name, in a language."""

    name: str
    kind: LabelKind
    labels: CrowdLabels
    language: str

    @property
    def budget_minor(self) -> int:
        """What all labels cost."""
        return self.labels.count * PRICE_MINOR


def draft(replay: Replay) -> dict[str, Any]:
    """Return the draft of the request: all labels are wanted, and the gates let every one of them through."""
    return {
        "title": f"Replay of {replay.name}",
        "description": "Real labels of a public data set, submitted again by the workers who gave them.",
        "subject": "replay",
        "languages": [replay.language],
        "currency": CURRENCY,
        "unit_price_ceiling": PRICE_MINOR * PRICE_SCALE,
        "budget_minor": replay.budget_minor,
        "deadline": in_seconds(60 * DAY),
        "bid_deadline": in_seconds(DAY),
        "quality_plan": {
            "overlap_min": 1, "overlap_max": replay.labels.most_per_task, "confidence_target": NEVER_SURE,
            "gold_share": 0, "gold_pass_share": 0, "min_seconds_per_task": 0, "min_agreement": 0,
            "bundle_minutes": 60, "bundle_max_tasks": BUNDLE_TASKS, "max_reworks": 0,
        },
        "data_class": "public",
        "residency": ["*"],
        "channel": "vendors",
        "award_mode": "auto",
        "release_window_seconds": 0,
        "seconds_per_task": 10,
        "label_schema": label_schema(replay.kind, replay.labels, replay.language),
        "guideline": {"body": "Answer as you answered then."},
    }  # fmt: skip


async def post(enterprise: Person, vendor: Person, replay: Replay) -> str:
    """Post the request, have the vendor bid for all of it with reserved seats, and wait for its contract."""
    request_id = str((await enterprise.call("POST", "/v1/requests", draft(replay)))["id"])
    lines = "".join(json.dumps({"id": task, "data": {"task": task}}) + "\n" for task in replay.labels.tasks)
    await upload(enterprise, request_id, "tasks.jsonl", lines.encode())
    await top_up(enterprise, replay.budget_minor, CURRENCY)
    path = f"/v1/requests/{request_id}"
    await enterprise.call("PATCH", path, {"bid_deadline": in_seconds(BID_SECONDS)})
    await enterprise.call("POST", f"{path}/fund", {"amount_minor": replay.budget_minor})
    await enterprise.call("POST", f"{path}/publish")
    terms = {
        "unit_price": PRICE_MINOR * PRICE_SCALE, "capacity_per_day": 10**8, "delivery_at": in_seconds(30 * DAY),
        "promised_quality": 0.9, "share_wanted": 1.0, "worker_share_bps": 8000, "pay_workers_directly": True,
        "assignment": "reserved",
    }  # fmt: skip
    await bid(vendor, request_id, terms)
    await wait_for_state(enterprise, request_id, {"in_production"})
    return request_id


async def reserve(vendor: Person, request_id: str, workers: dict[str, Person], replay: Replay, tell: Tell) -> str:
    """Reserve for each worker the tasks that they labeled, before anybody begins; return the contract's id."""
    contract_id = str((await contract_of(vendor, request_id))["id"])
    path = f"/v1/requests/{request_id}/contracts/{contract_id}/reservations"
    for name, given in replay.labels.by_worker.items():
        await vendor.call("POST", path, {"worker_id": workers[name].id, "external_ids": list(given)})
        tell()
    return contract_id


async def label_all(
    request_id: str, contract_id: str, workers: dict[str, Person], replay: Replay, tell: Callable[[int], None]
) -> None:
    """Let every worker claim what is reserved for them and submit their real labels, many at once."""
    turns = asyncio.Semaphore(AT_ONCE)

    async def one(name: str, worker: Person) -> None:
        async with turns:
            await _label(worker, f"/v1/requests/{request_id}", contract_id, replay, name, tell)

    try:
        async with asyncio.TaskGroup() as group:
            for name, worker in workers.items():
                group.create_task(one(name, worker))
    except BaseExceptionGroup as failed:
        raise failed.exceptions[0] from failed


async def _label(
    worker: Person, request: str, contract_id: str, replay: Replay, name: str, tell: Callable[[int], None]
) -> None:
    contract = f"{request}/contracts/{contract_id}"
    await worker.call("PUT", f"{contract}/confirmation", {"guideline_version": GUIDELINE_VERSION})
    given = replay.labels.by_worker[name]
    while True:
        try:
            claim = await worker.call("POST", f"{contract}/claims", {"key": str(uuid4())})
        except RefusedError as error:
            if error.code == "nothing_open":
                return
            raise
        answers = [_answer(replay.kind, task, given[task["data"]["task"]]) for task in claim["tasks"]]
        body = {"submission_id": str(uuid4()), "answers": answers}
        await worker.call("PUT", f"{request}/claims/{claim['claim_id']}/submission", body)
        tell(len(answers))


def _answer(kind: LabelKind, task: dict[str, Any], given: Given) -> dict[str, Any]:
    return {"task_id": task["task_id"], "value": answer_of(kind, given.label), "seconds": given.seconds or 0.0}


async def finish(enterprise: Person, vendor: Person, request_id: str, contract_id: str) -> None:
    """Wait until everything is judged, have the vendor finish its contract, and wait for the delivery."""
    path = f"/v1/requests/{request_id}/contracts/{contract_id}"

    async def ask() -> bool:
        work = await vendor.call("GET", f"{path}/work")
        return not (work["open_seats"] or work["held"] or work["submitted"])

    await wait_until("all submissions to be judged", JUDGED_SECONDS, ask)
    await vendor.call("POST", f"{path}/finish")
    await wait_for_state(enterprise, request_id, {"in_acceptance"}, JUDGED_SECONDS)


@dataclass(frozen=True)
class Comparison:
    """The answers in the database beside the labels in the file: how many of them are the same, lacking, or extra."""

    same: int
    lacking: int
    different: int
    extra: int


_ANSWERS: Final = text(
    """
    SELECT i.external_id, a.worker_id, a.value FROM answer a
    JOIN item i ON i.request_id = a.request_id AND i.id = a.task_id WHERE a.request_id = :request
    """
)


async def compare(database: Database, request_id: str, workers: dict[str, Person], replay: Replay) -> Comparison:
    """Compare every answer of the request, all revisions, with the file: each label must be there once."""
    wanted = {
        (task, UUID(workers[name].id)): answer_of(replay.kind, one.label)
        for name, given in replay.labels.by_worker.items()
        for task, one in given.items()
    }
    same = different = extra = 0
    async with database.sessions() as session:
        for row in await session.execute(_ANSWERS, {"request": UUID(request_id)}):
            value = wanted.pop((row.external_id, row.worker_id), None)
            same += value is not None and value == row.value
            different += value is not None and value != row.value
            extra += value is None
    return Comparison(same, len(wanted), different, extra)
