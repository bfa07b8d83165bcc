"""What can go wrong with a dataset request, its data and its files."""

from marketplace.core.errors import Conflict, Forbidden, Invalid, NotFound, TooLarge


class RequestNotFound(NotFound):
    """There is no such dataset request, or it is not yours to see."""

    code = "request_not_found"


class EnterpriseNeeded(Forbidden):
    """Only an enterprise makes dataset requests; act for yours."""

    code = "enterprise_needed"


class RequestInvalid(Invalid):
    """The dataset request breaks a rule of the market."""

    code = "request_invalid"


class RequestFrozen(Conflict):
    """The dataset request can no longer be changed in that way."""

    code = "request_frozen"


class RequestIncomplete(Conflict):
    """The dataset request lacks something that it needs before it can be published."""

    code = "request_incomplete"


class LabelSchemaInvalid(Invalid):
    """The label schema does not compile."""

    code = "label_schema_invalid"


class LabelSchemaNotFound(NotFound):
    """The dataset request has no label schema of this version."""

    code = "label_schema_not_found"


class GuidelineNotFound(NotFound):
    """The dataset request has no guideline of this version."""

    code = "guideline_not_found"


class GoldContradicted(Conflict):
    """Gold truths that are already there do not fit the new label schema."""

    code = "gold_contradicted"


class UploadNotFound(NotFound):
    """There is no such upload, or it is not yours to see."""

    code = "upload_not_found"


class UploadOffsetWrong(Conflict):
    """The upload stands at another offset; go on from the one given."""

    code = "upload_offset_wrong"


class UploadTooLarge(TooLarge):
    """The upload is larger than was announced, or than this Kapok takes."""

    code = "upload_too_large"


class UploadUnusable(Invalid):
    """The uploaded file cannot be read as the format it was announced as."""

    code = "upload_unusable"


class DeliveryNotFound(NotFound):
    """The dataset request has no delivery yet."""

    code = "delivery_not_found"


class DeliveryDecided(Conflict):
    """The delivery was accepted or disputed before."""

    code = "delivery_decided"


class ExportNotFound(NotFound):
    """There is no such export, or it is not yours to see."""

    code = "export_not_found"


class NothingToExport(Conflict):
    """The dataset request has no results to export yet."""

    code = "nothing_to_export"
