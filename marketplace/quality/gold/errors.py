"""What can go wrong with gold."""

from marketplace.core.errors import Conflict, Invalid, NotFound


class GoldUnknown(NotFound):
    """The request has no such gold item."""

    code = "gold_unknown"


class GoldNotInDoubt(Conflict):
    """This gold item is not in doubt, or somebody decided on it before."""

    code = "gold_not_in_doubt"


class TruthNeeded(Invalid):
    """A correction needs the right answer, one that the label schema allows."""

    code = "gold_truth_needed"


class CandidateUnknown(NotFound):
    """Some of these are no open candidates of the request; none was changed."""

    code = "gold_candidate_unknown"
