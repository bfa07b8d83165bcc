"""Errors of models as workers."""

from marketplace.core.errors import Conflict, Forbidden, Invalid, NotFound, Unavailable


class AnnotatorUnknown(NotFound):
    """There is no such model in this request."""

    code = "annotator_unknown"


class AnnotatorsFull(Conflict):
    """A request takes no more models than this; stop one first."""

    code = "annotators_full"


class BackendAddressRefused(Invalid):
    """A model must be reached at a public https address."""

    code = "backend_address_refused"


class BackendUnreachable(Unavailable):
    """The model's backend could not be reached, or did not answer in time."""

    code = "backend_unreachable"


class BackendAnswerInvalid(Invalid):
    """The model's backend answered something that is not Label Studio's protocol."""

    code = "backend_answer_invalid"


class DataMayNotLeave(Forbidden):
    """The request's data may not be seen where the model runs."""

    code = "data_may_not_leave"


class KindNotPredictable(Conflict):
    """Masks are exchanged in a code of Label Studio's own, which models here do not speak."""

    code = "kind_not_predictable"


class NothingToPredict(Conflict):
    """A model labels a request that has a label schema, until its production has ended."""

    code = "nothing_to_predict"
