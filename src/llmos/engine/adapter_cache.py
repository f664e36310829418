"""The adapters that the runner holds, and their indices. An adapter is loaded by the first request for it, and evicted
when another one needs its slot."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from llmos.core.errors import Unavailable
from llmos.engine.runner import MAX_ADAPTERS, Runner

if TYPE_CHECKING:
    from llmos.engine.checkpoint.adapters import Adapter


@dataclass(slots=True)
class _Entry:
    index: int
    ref_count: int = 0


class AdapterCache:
    """Belongs to the thread that steps the engine; has() alone may be called from any thread."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self._entries: dict[str, _Entry] = {}
        """By digest, least recently acquired first."""

    def has(self, digest: str) -> bool:
        return digest in self._entries

    def acquire(self, digest: str, open_adapter: "Callable[[], Adapter]") -> int:
        """Return the adapter's index, which is valid until release() was called as often as acquire().

        Raises what `open_adapter` raises, and Unavailable if all slots are in use by other adapters.
        """
        entry = self._entries.pop(digest, None)
        if entry is None:
            adapter = open_adapter()
            entry = _Entry(self._free_index())
            self._runner.set_adapter(entry.index, adapter)
        entry.ref_count += 1
        self._entries[digest] = entry
        return entry.index

    def release(self, digest: str) -> None:
        self._entries[digest].ref_count -= 1

    def check_invariants(self) -> None:
        """Assert that no two adapters have the same index, and that no reference count is negative."""
        indices = [entry.index for entry in self._entries.values()]
        assert len(set(indices)) == len(indices) <= MAX_ADAPTERS
        assert all(entry.ref_count >= 0 for entry in self._entries.values())

    def _free_index(self) -> int:
        """Return an index that no adapter has, after an eviction if need be."""
        if len(self._entries) < MAX_ADAPTERS:
            return next(i for i in range(MAX_ADAPTERS) if all(i != entry.index for entry in self._entries.values()))
        for digest, entry in self._entries.items():
            if not entry.ref_count:
                del self._entries[digest]
                self._runner.set_adapter(entry.index, None)
                return entry.index
        raise Unavailable(
            f"All {MAX_ADAPTERS} adapter slots of this model are in use. Try again in a moment.",
            retry_after_seconds=2,
        )
