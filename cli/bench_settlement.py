"""`kapok bench settlement`: how fast accepted work is settled, beside bare SQL of the same postings."""

import asyncio
import json
from dataclasses import asdict, dataclass
from typing import Annotated, Final

import asyncpg
import typer

from cli.bench import ENVIRONMENT
from cli.console import Voice, problems_explained
from cli.scenario import bench_settlement as load
from cli.scenario.own_kapok import Target, own_kapok
from marketplace.core.db import open_database, plain_url
from marketplace.settlement import release

TURN_BUNDLES: Final = 2 * release.BATCH
_SUM: Final = """
SELECT coalesce(bool_and(total = 0), true)
FROM (SELECT sum(amount_minor) AS total FROM posting GROUP BY currency) AS sums
"""
_WRONG: Final = """
SELECT (SELECT count(*) FROM (SELECT 1 FROM accrual WHERE state <> 'taken_back'
                              GROUP BY request_id, claim_id HAVING count(*) > 1) AS twice),
       (SELECT count(*) FROM verdict v WHERE NOT EXISTS (
            SELECT 1 FROM accrual a WHERE a.request_id = v.request_id AND a.claim_id = v.claim_id
            AND a.state = 'released'))
"""


@dataclass(frozen=True)
class Figures:
    """What the bench found. `unpaid` counts accepted bundles that were not released; `flatness` is the cost of a bundle
    beside the most postings to that beside the fewest, None with one size.
    """

    units_per_s: float
    bundles_per_s: float
    sql_units_per_s: float
    ratio_to_sql: float
    cost_ms_by_postings: dict[str, float]
    flatness: float | None
    ledger_sum_zero: bool
    double_accruals: int
    unpaid: int
    bundles: int
    units_a_bundle: int
    at_once: int


def settlement(  # the options of a command are its arguments
    bundles: Annotated[int, typer.Option(min=1, help="Accepted bundles to settle.")] = 4000,
    units: Annotated[int, typer.Option(min=1, help="Answers a bundle.")] = 50,
    workers: Annotated[int, typer.Option(min=1, help="Payees.")] = 16,
    at_once: Annotated[int, typer.Option(min=1, help="Transactions at once.")] = 8,
    sizes: Annotated[str, typer.Option(help="Numbers of postings beside which a bundle is timed.")] = "1000,1000000",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
) -> None:
    """Settle accepted bundles (accrue and release) and post the same by bare SQL, in turns."""
    voice = Voice(quiet=as_json)
    wanted = sorted(int(size) for size in sizes.split(",") if size)
    with problems_explained(), own_kapok(ENVIRONMENT) as target:
        found = asyncio.run(_measure(target, (bundles, units, workers, at_once), wanted, voice))
    print(json.dumps(asdict(found), indent=None if as_json else 2))
    if found.double_accruals or found.unpaid or not found.ledger_sum_zero:
        raise typer.Exit(1)


async def _measure(target: Target, size: tuple[int, int, int, int], sizes: list[int], voice: Voice) -> Figures:
    bundles, units, workers, at_once = size
    url = plain_url(target.settings.database_url)
    async with (
        open_database(target.settings, hot_size=1) as database,
        asyncpg.create_pool(url, min_size=at_once, max_size=at_once) as pool,
    ):
        ours, bare = [await load.make_deal(database, workers) for _ in range(2)]
        await load.fill(target.settings, 0)

        async def turn(count: int) -> tuple[load.Spent, load.Spent]:
            claims = await load.accept(database, ours, count, units)
            mine = await load.settle(database, ours, claims, at_once)
            return mine, await load.settle_bare(pool, bare, count, units, at_once)

        await turn(min(bundles, TURN_BUNDLES))  # connections are open and statements prepared from here on
        with voice.step("Bundles settled by the product and by bare SQL, in turns"):
            turns = [await turn(min(TURN_BUNDLES, bundles - n)) for n in range(0, bundles, TURN_BUNDLES)]
        costs = {}
        for postings in sizes:
            with voice.step(f"Bundles beside {postings:,} postings"):
                await load.fill(target.settings, postings)
                timed = [(await turn(min(bundles, TURN_BUNDLES)))[0] for _ in range(3)]
                costs[str(postings)] = round(min(t.seconds / t.bundles for t in timed) * 1000, 3)
        sum_zero = await pool.fetchval(_SUM)
        double, unpaid = await pool.fetchrow(_WRONG)
    mine, sql = (sum(t[side].seconds for t in turns) for side in (0, 1))
    values = list(costs.values())
    return Figures(
        units_per_s=round(bundles * units / mine, 1),
        bundles_per_s=round(bundles / mine, 1),
        sql_units_per_s=round(bundles * units / sql, 1),
        ratio_to_sql=round(sql / mine, 4),
        cost_ms_by_postings=costs,
        flatness=round(values[-1] / values[0], 3) if len(values) > 1 else None,
        ledger_sum_zero=bool(sum_zero), double_accruals=double, unpaid=unpaid,
        bundles=bundles, units_a_bundle=units, at_once=at_once,
    )  # fmt: skip
