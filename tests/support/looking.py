"""The pause between two looks at what a test waits for.

A loop without one takes the core, and Python's lock, from the thread or the process that the test waits for.
"""

import asyncio
import threading

_SECONDS = 0.002


async def pause() -> None:
    await asyncio.sleep(_SECONDS)


def pause_thread() -> None:
    threading.Event().wait(10 * _SECONDS)  # What threads look at is another process, which takes longer.
