"""Handoffs: a person is told, when an app abstains: through the server's queue, or by a function of the program."""

from collections.abc import Callable, Mapping
from typing import Any

from llmos.apps.functions import EffectKey
from llmos.apps.live import current_run
from llmos.apps.steps import NotHappened, Step
from llmos.core.errors import BadRequest

HandoffTo = Callable[..., Any] | str | Mapping[str, str] | None
"""A function of the question and the messages before it; "queue"; or {"webhook": NAME or URL}."""


def handoff_step(to: HandoffTo) -> Step[..., Any] | None:
    """Return the effect that hands a question over. Raises BadRequest for what isn't a HandoffTo."""
    if to is None:
        return None
    if callable(to):
        return Step(to, effect=True, seconds=None)
    return _to_queue(_webhook_of(to))


def _to_queue(webhook: str | None) -> Step[..., Any]:
    async def hand_over(question: str, messages: list[dict[str, Any]], *, key: EffectKey) -> str:
        """Hand a question over to a person."""
        live = current_run()
        place = {"run": live.id, "session": live.description.session, "webhook": webhook}
        made = await live.server.handoffs.create(
            app=live.description.app, key=key, question=question, messages=messages, **place
        )
        return made.id

    def handed_over(question: str, messages: list[dict[str, Any]], *, key: EffectKey) -> NotHappened:
        return NotHappened()  # It may be asked again: the server makes one for each key.

    step = Step(hand_over, effect=True, seconds=None)
    step.reconcile(handed_over)
    return step


def _webhook_of(to: str | Mapping[str, str]) -> str | None:
    if to == "queue":
        return None
    if isinstance(to, Mapping) and [*to] == ["webhook"] and isinstance(to["webhook"], str):
        return to["webhook"]
    raise BadRequest(
        f"`handoff` is {to!r:.80}; it takes a function, 'queue', or {{'webhook': NAME or URL}}.", param="handoff"
    )
