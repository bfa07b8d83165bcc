"""When the brake closes, by figures alone."""

import pytest

from marketplace.quality.process.policy import Figures, reason_to_hold


@pytest.mark.parametrize(
    ("figures", "reason"),
    [
        (Figures(decided=20, rejected=7, workers=6, workers_rejected=3, appeals=0, overturned=0), "mass_rejection"),
        (Figures(decided=19, rejected=19, workers=9, workers_rejected=9, appeals=0, overturned=0), None),
        (Figures(decided=20, rejected=6, workers=6, workers_rejected=6, appeals=0, overturned=0), None),
        # a few bots with half of all bundles are no mass
        (Figures(decided=100, rejected=50, workers=20, workers_rejected=5, appeals=0, overturned=0), None),
        (Figures(decided=40, rejected=20, workers=4, workers_rejected=2, appeals=0, overturned=0), None),
        (Figures(decided=6, rejected=6, workers=6, workers_rejected=6, appeals=5, overturned=2), "overturned_appeals"),
        (Figures(decided=6, rejected=6, workers=6, workers_rejected=6, appeals=5, overturned=1), None),
        (Figures(decided=6, rejected=6, workers=6, workers_rejected=6, appeals=4, overturned=4), None),
    ],
)
def test_brake_closes_when_rejections_are_many_and_broad_or_were_wrong(figures: Figures, reason: str | None) -> None:
    assert reason_to_hold(figures) == reason
