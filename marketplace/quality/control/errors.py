"""What can go wrong with control rules and skills."""

from marketplace.core.errors import Conflict, NotFound


class ControlActionUnknown(NotFound):
    """There is no such action, or it is not yours to see."""

    code = "control_action_unknown"


class ControlActionEnded(Conflict):
    """This action was lifted before, or nothing holds by it that could be lifted."""

    code = "control_action_ended"


class WorkerUnknown(NotFound):
    """Nobody of this pseudonym works on this request."""

    code = "request_worker_unknown"
