"""How many labels are right: up to four estimates, each with its interval, and which of them heads the report.

- a share of a sample (reviews, gold): Jeffreys' interval, the quantiles of Beta(right + ½, wrong + ½), with 0 and 1 as
  its ends when nothing was right or wrong (L. Brown, T. Cai, A. DasGupta, "Interval Estimation for a Binomial
  Proportion", Statistical Science 16, 2001, §4.3);
- the mean confidence: when confidences are honest, the number of right labels is a sum of independent trials with
  those probabilities (Poisson's binomial), of variance Σ p(1 − p); the interval is the normal one around the mean.
"""

from typing import Final

import numpy as np
from scipy.stats import norm

from marketplace.quality.delivery_report.evidence import NONE, Bools, Evidence, Floats
from marketplace.quality.delivery_report.golden import GoldAnswers
from marketplace.quality.delivery_report.relabel import GoldLabels
from marketplace.quality.delivery_report.schemas import (
    AccuracyFigures,
    Estimate,
    ReliabilityBin,
    ReliabilityFigures,
    Source,
)
from marketplace.quality.policy import jeffreys

LEVEL: Final = 0.95
LEAST_SAMPLES: Final = 20
"""Fewer reviews or gold labels than this do not head a report: an interval of 20 right ones still goes down to 0.88."""
BINS: Final = 10


def accuracy_figures(evidence: Evidence, gold: GoldAnswers, labeled: GoldLabels) -> AccuracyFigures:
    """Return every estimate that there are data for, best first."""
    reviewed = [review.right for review in evidence.reviews]
    found = [
        _share(Source.REVIEWS, sum(reviewed), len(reviewed)),
        _share(Source.GOLD_LABELS, int(labeled.right.sum()), len(labeled.right)),
        _by_confidence(evidence.items.confidence[evidence.items.label != NONE]),
        _share(Source.GOLD_ANSWERS, int(gold.right.sum()), len(gold.right)),
    ]
    estimates = [one for one in found if one is not None]
    return AccuracyFigures(headline=_headline(estimates), least_samples=LEAST_SAMPLES, estimates=estimates)


def _share(source: Source, right: int, seen: int) -> Estimate | None:
    if seen == 0:
        return None
    low, high = jeffreys(right, seen)
    return Estimate(source=source, value=right / seen, low=low, high=high, level=LEVEL, samples=seen)


def _by_confidence(confidence: Floats) -> Estimate | None:
    count = len(confidence)
    if count == 0:
        return None
    mean = float(confidence.mean())
    reach = float(norm.ppf(0.5 + LEVEL / 2)) * float(np.sqrt((confidence * (1 - confidence)).sum())) / count
    return Estimate(
        source=Source.CONFIDENCE, value=mean, low=max(mean - reach, 0.0), high=min(mean + reach, 1.0), level=LEVEL,
        samples=count,
    )  # fmt: skip


def _headline(estimates: list[Estimate]) -> Source | None:
    for one in estimates:
        if one.source is Source.CONFIDENCE or (one.source is not Source.GOLD_ANSWERS and one.samples >= LEAST_SAMPLES):
            return one.source
    return None


def reliability_figures(labeled: GoldLabels) -> ReliabilityFigures | None:
    """Return the reliability diagram of gold labels (M. DeGroot, S. Fienberg, 1983), or None without any.

    The expected calibration error weighs each bin's |mean confidence − share right| by its tasks (M. Naeini, G. Cooper,
    M. Hauskrecht, "Obtaining Well Calibrated Probabilities Using Bayesian Binning", AAAI 2015).
    """
    count = len(labeled.right)
    if count == 0:
        return None
    of = np.minimum((labeled.confidence * BINS).astype(int), BINS - 1)
    bins = [_bin(at, labeled.confidence[of == at], labeled.right[of == at]) for at in range(BINS)]
    error = sum(
        one.tasks * abs(one.mean_confidence - one.share_right)
        for one in bins
        if one.mean_confidence is not None and one.share_right is not None
    )
    brier = float(np.mean((labeled.confidence - labeled.right) ** 2))
    return ReliabilityFigures(
        tasks=count, right=int(labeled.right.sum()), expected_error=error / count, brier=brier, bins=bins
    )


def _bin(at: int, confidence: Floats, hits: Bools) -> ReliabilityBin:
    tasks, right = len(hits), int(hits.sum())
    low, high = jeffreys(right, tasks) if tasks else (None, None)
    return ReliabilityBin(
        low=at / BINS, high=(at + 1) / BINS, tasks=tasks, right=right,
        mean_confidence=float(confidence.mean()) if tasks else None, share_right=right / tasks if tasks else None,
        share_low=low, share_high=high,
    )  # fmt: skip
