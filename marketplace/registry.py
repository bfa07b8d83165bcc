"""Imports every models module, so that the metadata is whole: for migrations and tests only."""

import marketplace.audit.models
import marketplace.catalog.models
import marketplace.core.idempotency
import marketplace.core.outbox
import marketplace.core.schedule
import marketplace.identity.models
import marketplace.ledger.models
import marketplace.matching.models
import marketplace.payments.bank_file.models
import marketplace.payments.control_models
import marketplace.payments.models
import marketplace.payments.sandbox.models
import marketplace.payments.tax_models
import marketplace.quality.annotators.models
import marketplace.quality.control.models
import marketplace.quality.fraud.models
import marketplace.quality.gold.models
import marketplace.quality.learned_models
import marketplace.quality.models
import marketplace.quality.process.models
import marketplace.quality.sampling.models
import marketplace.quality.skills.models
import marketplace.settlement.manual.models
import marketplace.settlement.minimum_pay_models
import marketplace.settlement.models
import marketplace.settlement.paper_models
import marketplace.tasks.gold_models
import marketplace.tasks.measure_models
import marketplace.tasks.models
import marketplace.tasks.skill_models
import marketplace.vetting.models
from marketplace.core.tables import metadata

__all__ = ["marketplace", "metadata"]
