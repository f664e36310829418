"""Functions of an application: their arguments, checked by pydantic, and how they are called, sync or async."""

import asyncio
import contextlib
import contextvars
import functools
import hashlib
import inspect
import json
import threading
from collections.abc import Callable, Mapping
from typing import Any, NewType, get_type_hints

from pydantic import TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError, to_jsonable_python

EffectKey = NewType("EffectKey", str)
"""A parameter of this type gets the key of an effect: send it along, so that the other side does it once, too."""


class NotJSON(Exception):
    """A value has no JSON."""


class TookTooLong(Exception):
    """A function didn't end in its time."""


class Function:
    """A function with a JSON schema of its arguments."""

    def __init__(self, function: Callable[..., Any], name: str | None = None) -> None:
        self.function = function
        self.name = name or function.__name__
        self.description = inspect.getdoc(function) or ""
        self._key_parameter = _find_key_parameter(function)
        capturing: Any = _capturing(function, self._key_parameter)
        self._adapter: TypeAdapter[Any] = TypeAdapter(capturing)
        self._returned: TypeAdapter[Any] | None = _adapter_of_result(function)

    @functools.cached_property
    def parameters(self) -> dict[str, Any]:
        """The JSON schema of the arguments."""
        return self._adapter.json_schema()

    def parse(self, arguments: str) -> dict[str, Any]:
        """Return the arguments in a JSON object. Raises pydantic.ValidationError."""
        kwargs: dict[str, Any] = self._adapter.validate_json(arguments)
        return kwargs

    def bind(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Return the arguments of a call by their names. Raises TypeError."""
        bound = inspect.signature(self.function).bind_partial(*args, **kwargs)
        bound.apply_defaults()
        return dict(bound.arguments)

    async def call(self, arguments: Mapping[str, Any], *, key: str = "", seconds: float | None = None) -> Any:
        """Call the function. Raises TookTooLong, and what it raises."""
        given = dict(arguments) if self._key_parameter is None else {**arguments, self._key_parameter: EffectKey(key)}
        timer = asyncio.timeout(seconds)
        try:
            async with timer:
                return await call_anywhere(functools.partial(self.function, **given))
        except TimeoutError:
            if timer.expired():
                raise TookTooLong(f"it didn't end within {seconds:g} s.") from None
            raise

    def dump(self, value: Any) -> Any:
        """Return the result as JSON has it. Raises NotJSON."""
        try:
            if self._returned is None:
                dumped = to_jsonable_python(value)
            else:
                dumped = self._returned.dump_python(value, mode="json")
            json.dumps(dumped, ensure_ascii=False, allow_nan=False).encode()
            return dumped
        except (PydanticSerializationError, ValueError, RecursionError) as error:
            raise NotJSON(str(error).partition("\n")[0]) from None

    def load(self, value: Any) -> Any:
        """Return the result that dump() made this of."""
        return value if self._returned is None else self._returned.validate_python(value)


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


def faults_of(error: ValidationError) -> str:
    """Return what is wrong with a value, in one line."""
    return "; ".join(f"{'.'.join(map(str, each['loc'])) or 'the value'}: {each['msg']}" for each in error.errors())


def digest_of(value: Any) -> str:
    """Return the SHA-256 of a JSON value."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()


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


def _capturing(function: Callable[..., Any], without: str | None) -> Callable[..., dict[str, Any]]:
    """Return a function with the same parameters that returns its arguments by name."""
    signature = inspect.signature(function)
    for parameter in signature.parameters.values():
        if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise TypeError(f"{function.__name__} has the parameter {parameter}; parameters are named one by one.")
    named = [
        each.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for name, each in signature.parameters.items()
        if name != without
    ]

    def capture(**kwargs: Any) -> dict[str, Any]:
        return kwargs

    hints = {name: hint for name, hint in get_type_hints(function, include_extras=True).items() if name != without}
    capture.__signature__ = signature.replace(parameters=named)  # type: ignore[attr-defined]
    capture.__annotations__ = {name: hint for name, hint in hints.items() if name != "return"}
    capture.__name__, capture.__module__ = function.__name__, function.__module__
    return capture


def _find_key_parameter(function: Callable[..., Any]) -> str | None:
    hints = get_type_hints(function)
    return next((name for name, hint in hints.items() if hint is EffectKey and name != "return"), None)


def _adapter_of_result(function: Callable[..., Any]) -> TypeAdapter[Any] | None:
    hint = get_type_hints(function, include_extras=True).get("return", Any)
    return None if hint is Any else TypeAdapter(hint)
