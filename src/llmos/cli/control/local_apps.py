"""Handoffs and webhooks in this machine's database, those of the project `owner`."""

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

from llmos.core.schemas.handoffs import HandoffDescription
from llmos.core.schemas.webhooks import DeliveryDescription, NewWebhookDescription, WebhookDescription
from llmos.core.who import this_user

if TYPE_CHECKING:
    from llmos.cli.control.local import LocalControl
    from llmos.core.webhooks.outbox import Outbox
    from llmos.core.webhooks.webhooks import Webhooks
    from llmos.data.apps.handoffs import Handoffs

OWNER = "owner"


class LocalHandoffs:
    def __init__(self, control: "LocalControl") -> None:
        self._control = control

    def list(self, *, app: str | None = None, state: str | None = None) -> Sequence[HandoffDescription]:
        return self._handoffs.list(OWNER, app=app, state=state)

    def get(self, id: str) -> HandoffDescription:
        return self._handoffs.get(OWNER, id)

    def take(self, id: str) -> HandoffDescription:
        return self._handoffs.take(OWNER, id, actor=this_user())

    def answer(self, id: str, text: str) -> HandoffDescription:
        return self._handoffs.answer(OWNER, id, text, actor=this_user())

    def close(self, id: str, *, reason: str = "") -> HandoffDescription:
        return self._handoffs.close(OWNER, id, reason=reason, actor=this_user())

    @property
    def _handoffs(self) -> "Handoffs":
        from llmos.data.apps.handoffs import Handoffs

        control = self._control
        return Handoffs(control.registry.database, control.keys_of_data, open_outbox(control))


class LocalWebhooks:
    def __init__(self, control: "LocalControl") -> None:
        self._control = control

    def add(
        self, name: str, url: str, *, events: Sequence[str] = (), allow_private: bool = False
    ) -> NewWebhookDescription:
        from llmos.core.webhooks.webhooks import NewWebhook

        new = NewWebhook(name=name, url=url, events=events, allow_private=allow_private)
        return open_webhooks(self._control).add(OWNER, new)

    def list(self) -> Sequence[WebhookDescription]:
        return open_webhooks(self._control).list(OWNER)

    def test(self, name: str) -> DeliveryDescription:
        import asyncio

        from llmos.core.webhooks.outbox import Claimed, Outcome
        from llmos.core.webhooks.sending import Sender

        async def send(message: Claimed) -> Outcome:
            async with Sender() as sender:
                return await sender.send(message)

        outbox = open_outbox(self._control)
        message = outbox.add_test(OWNER, name)
        return outbox.finish(message, asyncio.run(send(message)), again=False)

    def rotate(self, name: str, *, overlap_hours: float = 24) -> NewWebhookDescription:
        return open_webhooks(self._control).rotate(OWNER, name, overlap=timedelta(hours=overlap_hours))

    def deliveries(
        self, name: str | None = None, *, state: str | None = None, limit: int = 100
    ) -> Sequence[DeliveryDescription]:
        return open_outbox(self._control).deliveries(OWNER, name, state=state, limit=limit)

    def remove(self, name: str) -> None:
        open_webhooks(self._control).remove(OWNER, name)


def open_webhooks(control: "LocalControl") -> "Webhooks":
    from llmos.core.webhooks.webhooks import Webhooks

    return Webhooks(control.registry.database, control.keys_of_data)


def open_outbox(control: "LocalControl") -> "Outbox":
    from llmos.core.webhooks.outbox import Outbox

    return Outbox(control.registry.database, control.keys_of_data, open_webhooks(control))
