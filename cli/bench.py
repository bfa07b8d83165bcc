"""`kapok bench`: how fast this Kapok is on this machine, beside what its database alone would do."""

import asyncio
import json
import statistics
import time
from dataclasses import asdict, dataclass
from typing import Annotated, Final
from uuid import UUID

import asyncpg
import typer
from rich.table import Table

from cli.console import Voice, problems_explained
from cli.scenario.bench_load import Round, Timings, claim_row, drive, on_sql, over_http
from cli.scenario.bench_request import BenchRequest, analyze, make_request
from cli.scenario.client import Api
from cli.scenario.own_kapok import Target, own_kapok
from cli.scenario.people import Person, address_of, new_password
from cli.scenario.staff import DEMO_DOMAIN
from marketplace.core.db import Database, open_database, plain_url

bench = typer.Typer(no_args_is_help=True, help="Measure this Kapok on this machine.")

# The bench measures claim and submit, not the limit and not the gates, which run later and elsewhere.
ENVIRONMENT: Final = {"RATE_LIMIT_PER_MINUTE": "1000000000", "WORKER_PROCESSES": "0", "LOG_LEVEL": "WARNING"}
SAMPLES: Final = 400
TURN_SECONDS: Final = 1.0
_DOUBLE: Final = """
SELECT (SELECT count(*) FROM (SELECT seat_id FROM claim WHERE request_id = $1
                              AND state NOT IN ('returned', 'expired', 'rejected')
                              GROUP BY seat_id HAVING count(*) > 1) AS seats)
     + (SELECT count(*) FROM (SELECT task_id FROM answer WHERE request_id = $1
                              GROUP BY task_id HAVING count(*) > 1) AS tasks)
"""
_LOST: Final = """
SELECT count(*) FROM unnest($2::uuid[], $3::uuid[]) AS given(claim_id, task_id)
WHERE NOT EXISTS (SELECT 1 FROM answer a WHERE a.request_id = $1 AND a.task_id = given.task_id
                  AND a.claim_id = given.claim_id)
"""


_LET_GO: Final = "UPDATE request_worker SET held = 0 WHERE request_id = $1 AND worker_id = $2"


@dataclass(frozen=True)
class Figures:
    """What the bench found. `double_assignments` counts seats with two holders and tasks answered by two workers,
    though each was to be answered once; `lost_answers` those that were acknowledged and are not there.
    """

    tasks_per_s: float
    ratio_to_sql: float
    sql_tasks_per_s: float
    double_assignments: int
    lost_answers: int
    p50_ms: float
    p95_ms: float
    p99_ms: float
    claim: dict[str, float]
    submit: dict[str, float]
    answers: int
    seconds: float
    workers: int
    bundle: int
    claim_p50_ms_by_tasks: dict[str, float]
    claim_flatness: float | None


@dataclass(frozen=True)
class _Load:
    """What is asked of the bench."""

    tasks: int
    workers: int
    bundle: int
    seconds: float
    sizes: list[int]


@bench.callback()
def _only_subcommands() -> None:
    """Measure this Kapok on this machine."""


@bench.command()
def claims(  # the options of a command are its arguments
    tasks: Annotated[int, typer.Option(min=1, help="Tasks of the request.")] = 100_000,
    workers: Annotated[int, typer.Option(min=1, help="Workers at once.")] = 16,
    bundle: Annotated[int, typer.Option(min=1, max=200, help="Tasks a bundle.")] = 20,
    seconds: Annotated[float, typer.Option(min=0.1, help="How long each load runs at most.")] = 20.0,
    sizes: Annotated[str, typer.Option(help="Numbers of tasks at which a claim alone is timed.")] = "10000,1000000",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
) -> None:
    """Label tasks over HTTP and on the bare database: how many a second, and whether all is right.

    A Kapok of its own is started, with embedded servers, without rate limits and without job workers.
    """
    voice = Voice(quiet=as_json)
    load = _Load(tasks, workers, bundle, seconds, [int(size) for size in sizes.split(",") if size])
    with problems_explained(), own_kapok(ENVIRONMENT) as target:
        found = asyncio.run(_measure(target, load, voice))
    if as_json:
        print(json.dumps(asdict(found)))
    else:
        voice.out.print(_table(found))
    if found.double_assignments or found.lost_answers:
        raise typer.Exit(1)


async def _measure(target: Target, load: _Load, voice: Voice) -> Figures:
    with voice.step(f"{load.workers} workers"):
        people = await _workers(target, load.workers)
    ids = [UUID(person.id) for person in people]
    async with open_database(target.settings, hot_size=load.workers) as database:
        with voice.step(f"Two requests of {load.tasks:,} tasks"):
            over, bare = [await make_request(database, load.tasks, load.bundle, ids) for _ in range(2)]
            await analyze(target.settings)
        tokens = [person.access_token for person in people]
        with voice.step("Claims and submissions over HTTP and on the bare database, in turns"):
            async with (
                over_http(target.base_url, tokens, over) as calls,
                on_sql(target.settings, ids, bare) as statements,
            ):
                http, sql = await _in_turns(calls, statements, load.seconds)
        flat = await _claim_costs(target, database, ids[0], load, voice)
        double, lost = await _check(target, over, http)
    return _figures(load, http, sql, flat, (double, lost))


