"""`kapok demo`: a dataset request from posting to paid, with simulated people and real terms, over the public API."""

import asyncio
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from cli.console import Voice, conclude, problems_explained
from cli.running import find_running
from cli.scenario import cldr, demo_steps, term_check
from cli.scenario.appeals import appeal_rejections
from cli.scenario.cheats import BOTS, COPIERS, SPAMMERS, Cheats, findings
from cli.scenario.client import Api
from cli.scenario.crowd import Cast, gather_crowd
from cli.scenario.delivery import ExportFile, pay_everybody
from cli.scenario.labelers import Labeler
from cli.scenario.own_kapok import Target, kapok_at_hand
from cli.scenario.report import Outcome, labels_of
from cli.scenario.staff import officer, refuse_production
from cli.scenario.views import show_demo
from marketplace.core.db import open_database
from marketplace.core.settings import get_settings

ACCURACY_WANTED: Final = 0.95
GOLD_PART: Final = 10  # one gold item for so many tasks
MIN_GOLD: Final = 8
SAMPLE: Final = 50
STEPS: Final = 6


@dataclass(frozen=True)
class Wish:
    """What is asked of a demo."""

    tasks: int
    seed: int
    folder: Path
    cheats: Cheats


def demo(
    tasks: Annotated[int, typer.Option(min=30, max=6000, help="Terms to check.")] = 240,
    seed: Annotated[int, typer.Option(help="The same seed gives the same terms and the same people.")] = 20260,
    report: Annotated[
        Path | None, typer.Option(help="Folder for the quality report and its evidence; by default a new one.")
    ] = None,
    spammers: Annotated[int, typer.Option(min=0, max=len(SPAMMERS), help="Workers who never look.")] = 2,
    copiers: Annotated[int, typer.Option(min=0, max=len(COPIERS), help="Workers who share one answer key.")] = 2,
    bots: Annotated[int, typer.Option(min=0, max=len(BOTS), help="Workers who repeat a pattern.")] = 2,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
) -> None:
    """Show a request's whole way with simulated people: posted, bid on, labeled, accepted, exported, paid.

    Works on the Kapok that is up, or starts one of its own.
    """
    voice = Voice(quiet=as_json)
    wish = Wish(tasks, seed, _folder(report), Cheats(spammers, copiers, bots))
    with problems_explained():
        settings = get_settings()
        refuse_production(settings)
        with kapok_at_hand(settings, find_running(settings)) as target:
            figures = asyncio.run(run_demo(target, wish, voice))
    conclude(figures, show_demo, voice, as_json=as_json)


def _folder(wanted: Path | None) -> Path:
    folder = wanted or Path(tempfile.mkdtemp(prefix="kapok-report-"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


async def run_demo(target: Target, wish: Wish, voice: Voice) -> dict[str, Any]:
    """Run the demo on a Kapok; return its figures, with `problems` that name what is broken."""
    began = time.monotonic()
    pairs = cldr.term_pairs(wish.tasks + max(wish.tasks // GOLD_PART, MIN_GOLD), wish.seed)
    terms, gold = pairs[: wish.tasks], pairs[wish.tasks :]
    async with open_database(target.settings, hot_size=1) as database, Api(target.base_url) as api:
        with _bars(voice) as bars:
            ready = bars.add_task("People sign up and are vetted", total=_people())
            async with officer(api, database) as staff, officer(api, database) as reviewer:
                crowd = await gather_crowd(api, staff, _cast(), lambda: bars.advance(ready))
                steps = bars.add_task("The request's way", total=STEPS)
                request_id = await demo_steps.post(crowd.enterprise, terms, gold)
                bars.advance(steps)
                await demo_steps.bid_and_award(crowd, request_id)
                bars.advance(steps)
                labelers = demo_steps.cast_labelers(crowd, pairs, wish.seed, wish.cheats)
                await demo_steps.label(crowd, request_id, labelers, reviewer, bars)
                bars.advance(steps)
                await appeal_rejections(labelers, staff, request_id)
                bars.advance(steps)
            exports, report = await demo_steps.accept(crowd.enterprise, request_id, SAMPLE, wish.folder)
            bars.advance(steps)
            await pay_everybody(crowd.everybody_paid, term_check.CURRENCY)
            outcome = await demo_steps.settled(database, target.settings, request_id)
            bars.advance(steps)
        labels = await labels_of(database, request_id)
        integrity = await findings(database, request_id, labelers)
    right = sum((labels.get(pair.id) or {}).get("choice") == term_check.truth_of(pair) for pair in terms)
    figures = _figures(outcome, exports, right / len(terms)) | {"report": report}
    figures["problems"] += [f"the report's {name} is not reproduced" for name in report["different"]]
    figures |= {"seconds": round(time.monotonic() - began, 1), "request_id": request_id, "repeated_calls": api.repeated}
    return figures | {"integrity": integrity, "workers": _workers(outcome, labelers)}


def _cast() -> Cast:
    languages = [cldr.SOURCE, *cldr.TARGETS]
    return Cast("南宁词典社 Nanning Lexicon", demo_steps.VENDORS, demo_steps.NAMES, languages, {"translation": 80})


def _people() -> int:
    return 1 + len(demo_steps.VENDORS) + sum(map(len, demo_steps.NAMES))


def _bars(voice: Voice) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=voice.out, disable=voice.out.quiet)


def _figures(outcome: Outcome, exports: Sequence[ExportFile], accuracy: float) -> dict[str, Any]:
    problems = outcome.problems()
    if accuracy < ACCURACY_WANTED:
        problems.append(f"the consensus is right on {accuracy:.1%} only")
    problems += [f"the {one.format} export does not open" for one in exports if not one.opens]
    problems += [
        f"the {one.format} export has {one.rows} rows, not {outcome.counts['tasks']}"
        for one in exports
        if one.opens and one.rows != outcome.counts["tasks"]
    ]
    return {
        **outcome.counts,
        "accuracy": round(accuracy, 4),
        **outcome.money,
        **outcome.payouts,
        "ledger_sum_zero": outcome.ledger_sum_zero,
        "ledger_checks": outcome.ledger_checks,
        "ledger_breaks": len(outcome.ledger_breaks),
        "exports": [one.facts() for one in exports],
        "problems": problems,
    }


def _workers(outcome: Outcome, labelers: Sequence[Labeler]) -> list[dict[str, Any]]:
    """Return each worker's part: what was accepted and paid, beside the skill that the simulation gave them."""
    skills = {labeler.person.name: labeler.skill for labeler in labelers}
    return [
        {
            **{name: value for name, value in row.items() if name != "id"},
            "kind": skills[row["name"]].kind,
            "skill": skills[row["name"]].accuracy,
        }
        for row in outcome.workers
    ]
