"""BillingServices: the ledger, the limits and all that is billed by them, as a server has them."""

from dataclasses import dataclass

from llmos.billing.alerts.messages import AlertMessages
from llmos.billing.budgets import Budgets, Subjects
from llmos.billing.credit.credit import Credit
from llmos.billing.credit.returns import CreditReturns
from llmos.billing.exporters.batches import ExportBatches
from llmos.billing.exporters.exporters import Exporters
from llmos.billing.invoices.invoices import Invoices
from llmos.billing.invoices.settings import InvoiceSettingsBook
from llmos.billing.ledger import Ledger
from llmos.billing.ledger_writer import LedgerWriter
from llmos.billing.limit_book import LimitBook
from llmos.billing.opening import open_limits
from llmos.billing.plans.plans import Plans
from llmos.billing.price_books import PriceBooks
from llmos.billing.purchases.books import ProviderPrices
from llmos.billing.purchases.costs import ProviderCosts
from llmos.billing.reservation_writer import ReservationWriter
from llmos.billing.usage import Usage
from llmos.core.config import Settings
from llmos.core.database import Database
from llmos.core.encryption.encryption import Encryption
from llmos.core.webhooks.outbox import Outbox


@dataclass(frozen=True, kw_only=True, slots=True)
class BillingServices:
    ledger: Ledger
    ledger_writer: LedgerWriter
    limit_book: LimitBook
    reservations: ReservationWriter
    budgets: Budgets
    usage: Usage
    price_books: PriceBooks
    provider_prices: ProviderPrices
    provider_costs: ProviderCosts
    plans: Plans
    credit: Credit
    credit_returns: CreditReturns
    alert_messages: AlertMessages
    exporters: Exporters
    export_batches: ExportBatches
    invoices: Invoices
    invoice_settings: InvoiceSettingsBook

    def close(self) -> None:
        """Write what is held, and stop writing."""
        self.ledger_writer.close()
        self.reservations.close()


def open_billing(
    settings: Settings, database: Database, encryption: Encryption, outbox: Outbox, subjects: Subjects
) -> BillingServices:
    """Return the billing of one server. `outbox`: where alerts wait for their webhooks."""
    held = open_limits(database)
    ledger = Ledger(database, held)
    ledger_writer = LedgerWriter(ledger, settings.ledger_spill_path)
    credit = Credit(database, held.book, check_project=subjects.check_project)
    exporters = Exporters(database, encryption)
    return BillingServices(
        ledger=ledger,
        ledger_writer=ledger_writer,
        limit_book=held.book,
        reservations=ReservationWriter(database, held, ledger, ledger_writer, settings.ledger_spill_path),
        budgets=Budgets(database, held.book, subjects),
        usage=Usage(database),
        price_books=PriceBooks(database),
        provider_prices=ProviderPrices(database, check_provider=subjects.check_provider),
        provider_costs=ProviderCosts(database),
        plans=Plans(database, held.book, check_project=subjects.check_project),
        credit=credit,
        credit_returns=CreditReturns(database, credit),
        alert_messages=AlertMessages(database, encryption, outbox),
        exporters=exporters,
        export_batches=ExportBatches(database, exporters),
        invoices=Invoices(database),
        invoice_settings=InvoiceSettingsBook(database, check_project=subjects.check_project),
    )
