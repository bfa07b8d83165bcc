"""Adaptive overlap: when a task has enough answers, and how much one more would tell.

Pure rules over figures that a consensus gives; the market and the replays of `kapok bench overlap` ask the same ones.
"""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt

RAW_DOUBT: Final = 10.0
_CERTAIN: Final = 1e-12


@dataclass(frozen=True, slots=True)
class StoppingRule:
    """When a task is done: its label is sure, and by votes that one careless worker cannot turn around.

    `confidence`: the probability from which a label is sure. A posterior by itself stops too early, since models of
    workers are overconfident on few answers (stopping as in Wald, Sequential Tests of Statistical Hypotheses, 1945,
    holds for the true likelihood only), so that `lead` asks besides for so many more votes for the label than for its
    rival. `calibrated_lead` replaces it where confidences were calibrated on gold answers and so mean what they say.
    """

    confidence: float = 0.95
    lead: float = 3.0
    calibrated_lead: float = 2.0

    def of_posteriors(self) -> "StoppingRule":
        """Return the rule for raw posteriors of a model that nothing has calibrated: their doubt counts tenfold.

        A posterior of Dawid and Skene's model of .99 or more was right 87 % of the time (mean of 16 public sets).
        """
        return replace(self, confidence=1 - (1 - self.confidence) / RAW_DOUBT)

    def needs_more(  # the figures of one task
        self, confidence: float, lead: float, answers: int, least: int, most: int, *, calibrated: bool = False
    ) -> bool:
        """Return whether a task needs another answer.

        Args:
            confidence: probability that the task's label is right.
            lead: votes for the label, less the votes for the strongest other one.
            answers: how many it has; with fewer than `least` it needs more, with `most` it never does.
            least: answers that every task gets.
            most: answers it may have at all: the plan's, or fewer when the budget pays for fewer.
            calibrated: whether `confidence` was calibrated on gold.
        """
        if answers >= most:
            return False
        if answers < least or not confidence >= self.confidence:  # a confidence that is no number is not sure
            return True
        return lead < (self.calibrated_lead if calibrated else self.lead)


def expected_gain(posterior: npt.NDArray[np.float64], accuracy: float) -> float:
    """Return by how many nats one more answer is expected to lower the entropy of a task's label.

    It is the mutual information of label and answer (Lindley, On a Measure of the Information Provided by an
    Experiment, 1956) for a worker who is right with probability `accuracy` and else gives any other class alike:
    H(answer) − H(answer | label). Never negative; 0 for a worker who guesses and for a label that is certain.

    Args:
        posterior: probabilities of the classes, summing to 1; K of them.
        accuracy: probability (0 to 1) that the worker is right.
    """
    classes = len(posterior)
    if classes < 2:
        return 0.0
    wrong = (1 - accuracy) / (classes - 1)
    answer = wrong + (accuracy - wrong) * posterior
    given = np.array([accuracy] + [wrong] * (classes - 1))
    return max(_entropy(answer) - _entropy(given), 0.0)


def gain_per_price(posterior: npt.NDArray[np.float64], accuracy: float, price: float) -> float:
    """Return the nats that an answer is expected to bring for each unit of money it costs: whom to ask next, and where.

    Raises:
        ValueError: the price is not above 0.
    """
    if not price > 0:
        raise ValueError("an answer has a price above 0")
    return expected_gain(posterior, accuracy) / price


def _entropy(probabilities: npt.NDArray[np.float64]) -> float:
    some = probabilities[probabilities > _CERTAIN]
    return float(-(some * np.log(some)).sum())
