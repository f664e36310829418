"""RecordedCalls: what tools and steps returned in another run, in place of calling them, for replays."""

from collections import defaultdict, deque
from collections.abc import Sequence
from typing import Any

import msgspec

from llmos.core.errors import NotRecorded
from llmos.core.schemas.runs import StepDescription


class RecordedCalls:
    """The results in the journal of one run. Nothing is called."""

    def __init__(self, steps: Sequence[StepDescription]) -> None:
        ended = [step for step in steps if step.state in ("done", "failed")]
        self._steps = {step.key: step for step in ended if step.kind == "step"}
        self._tools: dict[tuple[str, bytes], deque[StepDescription]] = defaultdict(deque)
        for step in ended:
            if step.kind == "tool":
                self._tools[_call(step.name, step.arguments)].append(step)

    def tool(self, name: str, arguments: Any) -> StepDescription:
        """Return the call with these arguments: of several, each once in their order, and then the last again.

        Raises NotRecorded.
        """
        found = self._tools.get(_call(name, arguments))
        if not found:
            raise NotRecorded(f"It calls the tool {name} with other arguments than the recorded run did.")
        return found.popleft() if len(found) > 1 else found[0]

    def step(self, key: str, name: str) -> StepDescription:
        """Return the step of this key. Raises NotRecorded."""
        if key not in self._steps:
            raise NotRecorded(f"It does the step {name}, and the recorded run didn't do it with these arguments.")
        return self._steps[key]


def _call(name: str, arguments: Any) -> tuple[str, bytes]:
    return name, msgspec.json.encode(arguments, order="sorted")
