"""Jobs of quality."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from marketplace.quality import completion, conduct, export_rows, refit, service
from marketplace.quality.annotators.predicting import predict_next
from marketplace.quality.gold.watch import watch
from workers.handlers import JobContext, handles


@handles("quality.judge")
async def judge(context: JobContext, payload: dict[str, Any]) -> None:
    """Judge a submission."""
    request_id, claim_id = UUID(payload["request_id"]), UUID(payload["claim_id"])
    await service.judge(context.session, request_id, claim_id, payload["revision"], context.settings)


@handles("quality.extend")
async def extend(context: JobContext, payload: dict[str, Any]) -> None:
    """Give tasks more answers where they are needed, or end their contract."""
    await completion.extend(context.session, UUID(payload["request_id"]), UUID(payload["contract_id"]))


@handles("quality.refit")
async def learn(context: JobContext, payload: dict[str, Any]) -> None:
    """Learn how good a request's workers are from all its answers so far."""
    await refit.refit(context.session, UUID(payload["request_id"]))


@handles("quality.gold")
async def watch_gold(context: JobContext, payload: dict[str, Any]) -> None:
    """Take gold out of use that is in doubt or was met too often, and propose new gold."""
    await watch(context.session, UUID(payload["request_id"]))


@handles("quality.recompute")
async def recompute(context: JobContext, payload: dict[str, Any]) -> None:
    """Compute the labels of some of a request's tasks by its newest fit."""
    first, last = UUID(payload["first"]), UUID(payload["last"])
    await refit.recompute(context.session, UUID(payload["request_id"]), payload["number"], first, last)


@handles("quality.deliver")
async def deliver(context: JobContext, payload: dict[str, Any]) -> None:
    """Put a request whose work is done before its enterprise."""
    await completion.deliver(context.session, UUID(payload["request_id"]))


@handles("quality.sweep", every=timedelta(seconds=5))
async def sweep(context: JobContext, _payload: dict[str, Any]) -> None:
    """Ring again where nothing is under way, and let verdicts become final."""
    await completion.sweep(context.session)


@handles("quality.export")
async def export(context: JobContext, payload: dict[str, Any]) -> None:
    """Write the file of an export."""
    request_id, export_id = UUID(payload["request_id"]), UUID(payload["export_id"])
    await export_rows.write_file(context.session, context.store, request_id, export_id)


@handles("quality.predict")
async def predict(context: JobContext, payload: dict[str, Any]) -> None:
    """Let a model label the next items of its request."""
    request_id, annotator_id = UUID(payload["request_id"]), UUID(payload["annotator_id"])
    await predict_next(
        context.session, context.settings, context.store, request_id, annotator_id, tries=payload["tries"]
    )


@handles("quality.conduct")
async def look_at_conduct(context: JobContext, payload: dict[str, Any]) -> None:
    """Test a request's workers for fraud, carry out control rules, bring skills up to date."""
    await conduct.look_at(context.session, UUID(payload["request_id"]))


@handles("quality.conduct_due", every=timedelta(seconds=3))
async def ask_for_looks(context: JobContext, _payload: dict[str, Any]) -> None:
    """Ask for a look at each request with verdicts that nobody has looked at."""
    await conduct.ask_for_looks(context.session)
