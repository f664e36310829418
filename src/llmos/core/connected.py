"""Work for a caller over HTTP that ends when the caller hangs up. Knows ASGI, and no web framework."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, MutableMapping
from typing import Any

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
"""The `receive` callable of ASGI."""


WATCH_AFTER_SECONDS = 0.02
"""A client that hangs up earlier is noticed after this time."""


async def while_connected(receive: Receive, work: Coroutine[Any, Any, None]) -> None:
    """Run `work`, and cancel it as soon as the client hangs up. The body of the request must have been read."""
    task = asyncio.current_task()
    assert task is not None
    is_gone, watcher = False, None

    async def watch() -> None:
        nonlocal is_gone
        while (await receive())["type"] != "http.disconnect":
            pass
        is_gone = True
        task.cancel()

    def start_watching() -> None:
        nonlocal watcher
        watcher = asyncio.create_task(watch())

    # Most work has ended before, and a task takes as long as a tenth of it.
    timer = asyncio.get_running_loop().call_later(WATCH_AFTER_SECONDS, start_watching)
    try:
        await work
    except asyncio.CancelledError:
        # Only the cancellation by watch() ends here; any other one continues.
        if not is_gone or task.uncancel():
            raise
    finally:
        timer.cancel()
        if watcher is not None:
            watcher.cancel()
