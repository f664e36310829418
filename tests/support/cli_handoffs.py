"""Handoffs of a home, as an application on this machine makes them."""

from collections.abc import Sequence

from llmos.cli.control.local import LocalControl
from llmos.cli.control.local_apps import OWNER, open_outbox
from llmos.core.schemas.handoffs import HandoffDescription
from llmos.data.apps.handoffs import Handoffs, NewHandoff
from support.apps import answer, question


def hand_over(control: LocalControl, *keys: str, session_id: str | None = None) -> Sequence[HandoffDescription]:
    """Make a handoff for each key."""
    handoffs = Handoffs(control.registry.database, control.keys_of_data, open_outbox(control))
    asked = {"app": "support", "question": "Do you repair it?", "messages": [question(), answer()]}
    return [handoffs.create(OWNER, NewHandoff(key=key, session_id=session_id, **asked)) for key in keys]  # type: ignore[arg-type]
