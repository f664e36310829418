"""Orders: an example of what a shop knows about its orders, in a JSON file. Put your own system in its place."""

import json
import threading
from pathlib import Path
from typing import Any

from llmos.core.errors import BadRequest, Conflict, NotFound


class Orders:
    """{"AB123456": {"state": "packed", "carrier": "…", "tracking": "…"}}. Any thread may use it."""

    def __init__(self, path: Path) -> None:
        self._path, self._lock = path, threading.Lock()

    def status(self, order_id: str) -> str:
        """Return where an order is, in a sentence. Raises NotFound."""
        order = self._order(self._read(), order_id)
        parts = [f"The order {order_id} is {order['state']}"]
        parts += [f"with {order['carrier']}, tracking number {order['tracking']}"] if order.get("tracking") else []
        parts += [f"expected on {order['expected']}"] if order.get("expected") else []
        return ", ".join(parts) + "."

    def cancel(self, order_id: str) -> str:
        """Cancel an order that isn't sent yet. Raises NotFound, and Conflict for one that is. Twice is the same."""
        with self._lock:
            orders = self._read()
            order = self._order(orders, order_id)
            if order["state"] not in ("received", "packed", "cancelled"):
                raise Conflict(f"The order {order_id} is {order['state']} and can't be cancelled. It can be returned.")
            order["state"] = "cancelled"
            part = self._path.with_name(f"{self._path.name}.part")
            part.write_text(json.dumps(orders, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
            part.replace(self._path)
        return f"The order {order_id} is cancelled."

    def _read(self) -> dict[str, Any]:
        try:
            orders = json.loads(self._path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise BadRequest(f"{self._path.name} can't be read: {error}.") from None
        if not isinstance(orders, dict):
            raise BadRequest(f"{self._path.name} must be an object: its keys are the numbers of orders.")
        return orders

    def _order(self, orders: dict[str, Any], order_id: str) -> dict[str, Any]:
        order = orders.get(order_id)
        if not isinstance(order, dict) or not isinstance(order.get("state"), str):
            raise NotFound(f"There is no order {order_id}.")
        return order
