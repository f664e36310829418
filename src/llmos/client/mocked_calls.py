"""MockedCalls: what tools and steps return in a case of an eval, in place of calling them."""

from collections.abc import Mapping, Sequence
from typing import Any

from llmos.core.errors import NotRecorded
from llmos.core.schemas.runs import CallMock


class MockedCalls:
    """The mocks of one run, and whether effects that have none may happen."""

    def __init__(self, mocks: Sequence[CallMock], *, allows_effects: bool) -> None:
        self._mocks, self._allows_effects = mocks, allows_effects

    def find(self, name: str, arguments: Any) -> CallMock | None:
        """Return the first mock for a call; None for a tool or step that has none, which is called.

        Raises NotRecorded where there are mocks, but none with such arguments.
        """
        own = [mock for mock in self._mocks if mock.tool == name]
        found = next((mock for mock in own if _fits(mock.arguments, arguments)), None)
        if own and found is None:
            raise NotRecorded(f"It calls {name} with arguments that none of the case's `mocks` has.")
        return found

    def check_effect(self, name: str) -> None:
        """Raise NotRecorded unless an effect may happen."""
        if not self._allows_effects:
            raise NotRecorded(
                f"It calls {name}, which has effects, and the case has no mock for it. Add one to its `mocks`, or write"
                " `effects: true` in the suite."
            )


def _fits(wanted: Mapping[str, Any] | None, arguments: Any) -> bool:
    """Return whether a call has the arguments that a mock names. It may have others, too."""
    if wanted is None:
        return True
    return isinstance(arguments, dict) and all(
        name in arguments and arguments[name] == value for name, value in wanted.items()
    )
