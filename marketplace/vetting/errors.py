"""What can go wrong with vetting."""

from marketplace.core.errors import Conflict, Forbidden, Invalid, NotFound, TooLarge


class SubjectNotVetted(Forbidden):
    """Vendors and people who act for themselves are vetted, nobody else."""

    code = "subject_not_vetted"


class ProfileMissing(Conflict):
    """Say first who you are: the profile is not filled in."""

    code = "profile_missing"


class ProfileUnknown(NotFound):
    """There is no such profile, or it is not yours to see."""

    code = "profile_unknown"


class ResidenceInReview(Conflict):
    """The country and region are being checked now; change them after the decision."""

    code = "residence_in_review"


class LanguageTagInvalid(Invalid):
    """This is not a language tag of BCP 47."""

    code = "language_tag_invalid"


class FileUnknown(NotFound):
    """There is no such vetting file, or it is not yours to see."""

    code = "vetting_file_unknown"


class FileOpen(Conflict):
    """There is a vetting file under way, or approved; it must end before another begins."""

    code = "vetting_file_open"


class ReasonMissing(Invalid):
    """This decision needs a written reason."""

    code = "reason_missing"


class OwnFile(Forbidden):
    """Nobody decides about themselves, or about an organisation they belong to."""

    code = "own_vetting_file"


class PapersClosed(Conflict):
    """Papers can be added only before the review, or when the operator asks for more."""

    code = "papers_closed"


class PaperUnknown(NotFound):
    """The vetting file has no such paper."""

    code = "paper_unknown"


class PaperTypeRefused(Invalid):
    """A paper is a PDF, a PNG or a JPEG, by its content and not by its name."""

    code = "paper_type_refused"


class PaperTooLarge(TooLarge):
    """The paper is larger than a paper may be."""

    code = "paper_too_large"


class PaperNameInvalid(Invalid):
    """The name of the file is empty or not a name."""

    code = "paper_name_invalid"


class TooManyPapers(Conflict):
    """The vetting file holds as many papers as it may."""

    code = "too_many_papers"
