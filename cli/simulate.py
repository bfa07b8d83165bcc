"""`kapok simulate`: what becomes of the money when everything goes wrong, thousands of times."""

import os
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from cli.console import Voice, conclude, problems_explained
from cli.simulation.run import Outcome, run_all

ENOUGH_FOR_COVERAGE: Final = 500
_NAMED: Final = 10


def simulate(
    seeds: Annotated[int, typer.Option(min=1, help="How many seeds.")] = 1000,
    seed: Annotated[int | None, typer.Option(min=0, help="Only this one, to see again what it found.")] = None,
    first: Annotated[int, typer.Option(min=0, help="The first seed.")] = 0,
    mutants: Annotated[bool, typer.Option("--mutants", help="Take guards away; each must be noticed.")] = False,
    processes: Annotated[int, typer.Option(min=1, help="How many at once.")] = os.cpu_count() or 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
) -> None:
    """Move money through the sandbox with faults drawn from seeds, and compare Kapok's books with the provider's.

    Works on a PostgreSQL of its own. The same seed has the same bad luck.
    """
    voice = Voice(quiet=as_json)
    chosen = range(seed, seed + 1) if seed is not None else range(first, first + seeds)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with problems_explained(), Progress(*columns, console=voice.out, disable=voice.out.quiet) as bars:
        task = bars.add_task("Seeds", total=len(chosen))
        outcome = run_all(chosen, processes=processes, mutants=mutants, done=lambda more: bars.advance(task, more))
    conclude(_figures(outcome, asked_mutants=mutants), _show, voice, as_json=as_json)


def _figures(outcome: Outcome, *, asked_mutants: bool) -> dict[str, Any]:
    alive = sorted(name for name, seed in outcome.killed.items() if seed is None)
    problems = [f"seed {seed}: {'; '.join(wrong)}" for seed, wrong in sorted(outcome.broken.items())]
    problems += [f"{name}: {line}" for name, breaks in outcome.verified.items() for line in breaks]
    problems += [f"the mutant {name} is alive" for name in alive]
    if outcome.seeds >= ENOUGH_FOR_COVERAGE:
        problems += [f"never happened: {what} {fault}" for what, fault in outcome.coverage.missing]
    return {
        "seeds": outcome.seeds,
        "double_payments": outcome.found.double_payments,
        "unexplained_minor": outcome.found.unexplained_minor,
        "coverage": round(outcome.coverage.share, 4),
        "pairs_missing": [" ".join(pair) for pair in outcome.coverage.missing],
        "checks": len(outcome.verified),
        "mutants": len(outcome.killed) if asked_mutants else 0,
        "mutants_alive": alive if asked_mutants else [],
        "mutants_killed_by_seed": {name: seed for name, seed in outcome.killed.items() if seed is not None},
        "problems": problems,
    }


def _show(console: Console, figures: dict[str, Any]) -> None:
    console.print(f"{figures['seeds']:,} seeds, {figures['checks']} checks of the whole at the end")
    console.print(f"double payments: {figures['double_payments']}")
    console.print(f"unexplained minor units: {figures['unexplained_minor']}")
    console.print(f"pairs of step and fault that happened: {figures['coverage']:.1%}")
    if figures["mutants"]:
        console.print(f"mutants: {figures['mutants']}, alive: {', '.join(figures['mutants_alive']) or 'none'}")
        for name, seed in figures["mutants_killed_by_seed"].items():
            console.print(f"  {name}: noticed at seed {seed}")
    for line in figures["problems"][:_NAMED]:
        console.print(line, markup=False, style="red", soft_wrap=True)
    if len(figures["problems"]) > _NAMED:
        console.print(f"and {len(figures['problems']) - _NAMED} more")
    if figures["problems"]:
        console.print("`kapok simulate --seed N` lives through one seed again.")
