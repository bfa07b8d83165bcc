"""What the operator has set about paying people out: whose tax is withheld by which table, and which forms are needed.

Made from the settings at the edge and handed in, so that no command reads the process's settings by itself.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from marketplace.core.settings import Settings
from marketplace.payments.withholding import TaxMode, TaxTable, load_table


@dataclass(frozen=True, slots=True)
class PayoutRules:
    """The operator's rules of a payout; `forms_required` maps a payee's country (ISO 3166-1) to types of forms."""

    tax_mode: TaxMode = TaxMode.NONE
    tax_table_file: Path | None = None
    forms_required: Mapping[str, frozenset[str]] = field(default_factory=dict)

    def tax_table(self) -> TaxTable | None:
        """Return the table that the mode needs, None when nothing is withheld.

        Raises:
            TaxTableMissing: the mode needs a table, and the file cannot be used.
        """
        return load_table(self.tax_mode, self.tax_table_file)


def payout_rules(settings: Settings) -> PayoutRules:
    """Return the rules that the operator's settings make."""
    return PayoutRules(
        tax_mode=TaxMode(settings.tax_mode),
        tax_table_file=settings.tax_table_file,
        forms_required={country: frozenset(forms) for country, forms in settings.tax_forms_required.items()},
    )
