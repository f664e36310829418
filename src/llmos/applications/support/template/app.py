"""Answers the customers of a shop from its documents, looks up orders, and asks a person what it can't answer."""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from llmos.applications.support import LanguageKnowledge, Orders
from llmos.apps import App

app = App.from_folder(__file__, knowledge=LanguageKnowledge.from_folder(__file__))
orders = Orders(Path(__file__).parent / "data" / "orders.json")

OrderId = Annotated[str, Field(pattern="^[A-Z]{2}[0-9]{6}$", description="Two letters and six digits.")]


@app.tool
def order_status(order_id: OrderId) -> str:
    """Where an order is."""
    return orders.status(order_id)


@app.tool(confirm=True)
def cancel_order(order_id: OrderId) -> str:
    """Cancel an order that isn't sent yet. A person confirms it."""
    return orders.cancel(order_id)
