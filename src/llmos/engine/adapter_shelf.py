"""Which adapters the runner holds, and under which numbers: loaded by the first request for one, kept as long as nobody
needs the place."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from llmos.core.errors import Unavailable
from llmos.engine.runner import MAX_ADAPTERS, Runner

if TYPE_CHECKING:
    from llmos.engine.checkpoint.adapters import Adapter


@dataclass(slots=True)
class _Held:
    number: int
    num_users: int = 0


class AdapterShelf:
    """Belongs to the thread that steps; only `has` may be asked by any."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self._held: dict[str, _Held] = {}
        """By digest, the one that was taken longest ago first."""

    def has(self, digest: str) -> bool:
        return digest in self._held

    def take(self, digest: str, open_adapter: "Callable[[], Adapter]") -> int:
        """Return the adapter's number, which stays its own until as many release() as take() were called.

        Raises what `open_adapter` raises, and Unavailable where requests for too many others are in the engine.
        """
        held = self._held.pop(digest, None)
        if held is None:
            adapter = open_adapter()
            held = _Held(self._free_number())
            self._runner.set_adapter(held.number, adapter)
        held.num_users += 1
        self._held[digest] = held
        return held.number

    def release(self, digest: str) -> None:
        self._held[digest].num_users -= 1

    def check_invariants(self) -> None:
        """Assert that no two adapters have one number, and that none is used fewer than no times."""
        numbers = [held.number for held in self._held.values()]
        assert len(set(numbers)) == len(numbers) <= MAX_ADAPTERS
        assert all(held.num_users >= 0 for held in self._held.values())

    def _free_number(self) -> int:
        if len(self._held) < MAX_ADAPTERS:
            return next(n for n in range(MAX_ADAPTERS) if all(n != held.number for held in self._held.values()))
        for digest, held in self._held.items():
            if not held.num_users:
                del self._held[digest]
                self._runner.set_adapter(held.number, None)
                return held.number
        raise Unavailable(
            f"{MAX_ADAPTERS} adapters of this model are in use, which is all that there is room for. Try again in a "
            "moment.",
            retry_after_seconds=2,
        )
