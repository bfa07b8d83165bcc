"""What can be wrong with votes."""

from marketplace.core.errors import Invalid


class VotesInvalid(Invalid):
    """These votes are no codes: they must be whole numbers within the counts of tasks, workers and classes."""

    code = "votes_invalid"


class VotesTooWide(Invalid):
    """There are too many tasks times classes for posteriors in memory: fit fewer tasks at a time."""

    code = "votes_too_wide"
