"""`kapok replay`: a public crowd data set goes through Kapok once more, with its real workers and their real labels."""

import asyncio
import time
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from cli.console import Voice, conclude, problems_explained
from cli.errors import CannotRunError
from cli.running import find_running
from cli.scenario import replay_steps
from cli.scenario.client import Api
from cli.scenario.crowd import Cast, gather_crowd
from cli.scenario.crowd_data import read_truth
from cli.scenario.crowd_labels import kind_of, read_labels, scores
from cli.scenario.delivery import export_all, pay_everybody, rows_of
from cli.scenario.demo_steps import settled
from cli.scenario.market import wait_for_state
from cli.scenario.overlap_simulation import simulate
from cli.scenario.own_kapok import Target, kapok_at_hand
from cli.scenario.people import Person
from cli.scenario.replay_steps import CURRENCY, Comparison, Replay
from cli.scenario.report import Outcome
from cli.scenario.staff import officer, refuse_production
from cli.scenario.views import show_replay
from marketplace.catalog.states import LabelKind
from marketplace.core.db import open_database
from marketplace.core.settings import get_settings
from marketplace.quality.overlap import StoppingRule

MOST_ANSWERS_A_TASK: Final = 50  # of a quality plan
TOP: Final = 10


@dataclass(frozen=True)
class Wish:
    """What is asked of a replay: the data, the known truth, and whether earnings are paid out."""

    replay: Replay
    truth: dict[str, str]
    payouts: bool


def replay(
    labels: Annotated[Path, typer.Option(help="CSV with task,worker,label and perhaps seconds.")],
    truth: Annotated[Path, typer.Option(help="CSV with task,label: the known truth.")],
    name: Annotated[str, typer.Option(help="Name of the set; by default its folder's.")] = "",
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first so many tasks.")] = None,
    language: Annotated[str, typer.Option(help="BCP 47 tag of the data's language.")] = "en",
    payouts: Annotated[bool, typer.Option(help="Pay everybody out at the end.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
) -> None:
    """Let the real workers of a public data set submit their real labels, and compare the consensus with the truth.

    Works on the Kapok that is up, or starts one of its own.
    """
    voice = Voice(quiet=as_json)
    with problems_explained():
        settings = get_settings()
        refuse_production(settings)
        given = read_labels(labels, limit)
        if given.most_per_task > MOST_ANSWERS_A_TASK:
            raise CannotRunError(
                f"A task has {given.most_per_task} labels.", f"Kapok takes {MOST_ANSWERS_A_TASK} answers a task."
            )
        what = Replay(name or labels.absolute().parent.name, kind_of(given), given, language)
        with kapok_at_hand(settings, find_running(settings)) as target:
            figures = asyncio.run(run_replay(target, Wish(what, read_truth(truth), payouts), voice))
    conclude(figures, show_replay, voice, as_json=as_json)


async def run_replay(target: Target, wish: Wish, voice: Voice) -> dict[str, Any]:
    """Run a replay on a Kapok; return its figures, with `problems` that name what is broken."""
    began = time.monotonic()
    what = wish.replay
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(open_database(target.settings, hot_size=1))
        api = await stack.enter_async_context(Api(target.base_url))
        bars = stack.enter_context(_bars(voice))
        cast = Cast(
            f"{what.name} laboratory", (f"{what.name} crowd",), (list(what.labels.by_worker),), [what.language], {}
        )
        ready = bars.add_task("People sign up and are vetted", total=len(what.labels.by_worker) + 2)
        async with officer(api, database) as checked_by:
            crowd = await gather_crowd(api, checked_by, cast, lambda: bars.advance(ready))
        enterprise, vendor = crowd.enterprise, crowd.vendors[0]
        workers = dict(zip(what.labels.by_worker, crowd.workers[0], strict=True))
        request_id = await replay_steps.post(enterprise, vendor, what)
        contract_id = await _work(vendor, request_id, workers, what, bars)
        await replay_steps.finish(enterprise, vendor, request_id, contract_id)
        exports = await export_all(enterprise, request_id)
        await enterprise.call("POST", f"/v1/requests/{request_id}/delivery/accept")
        await wait_for_state(enterprise, request_id, {"closed"}, replay_steps.JUDGED_SECONDS)
        if wish.payouts:
            await pay_everybody(crowd.everybody_paid, CURRENCY)
        outcome = await settled(database, target.settings, request_id)
        comparison = await replay_steps.compare(database, request_id, workers, what)
    found = {row["external_id"]: row["label"] for row in rows_of(exports)}
    figures = _figures(wish, outcome, comparison, scores(what.kind, found, wish.truth))
    figures["problems"] += [f"the {one.format} export does not open" for one in exports if not one.opens]
    figures["overlap"] = _overlap(wish)
    return figures | {"seconds": round(time.monotonic() - began, 1), "request_id": request_id}


async def _work(vendor: Person, request_id: str, workers: dict[str, Person], what: Replay, bars: Progress) -> str:
    reserved = bars.add_task("Seats are reserved", total=len(workers))
    contract_id = await replay_steps.reserve(vendor, request_id, workers, what, lambda: bars.advance(reserved))
    labeled = bars.add_task("Labels are submitted", total=what.labels.count)
    await replay_steps.label_all(request_id, contract_id, workers, what, lambda more: bars.advance(labeled, more))
    return contract_id


def _bars(voice: Voice) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=voice.out, disable=voice.out.quiet)


def _overlap(wish: Wish) -> dict[str, Any] | None:
    """Return what adaptive overlap would have bought of the file's choices, beside fixed overlap at equal spend.

    None for other kinds. The order of a task's labels is drawn.
    """
    if wish.replay.kind is not LabelKind.SINGLE_CHOICE:
        return None
    bought = simulate(wish.replay.labels.table, wish.truth, StoppingRule().of_posteriors(), seed=0)
    return {
        "labels_used": bought.bought,
        "saved": round(bought.saved, 4),
        "accuracy": round(bought.accuracy, 4),
        "accuracy_fixed_at_equal_spend": round(bought.accuracy_fixed, 4),
        "accuracy_all": round(bought.accuracy_all, 4),
    }


def _figures(wish: Wish, outcome: Outcome, comparison: Comparison, found: dict[str, float]) -> dict[str, Any]:
    labels = wish.replay.labels
    problems = outcome.problems()
    if comparison.lacking or comparison.different or comparison.extra:
        problems.append(f"the answers are not the labels of the file: {asdict(comparison)}")
    paid = [row for row in outcome.workers if row["earned_minor"]]
    return {
        "name": wish.replay.name,
        "kind": str(wish.replay.kind),
        **outcome.counts,
        "workers": len(labels.by_worker),
        "labels": labels.count,
        "repeated_rows": labels.repeated,
        "labels_submitted_once": comparison.same,
        "compared": asdict(comparison),
        **found,
        **outcome.money,
        "paid_workers": len(paid),
        "paid_out_minor": sum(row["paid_out_minor"] for row in outcome.workers),
        "paid_most": [{"worker": row["name"], "earned_minor": row["earned_minor"]} for row in paid[:TOP]],
        "ledger_sum_zero": outcome.ledger_sum_zero,
        "problems": problems,
    }