async def _in_turns(calls: list[Round], statements: list[Round], seconds: float) -> tuple[Timings, Timings]:
    """Let the two loads take turns, so that what else the machine does falls on both, until both are done."""
    http, sql = Timings(), Timings()
    while True:
        more_http = await drive(calls, min(TURN_SECONDS, seconds - http.seconds))
        more_sql = await drive(statements, min(TURN_SECONDS, seconds - sql.seconds))
        http += more_http
        sql += more_sql
        if not (more_http.claims or more_sql.claims):
            return http, sql


async def _workers(target: Target, count: int) -> list[Person]:
    async with Api(target.base_url) as api:
        people = [
            Person(api, f"Bench {n}", f"bench-{n}@{DEMO_DOMAIN}", new_password(), address_of(n)) for n in range(count)
        ]
        for person in people:
            await person.sign_up()
            await person.learn_id()
    return people


async def _claim_costs(
    target: Target, database: Database, worker_id: UUID, load: _Load, voice: Voice
) -> dict[str, float]:
    """Return the median milliseconds of the bare claim statement beside so many open tasks, for each size.

    The sizes take turns claim by claim, and each has had as many claims as the others.
    """
    requests = {}
    for size in load.sizes:
        with voice.step(f"A request of {size:,} tasks"):
            requests[size] = await make_request(database, size, load.bundle, [worker_id])
    if not requests:
        return {}
    await analyze(target.settings)
    samples = min(SAMPLES, max(min(load.sizes) // load.bundle // 2, 1))
    timings: dict[int, list[float]] = {size: [] for size in requests}
    with voice.step("Claims beside so many open tasks"):
        async with database.hot.acquire() as connection:
            for _ in range(samples):
                for size, request in requests.items():
                    began = time.perf_counter()
                    await claim_row(connection, worker_id, request)
                    timings[size].append(time.perf_counter() - began)
                    # the limit of claims held at once is not what is measured
                    await connection.execute(_LET_GO, request.id, worker_id)
    return {str(size): statistics.median(taken) * 1000 for size, taken in timings.items()}


async def _check(target: Target, request: BenchRequest, timings: Timings) -> tuple[int, int]:
    """Return, from the database, how many assignments were double and how many acknowledged answers are lost."""
    pairs = [(claim, task) for claim, tasks in timings.acknowledged.items() for task in tasks]
    connection = await asyncpg.connect(plain_url(target.settings.database_url))
    try:
        double = await connection.fetchval(_DOUBLE, request.id)
        lost = await connection.fetchval(_LOST, request.id, [claim for claim, _ in pairs], [task for _, task in pairs])
    finally:
        await connection.close()
    return int(double), int(lost)


def _percentile(samples: list[float], percent: int) -> float:
    """Return a percentile in milliseconds."""
    if len(samples) < 2:
        return round(sum(samples) * 1000, 3)
    return round(statistics.quantiles(samples, n=100, method="inclusive")[percent - 1] * 1000, 3)


def _spread(samples: list[float]) -> dict[str, float]:
    return {f"p{percent}_ms": _percentile(samples, percent) for percent in (50, 95, 99)}


def _figures(load: _Load, http: Timings, sql: Timings, flat: dict[str, float], faults: tuple[int, int]) -> Figures:
    costs = [flat[str(size)] for size in sorted(load.sizes)]
    return Figures(
        tasks_per_s=round(http.tasks_per_second, 1),
        ratio_to_sql=round(http.tasks_per_second / sql.tasks_per_second, 4),
        sql_tasks_per_s=round(sql.tasks_per_second, 1),
        double_assignments=faults[0],
        lost_answers=faults[1],
        **_spread(http.claims + http.submits),
        claim=_spread(http.claims),
        submit=_spread(http.submits),
        answers=sum(map(len, http.acknowledged.values())),
        seconds=round(http.seconds, 2),
        workers=load.workers,
        bundle=load.bundle,
        claim_p50_ms_by_tasks={size: round(cost, 3) for size, cost in flat.items()},
        claim_flatness=round(costs[-1] / costs[0], 3) if len(costs) > 1 else None,
    )


def _table(found: Figures) -> Table:
    table = Table("", "tasks/s", "p50 ms", "p95 ms", "p99 ms", title="Claim and submit")
    table.add_row("over HTTP", f"{found.tasks_per_s:,.0f}", "", "", "")
    table.add_row("bare SQL", f"{found.sql_tasks_per_s:,.0f}", "", "", "", end_section=True)
    for name, spread in (("claim", found.claim), ("submit", found.submit)):
        table.add_row(name, "", *(f"{milliseconds:,.1f}" for milliseconds in spread.values()))
    table.add_section()
    table.add_row("HTTP to SQL", f"{found.ratio_to_sql:.1%}", "", "", "")
    table.add_row("double assignments", str(found.double_assignments), "", "", "")
    table.add_row("lost answers", str(found.lost_answers), "", "", "")
    for size, cost in found.claim_p50_ms_by_tasks.items():
        table.add_row(f"bare claim beside {int(size):,} tasks", "", f"{cost:,.2f}", "", "")
    return table
