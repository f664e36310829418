"""open_limits: every kind of limit, and what is told of them, as servers and commands have it."""

from llmos.billing.alerts.listener import AlertListener
from llmos.billing.budgets import BudgetSource
from llmos.billing.limit_book import LimitBook
from llmos.billing.plans.sources import CreditSource, PlanSource
from llmos.billing.reservations import Reservations
from llmos.core.database import Database


def open_limits(database: Database) -> Reservations:
    book = LimitBook(database, [BudgetSource(), PlanSource(), CreditSource()])
    return Reservations(book, listeners=[AlertListener()])
