"""Functions of other people: what they take, and how they are called from an event loop, async or not."""

import asyncio
import contextlib
import contextvars
import inspect
import threading
from collections.abc import Callable, Collection
from typing import Any, get_type_hints


async def call_anywhere(function: Callable[[], Any]) -> Any:
    """Call an async function here, and another one in a thread of its own.

    A thread that hangs can't be ended. It is a daemon, so that it keeps no program from ending.
    """
    if inspect.iscoroutinefunction(function):
        return await function()
    loop = asyncio.get_running_loop()
    outcome: asyncio.Future[Any] = loop.create_future()
    context = contextvars.copy_context()

    def work() -> None:
        try:
            value = context.run(function)
        except BaseException as error:
            _notify(loop, _fail, outcome, error)
        else:
            _notify(loop, _succeed, outcome, value)

    threading.Thread(target=work, daemon=True, name=f"llmos-app-{id(outcome):x}").start()
    value = await outcome
    return await value if inspect.isawaitable(value) else value


def capturing(function: Callable[..., Any], names: Collection[str]) -> Callable[..., dict[str, Any]]:
    """Return a function with these parameters that returns its arguments by name.

    Raises TypeError for parameters that have no name.
    """
    signature = inspect.signature(function)
    for name in names:
        parameter = signature.parameters[name]
        if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise TypeError(f"{function.__name__} has the parameter {parameter}; parameters are named one by one.")
    named = [signature.parameters[name].replace(kind=inspect.Parameter.KEYWORD_ONLY) for name in names]

    def capture(**kwargs: Any) -> dict[str, Any]:
        return kwargs

    hints = get_type_hints(annotated(function), include_extras=True)
    capture.__signature__ = signature.replace(parameters=named)  # type: ignore[attr-defined]
    capture.__annotations__ = {name: hint for name, hint in hints.items() if name in names}
    capture.__name__, capture.__module__ = getattr(function, "__name__", "function"), function.__module__
    return capture


def annotated(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return what has the annotations of a function, or of an object that is called as one."""
    return function if inspect.isroutine(function) else type(function).__call__


def _notify(loop: asyncio.AbstractEventLoop, callback: Callable[..., None], *args: Any) -> None:
    with contextlib.suppress(RuntimeError):  # The loop has ended: nobody waits for the outcome any more.
        loop.call_soon_threadsafe(callback, *args)


def _succeed(outcome: "asyncio.Future[Any]", value: Any) -> None:
    if not outcome.done():
        outcome.set_result(value)


def _fail(outcome: "asyncio.Future[Any]", error: BaseException) -> None:
    if not outcome.done():
        # A future takes no StopIteration.
        outcome.set_exception(RuntimeError(repr(error)) if isinstance(error, StopIteration) else error)
