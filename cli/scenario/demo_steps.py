"""The demo step by step: post, bid and award, label, accept."""

import asyncio
import random
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from rich.progress import Progress, TaskID

from cli.errors import CannotRunError
from cli.scenario import term_check
from cli.scenario.appeals import decide_held
from cli.scenario.cheats import Answering, Cheats
from cli.scenario.cldr import Pair
from cli.scenario.crowd import Crowd
from cli.scenario.delivery import ExportFile, export_all, top_up
from cli.scenario.kept_report import keep_report
from cli.scenario.labelers import Labeler, careful
from cli.scenario.market import bid, contract_of, in_seconds, opened_bids, upload, wait_for_state
from cli.scenario.people import Person
from cli.scenario.report import Outcome, outcome_of
from marketplace.core.db import Database
from marketplace.core.money import PRICE_SCALE
from marketplace.core.settings import Settings

BID_SECONDS: Final = 5.0
IDLE_SECONDS: Final = 8.0
STALLED_SECONDS: Final = 120.0
WATCH_SECONDS: Final = 0.5
SETTLE_SECONDS: Final = 120.0
VENDORS: Final = ("桂语科技 Guiyu", "Mekong Lexicon", "Nanyang Terms return-once")
SHARES: Final = (0.4, 0.35, 0.25)
PRICES_MINOR: Final = (9, 10, 11)
NAMES: Final = (
    ("Linh", "Minh", "Hoa", "Tuấn", "อรุณ", "สมชาย", "มาลี", "ณัฐ"),
    ("ບຸນມີ", "ຄຳ", "សុខា", "ចាន់", "အောင်", "မြ", "Siti", "Ahmad"),
    ("Putri", "Budi", "Dewi", "Maria", "Jose", "韦小兰", "黄志强", "梁晓燕"),
)
ACCURACIES: Final = (0.97, 0.95, 0.99, 0.94, 0.96, 0.92, 0.98, 0.93)
AT_WORK: Final = frozenset({"awarded", "in_production"})


async def post(enterprise: Person, terms: Sequence[Pair], gold: Sequence[Pair]) -> str:
    """Draft the request, upload its data, top up, fund, and publish it with a near bid deadline; return its id."""
    draft = term_check.draft(len(terms))
    request_id = str((await enterprise.call("POST", "/v1/requests", draft))["id"])
    await upload(enterprise, request_id, "terms.jsonl", term_check.as_jsonl(terms, gold))
    budget = term_check.budget_minor(len(terms))
    await top_up(enterprise, budget, term_check.CURRENCY)
    path = f"/v1/requests/{request_id}"
    await enterprise.call("PATCH", path, {"bid_deadline": in_seconds(BID_SECONDS)})
    await enterprise.call("POST", f"{path}/fund", {"amount_minor": budget})
    await enterprise.call("POST", f"{path}/publish")
    return request_id


async def bid_and_award(crowd: Crowd, request_id: str) -> None:
    """Let the vendors bid, sealed; award by the scores once they are opened; wait until the bundles are built."""
    bids = zip(crowd.vendors, PRICES_MINOR, strict=True)
    await asyncio.gather(*(bid(vendor, request_id, _terms(price)) for vendor, price in bids))
    opened = await opened_bids(crowd.enterprise, request_id)
    by_score = sorted(opened, key=lambda one: -one["score"]["total"])
    shares = [{"bid_id": one["id"], "share": share} for one, share in zip(by_score, SHARES, strict=True)]
    decision = {"shares": shares, "note": "Three vendors, by score, so that no language waits for one of them."}
    await crowd.enterprise.call("POST", f"/v1/requests/{request_id}/award", decision)
    await wait_for_state(crowd.enterprise, request_id, {"in_production"})


def _terms(price_minor: int) -> dict[str, Any]:
    return {
        "unit_price": price_minor * PRICE_SCALE,
        "capacity_per_day": 100_000,
        "delivery_at": in_seconds(10 * term_check.DAY),
        "promised_quality": 0.95,
        "share_wanted": max(SHARES),
        "worker_share_bps": 8000,
        "pay_workers_directly": True,
    }


