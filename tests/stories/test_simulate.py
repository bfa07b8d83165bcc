"""Seeded bad luck: money is neither doubled nor lost, and each guard that is taken away is missed at once."""

import json

import pytest
import uvloop
from typer.testing import CliRunner

from cli.main import app
from cli.simulate import ENOUGH_FOR_COVERAGE
from cli.simulation.faults import PAIRS
from cli.simulation.mutants import MUTANTS
from cli.simulation.run import run_seeds, try_mutant

SEEDS = 2000
PARTS = 8


@pytest.fixture(scope="module")
def migrated_url(servers: tuple[str, str], template: str) -> str:
    return f"{servers[0].rpartition('/')[0]}/{template}"


@pytest.mark.parametrize("part", range(PARTS))
def test_nothing_is_doubled_or_lost_when_everything_fails_in_turn(migrated_url: str, part: int) -> None:
    size = SEEDS // PARTS
    outcome = uvloop.run(run_seeds(migrated_url, range(part * size, (part + 1) * size)))
    assert outcome.broken == {}
    assert (outcome.seeds, outcome.found.double_payments, outcome.found.unexplained_minor) == (size, 0, 0)
    assert {name: breaks for name, breaks in outcome.verified.items() if breaks} == {}
    assert outcome.coverage.share > 0.95  # each part alone; the command insists on all pairs over many seeds


@pytest.mark.parametrize("mutant", MUTANTS)
def test_simulator_notices_when_a_guard_is_missing(migrated_url: str, mutant: str) -> None:
    assert uvloop.run(try_mutant(migrated_url, mutant)) is not None


def test_command_says_what_it_saw_when_asked_for_json() -> None:
    ran = CliRunner().invoke(app, ["simulate", "--seeds", "20", "--processes", "1", "--json"])
    figures = json.loads(ran.stdout)
    assert ran.exit_code == 0, ran.stdout
    assert (figures["seeds"], figures["double_payments"], figures["unexplained_minor"]) == (20, 0, 0)
    assert figures["checks"] >= 8
    assert 0 < figures["coverage"] <= 1
    assert len(figures["pairs_missing"]) == round((1 - figures["coverage"]) * len(PAIRS))
    assert figures["seeds"] < ENOUGH_FOR_COVERAGE  # so what is missing is told, and no problem
