"""Support: answers out of documents in the language of the question, orders, and a person for what is left."""

from llmos.applications.support.languages import language_of
from llmos.applications.support.orders import Orders
from llmos.applications.support.sources import LanguageKnowledge

__all__ = ["LanguageKnowledge", "Orders", "language_of"]