def cast_labelers(crowd: Crowd, pairs: Sequence[Pair], seed: int, cheats: Cheats) -> list[Labeler]:
    """Give each of the crowd's workers a way of working: careful, unless they are among those who are not."""
    answering, odd = Answering(term_check.Knowledge(pairs)), cheats.skills()
    labelers = []
    for v, some in enumerate(crowd.workers):
        for w, worker in enumerate(some):
            skill = odd.get((v, w)) or careful(ACCURACIES[(w + v) % len(ACCURACIES)])
            dice = random.Random(f"{seed}:{v}:{w}")  # noqa: S311
            labelers.append(Labeler(worker, skill, answering.of(v, skill), dice))
    return labelers


async def label(crowd: Crowd, request_id: str, labelers: Sequence[Labeler], reviewer: Person, bars: Progress) -> None:
    """Let all workers work at once until the request is before its enterprise; raises CannotRunError when it stalls.

    The reviewer decides on the rejections that the brake holds meanwhile.
    """
    over = asyncio.Event()
    bundles, tasks = bars.add_task("Bundles are submitted", total=None), bars.add_task("Tasks have enough answers")
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(_watch(crowd.enterprise, request_id, over, bars, tasks))
            group.create_task(decide_held(labelers, reviewer, request_id, over))
            for vendor in crowd.vendors:
                group.create_task(_lead(vendor, request_id, over))
            for labeler in labelers:
                group.create_task(labeler.work(request_id, over, lambda: bars.advance(bundles)))
    except BaseExceptionGroup as failed:
        raise failed.exceptions[0] from failed


async def _watch(enterprise: Person, request_id: str, over: asyncio.Event, bars: Progress, bar: TaskID) -> None:
    """Show how far the request is; set `over` when the work is."""
    last, moved_at = (-1, -1), time.monotonic()
    while True:
        view = await enterprise.call("GET", f"/v1/requests/{request_id}/progress")
        bars.update(bar, completed=view["tasks_done"], total=view["tasks"])
        if view["state"] not in AT_WORK:
            over.set()
            return
        now = (view["answers"], view["tasks_done"])
        if now != last:
            last, moved_at = now, time.monotonic()
        elif time.monotonic() - moved_at > STALLED_SECONDS:
            raise CannotRunError(f"The work stands still: {view}", "`kapok doctor` and `kapok jobs list` say more.")
        await asyncio.sleep(WATCH_SECONDS)


async def _lead(vendor: Person, request_id: str, over: asyncio.Event) -> None:
    """Watch a vendor's contract, and declare it done when its open seats stay open: all its workers have met them."""
    path = f"/v1/requests/{request_id}/contracts/{(await contract_of(vendor, request_id))['id']}"
    idle_since = time.monotonic()
    while not over.is_set():
        work = await vendor.call("GET", f"{path}/work")
        if work["state"] != "active" or not work["open_seats"] or work["held"] + work["submitted"]:
            idle_since = time.monotonic()
        elif time.monotonic() - idle_since > IDLE_SECONDS:
            await vendor.call("POST", f"{path}/finish")
        await asyncio.sleep(2 * WATCH_SECONDS)


async def accept(
    enterprise: Person, request_id: str, sample: int, folder: Path
) -> tuple[list[ExportFile], dict[str, Any]]:
    """Look at a sample, export, keep the report in the folder, accept, and wait until the request is closed.

    Returns the exports, and what `keep_report` says.
    """
    path = f"/v1/requests/{request_id}"
    await enterprise.call("GET", f"{path}/delivery/sample", params={"size": sample, "seed": 1})
    exports = await export_all(enterprise, request_id)
    report = await keep_report(enterprise, request_id, folder)
    await enterprise.call("POST", f"{path}/delivery/accept")
    await wait_for_state(enterprise, request_id, {"closed"})
    return exports, report


async def settled(database: Database, settings: Settings, request_id: str) -> Outcome:
    """Return what became of the request, once refunds have arrived and pay is released (or patience has ended)."""
    deadline = time.monotonic() + SETTLE_SECONDS
    outcome = await outcome_of(database, settings, request_id)
    while outcome.problems() and time.monotonic() < deadline:
        if outcome.counts["dead_letters"] or outcome.counts["double_paid"]:
            break
        await asyncio.sleep(1.0)
        outcome = await outcome_of(database, settings, request_id)
    return outcome
