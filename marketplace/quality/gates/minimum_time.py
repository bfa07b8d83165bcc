"""The work took at least the time that a person needs to look at it.

Speed alone says little (in half of the timed public sets the fastest answers were the best), so that it never withholds
pay by itself: fast work is accepted with a signal in its evidence, and the worker's next bundle holds more gold. It
weighs only together with gold below the bar: then the bundle goes back, even when the worker's record would let a bad
bundle pass.
"""

from typing import Final

from marketplace.quality.gates.facts import GateResult, Parameters, Submission
from marketplace.quality.gates.sentences import Sentence, needed
from marketplace.quality.states import Outcome, ReasonCode

NAME = "minimum_time"
INPUTS: Final = ("tasks", "elapsed_seconds", "reported_seconds", "gold")


def run(facts: Submission, parameters: Parameters) -> GateResult:
    """Note when both measures of time allow it and either says that the mean task was implausibly fast.

    Parameters: `min_seconds_per_task`; `min_fast_tasks`, how many tasks must have been below it; `gold_bar`, the share
    of this bundle's gold below which fast work goes back.
    """
    floor = float(parameters["min_seconds_per_task"])
    by_server = facts.elapsed_seconds / max(facts.tasks, 1)
    by_client = sum(facts.reported_seconds) / max(len(facts.reported_seconds), 1)
    figure = min(by_server, by_client)
    fast = facts.tasks if by_server < floor else sum(seconds < floor for seconds in facts.reported_seconds)
    too_fast = figure < floor and fast >= int(parameters["min_fast_tasks"])
    bar = float(parameters.get("gold_bar", 0.0))
    wrong = facts.gold.seen > 0 and facts.gold.share < bar
    evidence = {
        "mean_seconds_by_server": round(by_server, 3),
        "mean_seconds_by_client": round(by_client, 3),
        "fast_tasks": fast,
        "too_fast": too_fast,
    }
    params = {"seconds": round(figure, 2), "floor": floor}
    if not too_fast:
        sentence = Sentence("minimum_time.passed", params)
        return GateResult(NAME, Outcome.ACCEPTED, ReasonCode.PASSED, figure, floor, evidence, sentence)
    if not wrong:
        sentence = Sentence("minimum_time.fast", params)
        return GateResult(NAME, Outcome.ACCEPTED, ReasonCode.PASSED, figure, floor, evidence, sentence)
    gold = {"right": facts.gold.right, "seen": facts.gold.seen, "needed": needed(bar, facts.gold.seen)}
    sentence = Sentence("minimum_time.fast_and_wrong", {**params, **gold})
    return GateResult(NAME, Outcome.REWORK, ReasonCode.TOO_FAST, figure, floor, evidence, sentence)
