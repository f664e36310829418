"""One agent for each machine that is a node: a lock on a file, beside the folder of the node's certificate."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from llmos.core.errors import Conflict
from llmos.core.locks import locked


@contextmanager
def only_agent(folder: Path) -> Iterator[None]:
    """Run the agent of a node in the block. Raises Conflict if another process does. `folder`: of its certificate."""
    path = _path(folder)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        with locked(path, keep=True, wait=False):
            yield
    except BlockingIOError:
        raise Conflict(f"The agent of this node runs already: another process uses {folder}.") from None


def is_agent_running(folder: Path) -> bool:
    path = _path(folder)
    if not path.exists():
        return False
    try:
        with locked(path, keep=True, wait=False):
            return False
    except BlockingIOError:
        return True


def _path(folder: Path) -> Path:
    # Not in the folder, which goes when the node leaves.
    return folder.with_name(f"{folder.name}.lock")
