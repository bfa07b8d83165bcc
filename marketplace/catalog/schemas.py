"""Commands and views of the catalog. (QualityPlan is read by tasks and quality too.)"""

from typing import Annotated

from pydantic import BaseModel, Field, model_validator


class QualityPlan(BaseModel):
    """How good the dataset must be and how that is checked; fixed before the first claim.

    A task starts with `overlap_min` answers and gets more until its consensus reaches `confidence_target` or it has
    `overlap_max`. Of the tasks a worker sees, `gold_share` are gold. The gates' bars: `gold_pass_share` of a bundle's
    gold right, `min_seconds_per_task` on average, `min_agreement` with the consensus of others.
    """

    overlap_min: Annotated[int, Field(ge=1, le=50)] = 3
    overlap_max: Annotated[int, Field(ge=1, le=50)] = 5
    confidence_target: Annotated[float, Field(gt=0.5, lt=1)] = 0.95
    gold_share: Annotated[float, Field(ge=0, le=0.5)] = 0.1
    gold_pass_share: Annotated[float, Field(ge=0, le=1)] = 0.7
    min_seconds_per_task: Annotated[float, Field(ge=0, le=600)] = 1.0
    min_agreement: Annotated[float, Field(ge=0, le=1)] = 0.5
    bundle_minutes: Annotated[float, Field(gt=0, le=120)] = 5.0
    bundle_max_tasks: Annotated[int, Field(ge=1, le=200)] = 20
    max_reworks: Annotated[int, Field(ge=0, le=5)] = 1

    @model_validator(mode="after")
    def overlap_in_order(self) -> "QualityPlan":
        """Refuse a plan whose overlap could never be reached."""
        if self.overlap_max < self.overlap_min:
            raise ValueError("overlap_max must be at least overlap_min")
        return self
