"""The work took at least the time that a person needs to look at it.

Speed alone says little (in half of the timed public sets the fastest answers were the best), so the bar is a floor of
plausibility on the mean of a bundle: one fast task never fails, and the first time the bundle only goes back.
"""

from marketplace.quality.gates.facts import GateResult, Parameters, Submission
from marketplace.quality.states import Outcome, ReasonCode

NAME = "minimum_time"


def run(facts: Submission, parameters: Parameters) -> GateResult:
    """Ask for rework when both measures of time allow it and either says that the mean task was implausibly fast.

    Parameters: `min_seconds_per_task`; `min_fast_tasks`, how many tasks must have been below it.
    """
    floor = float(parameters["min_seconds_per_task"])
    by_server = facts.elapsed_seconds / max(facts.tasks, 1)
    by_client = sum(facts.reported_seconds) / max(len(facts.reported_seconds), 1)
    figure = min(by_server, by_client)
    fast = facts.tasks if by_server < floor else sum(seconds < floor for seconds in facts.reported_seconds)
    evidence = {
        "mean_seconds_by_server": round(by_server, 3),
        "mean_seconds_by_client": round(by_client, 3),
        "fast_tasks": fast,
    }
    if figure < floor and fast >= int(parameters["min_fast_tasks"]):
        return GateResult(NAME, Outcome.REWORK, ReasonCode.TOO_FAST, figure, floor, evidence)
    return GateResult(NAME, Outcome.ACCEPTED, ReasonCode.PASSED, figure, floor, evidence)
