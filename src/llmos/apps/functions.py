"""Functions of an application: their arguments, checked by pydantic, and how they are called, sync or async."""

import asyncio
import functools
import hashlib
import inspect
import json
from collections.abc import Callable, Collection, Mapping
from typing import Any, NewType, Protocol, get_type_hints

from pydantic import TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError, to_jsonable_python

from llmos.core.calling import annotated, call_anywhere, capturing

EffectKey = NewType("EffectKey", str)
"""A parameter of this type gets the key of an effect: send it along, so that the other side does it once, too."""


class NotJSON(Exception):
    """A value has no JSON."""


class TookTooLong(Exception):
    """A function didn't end in its time."""


class Operation(Protocol):
    """The operation behind a tool or a step: a function of this program, or an operation of another one."""

    name: str
    description: str

    @property
    def parameters(self) -> Mapping[str, Any]: ...
    def parse(self, arguments: str) -> dict[str, Any]:
        """Return the arguments in a JSON object. Raises ValueError."""
        ...

    def bind(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]: ...
    async def call(self, arguments: Mapping[str, Any], *, key: str = "", seconds: float | None = None) -> Any: ...
    def dump(self, value: Any) -> Any: ...
    def load(self, value: Any) -> Any: ...


class Function:
    """A function with a JSON schema of its arguments."""

    def __init__(
        self, function: Callable[..., Any], name: str | None = None, only: Collection[str] | None = None
    ) -> None:
        """`only`: the parameters that are its arguments; the others are given elsewhere."""
        self.function = function
        self.name = name or function.__name__
        self.description = inspect.getdoc(function) or ""
        self._key_parameter = _find_key_parameter(function)
        names = inspect.signature(function).parameters if only is None else only
        captured: Any = capturing(function, [name for name in names if name != self._key_parameter])
        self._adapter: TypeAdapter[Any] = TypeAdapter(captured)
        # One that is given some arguments elsewhere is called there, too.
        self._returned: TypeAdapter[Any] | None = _adapter_of_result(function) if only is None else None

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


def faults_of(error: ValueError) -> str:
    """Return what is wrong with a value, in one line."""
    if not isinstance(error, ValidationError):
        return str(error)
    return "; ".join(f"{'.'.join(map(str, each['loc'])) or 'the value'}: {each['msg']}" for each in error.errors())


def digest_of(value: Any) -> str:
    """Return the SHA-256 of a JSON value."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()


def _find_key_parameter(function: Callable[..., Any]) -> str | None:
    hints = get_type_hints(annotated(function))
    return next((name for name, hint in hints.items() if hint is EffectKey and name != "return"), None)


def _adapter_of_result(function: Callable[..., Any]) -> TypeAdapter[Any] | None:
    hint = get_type_hints(annotated(function), include_extras=True).get("return", Any)
    return None if hint is Any else TypeAdapter(hint)
