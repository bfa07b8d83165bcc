"""Models as workers: the protocol over a real port, their labels, their quality, and what they may not do."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import httpx
import pytest
from fastapi import FastAPI
from sqlmodel import col, delete, select, update

from marketplace.catalog.label_schemas import compile_schema, read_definition
from marketplace.catalog.models import DatasetRequest, LabelSchema
from marketplace.core.clock import now
from marketplace.core.outbox import Outbox
from marketplace.core.settings import Settings
from marketplace.quality import refit
from marketplace.quality.annotators.backend import check_address
from marketplace.quality.annotators.errors import BackendAddressRefused
from marketplace.quality.annotators.models import Annotator, AnnotatorLabel
from marketplace.quality.annotators.predicting import annotator_rows, wake
from marketplace.quality.delivery_report.compute import compute_report
from marketplace.quality.delivery_report.evidence_file import lines_of, read_evidence
from marketplace.quality.delivery_report.load import load_evidence
from marketplace.quality.models import Consensus
from tests.factories.identity import Party, bearer, make_approved_worker, make_enterprise
from tests.jobs import run_outbox
from tests.quality.annotators.backend import backend
from tests.quality.work import Work, make_work
from workers.handlers import WorkerResources


def said(value: str) -> dict[str, Any]:
    region = {"from_name": "x", "to_name": "y", "type": "choices", "value": {"choices": [value]}}
    return {"result": [region], "score": 0.9, "model_version": "v3"}


@dataclass
class Scene:
    client: httpx.AsyncClient
    app: FastAPI
    resources: WorkerResources
    work: Work
    enterprise: Party

    @property
    def path(self) -> str:
        return f"/v1/requests/{self.work.request.id}/models"

    async def connect(self, url: str, party: Party | None = None, **more: Any) -> httpx.Response:
        body = {"name": "model", "url": url, "place": "CN", **more}
        return await self.client.post(self.path, json=body, headers=bearer(self.app, party or self.enterprise))

    async def act(self, annotator: str, action: str, party: Party | None = None) -> httpx.Response:
        path = f"{self.path}/{annotator}/{action}"
        return await self.client.post(path, headers=bearer(self.app, party or self.enterprise))

    async def only(self) -> dict[str, Any]:
        answer = await self.client.get(self.path, headers=bearer(self.app, self.enterprise))
        (row,) = answer.json()
        found: dict[str, Any] = row
        return found

    async def run(self) -> None:
        await run_outbox(self.resources, only="quality.predict")

    async def labels(self) -> dict[UUID, AnnotatorLabel]:
        async with self.work.database.sessions() as session:
            statement = select(AnnotatorLabel).where(AnnotatorLabel.request_id == self.work.request.id)
            return {row.task_id: row for row in (await session.exec(statement)).all()}

    def says(self, right: Callable[[UUID], bool]) -> Callable[[dict[str, Any]], dict[str, Any]]:
        """A model that is right where the given rule says so."""

        def predict(task: dict[str, Any]) -> dict[str, Any]:
            item = UUID(task["id"])
            answer = self.work.right(item) if right(item) else self.work.wrong(item)
            return said(answer["choice"])

        return predict


@pytest.fixture
async def scene(client: httpx.AsyncClient, app: FastAPI, worker_resources: WorkerResources) -> Scene:
    async with worker_resources.database.sessions() as session:
        enterprise = await make_enterprise(session)
        await session.commit()
    assert enterprise.organisation is not None
    work = await make_work(
        worker_resources.database, worker_resources.settings, organisation=enterprise.organisation.id, residency=["CN"]
    )
    return Scene(client, app, worker_resources, work, enterprise)


async def test_model_labels_every_item_when_connected(scene: Scene) -> None:
    with backend(scene.says(lambda _: True)) as server:
        answer = await scene.connect(server.url, token="secret")
        assert answer.status_code == 201, answer.text
        assert answer.json()["state"] == "connecting"
        await scene.run()
    row = await scene.only()
    assert (row["state"], row["labeled"], row["refused"], row["model_version"]) == ("done", 46, 0, "v3")
    assert {task: label.value for task, label in (await scene.labels()).items()} == scene.work.truth
    assert "secret" not in answer.text + str(row)
    assert {token for _, _, token in server.calls} == {"Bearer secret"}
    setup = server.of("/setup")[0]
    assert '<Choice value="positive" />' in setup["schema"]
    assert setup["project"] == str(scene.work.request.id)
    assert [len(call["tasks"]) for call in server.of("/predict")] == [20, 20, 6]


async def test_model_is_never_alone_when_nobody_has_answered(scene: Scene) -> None:
    with backend(scene.says(lambda _: True)) as server:
        await scene.connect(server.url)
        await scene.run()
    assert await scene.work.consensus() == {}
    verdict = await scene.work.do(await scene.work.worker(), scene.work.right)
    assert verdict.outcome == "accepted"
    assert {row.answers for row in (await scene.work.consensus()).values()} == {1}
    assert not any(task.done for task in (await scene.work.tasks()).values())


async def test_model_moves_confidence_by_its_measured_quality_when_refitted(scene: Scene) -> None:
    for _ in range(2):
        await scene.work.do(await scene.work.worker(), scene.work.right)
    without = {task: row.confidence for task, row in (await scene.work.consensus()).items()}
    with backend(scene.says(lambda _: True)) as server:
        await scene.connect(server.url)
        await scene.run()
    await refitted(scene)
    row = await scene.only()
    assert row["accuracy_low"] > 0.85
    assert row["accuracy_low"] < row["accuracy"] < row["accuracy_high"]
    after = await scene.work.consensus()
    assert all(after[task].confidence > before for task, before in without.items())
    assert {row.answers for row in after.values()} == {2}
    assert (await scene.act(row["id"], "stop")).json()["state"] == "stopped"
    await refitted(scene)
    assert (await scene.only())["accuracy"] is None
    assert all(row.confidence < after[task].confidence for task, row in (await scene.work.consensus()).items())


async def test_model_is_found_bad_when_gold_says_so(scene: Scene) -> None:
    for _ in range(2):
        await scene.work.do(await scene.work.worker(), scene.work.right)
    with backend(scene.says(lambda item: item.int % 2 == 0)) as server:
        await scene.connect(server.url)
        await scene.run()
    await refitted(scene)
    assert (await scene.only())["accuracy_high"] < 0.8


async def refitted(scene: Scene) -> None:
    async with scene.work.database.sessions() as session:
        await refit.refit(session, scene.work.request.id)
        await session.commit()
    await run_outbox(scene.resources, only="quality.recompute")


async def test_report_is_reproduced_and_counts_people_only_when_a_model_took_part(scene: Scene) -> None:
    with backend(scene.says(lambda item: item.int % 3 > 0)) as server:
        await scene.connect(server.url)
        await scene.run()
    await scene.work.do(await scene.work.worker(), scene.work.right)
    await scene.work.do(await scene.work.worker(), scene.work.right)
    await refitted(scene)
    async with scene.work.database.sessions() as session:
        request = await session.get_one(DatasetRequest, scene.work.request.id)
        evidence = await load_evidence(session, request)
    again, _ = read_evidence(json.dumps(line).encode() for line in lines_of(evidence, None))
    report = compute_report(again)
    assert (report.workers, report.answers, len(again.workers)) == (2, 12, 3)
    assert report.refit is not None
    assert (report.refit.same, report.refit.largest_difference, report.refit.same_model) == (6, 0, True)


async def test_label_is_refused_when_the_schema_does_not_know_it(scene: Scene) -> None:
    with backend(lambda _: said("neutral-ish")) as server:
        await scene.connect(server.url)
        await scene.run()
    row = await scene.only()
    assert (row["state"], row["labeled"], row["refused"]) == ("done", 0, 46)
    assert all("neutral-ish" in str(label.problem) for label in (await scene.labels()).values())


async def test_model_labels_again_when_the_label_schema_changed(scene: Scene) -> None:
    await scene.work.do(await scene.work.worker(), scene.work.right)
    with backend(scene.says(lambda _: True)) as server:
        await scene.connect(server.url)
        await scene.run()
        async with scene.work.database.sessions() as session:
            request = await session.get_one(DatasetRequest, scene.work.request.id)
            old = await session.get_one(LabelSchema, (request.id, request.label_schema_version))
            other = {"kind": "single_choice", "choices": [{"value": v, "label": {"en": v}} for v in ("left", "right")]}
            schema = compile_schema(read_definition(other))
            request.label_schema_version = old.version + 1
            session.add(request)
            session.add(
                LabelSchema(request_id=request.id, version=old.version + 1, kind=old.kind, definition=other,
                            json_schema=schema)
            )  # fmt: skip
            await session.commit()
            answered = [row.task_id for row in (await session.exec(select(Consensus))).all()]
            assert await annotator_rows(session, request.id, answered) == []
            await wake(session)
            await session.commit()
        await scene.run()
    row = await scene.only()
    assert (row["state"], row["labeled"], row["refused"]) == ("done", 0, 46)
    assert len(server.of("/setup")) == 2


async def test_model_is_tried_again_when_it_is_down_for_a_while(scene: Scene) -> None:
    with backend(scene.says(lambda _: True)) as server:
        server.failing = 2
        await scene.connect(server.url)
        for _ in range(3):
            await hurry(scene)
            await scene.run()
    row = await scene.only()
    assert (row["state"], row["labeled"], row["problem"]) == ("done", 46, None)


async def hurry(scene: Scene) -> None:
    async with scene.work.database.sessions() as session:
        await session.execute(update(Outbox).where(col(Outbox.kind) == "quality.predict").values(due_at=now()))
        await session.commit()


async def test_model_fails_and_may_be_retried_when_it_speaks_another_protocol(scene: Scene) -> None:
    with backend(lambda _: "positive") as server:
        await scene.connect(server.url)
        await scene.run()
        row = await scene.only()
        assert row["state"] == "failed"
        assert "results" in row["problem"]
        assert (await scene.act(row["id"], "retry")).json()["state"] == "connecting"
        await scene.run()
    assert (await scene.only())["state"] == "failed"


async def test_model_that_is_stopped_while_it_answers_leaves_no_labels(scene: Scene) -> None:
    def predict(_: dict[str, Any]) -> dict[str, Any]:
        return said("positive")

    with backend(predict) as server:
        made = (await scene.connect(server.url)).json()
        await scene.act(made["id"], "stop")
        await scene.run()
    assert await scene.labels() == {}
    assert server.calls == []


@pytest.mark.parametrize("action", ["stop", "retry"])
async def test_model_is_hidden_when_the_request_is_somebody_elses(scene: Scene, action: str) -> None:
    made = (await scene.connect("http://127.0.0.1:1")).json()
    async with scene.work.database.sessions() as session:
        stranger, worker = await make_enterprise(session), await make_approved_worker(session)
        await session.commit()
    assert (await scene.act(made["id"], action, stranger)).status_code == 404
    assert (await scene.connect("http://127.0.0.1:1", stranger)).status_code == 404
    assert (await scene.client.get(scene.path, headers=bearer(scene.app, stranger))).status_code == 404
    assert (await scene.act(made["id"], action, worker)).status_code == 403


async def test_data_do_not_leave_when_the_model_runs_elsewhere(scene: Scene) -> None:
    answer = await scene.connect("http://127.0.0.1:1", place="US")
    assert (answer.status_code, answer.json()["code"]) == (403, "data_may_not_leave")


async def test_request_takes_five_models_at_most(scene: Scene) -> None:
    answers = [await scene.connect("http://127.0.0.1:1") for _ in range(6)]
    assert [answer.status_code for answer in answers] == [201] * 5 + [409]
    await scene.act(answers[0].json()["id"], "stop")
    assert (await scene.connect("http://127.0.0.1:1")).status_code == 201


@pytest.mark.parametrize("url", ["ftp://x", "http://user:pass@host/", "http://host/?q=1", "nothing"])
async def test_address_is_refused_when_it_is_none(scene: Scene, url: str) -> None:
    assert (await scene.connect(url)).status_code == 422


@pytest.mark.parametrize(
    "url", ["http://93.184.216.34", "https://127.0.0.1", "https://10.1.2.3:9090", "https://[::1]/x"]
)
async def test_address_is_refused_in_production_when_it_is_private_or_plain(settings: Settings, url: str) -> None:
    production = settings.model_copy(update={"env": "production"})
    with pytest.raises(BackendAddressRefused):
        await check_address(url, production)
    await check_address("https://93.184.216.34", production)
    await check_address(url, settings)


async def test_no_call_is_made_when_all_is_labeled(scene: Scene) -> None:
    with backend(scene.says(lambda _: True)) as server:
        await scene.connect(server.url)
        await scene.run()
        before = len(server.of("/predict"))
        async with scene.work.database.sessions() as session:
            await session.execute(update(Annotator).values(state="labeling"))
            await session.execute(delete(Outbox).where(col(Outbox.kind) == "quality.predict"))
            await session.commit()
        await scene.run()
    assert len(server.of("/predict")) == before
