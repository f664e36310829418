"""The code as the tests see it: its functions and objects, whose work is done in the other sandbox.

Values that the tests get are made here, of plain data. So no object decides itself whether it equals what a test
expects: one of a class of the code is never equal to plain data, nor smaller or larger.
"""

import builtins
import importlib
import sys
import types
from collections.abc import Callable, Mapping
from typing import Any

from . import values
from .objects import Exceptions, Handles, describe, describe_class
from .peer import Message, Peer

_FUNCTIONS = (types.FunctionType, types.BuiltinFunctionType, types.MethodType)
_ARITHMETIC = "add sub mul truediv floordiv mod pow matmul and or xor lshift rshift"
_FORWARDED = (
    "len iter next getitem setitem delitem contains reversed enter exit str repr format bool hash abs neg pos invert "
    f"round int float index {_ARITHMETIC} " + " ".join(f"r{each}" for each in _ARITHMETIC.split())
)
_COMPARED: dict[str, Callable[[Any, Any], bool]] = {
    "__lt__": lambda a, b: a < b,
    "__le__": lambda a, b: a <= b,
    "__gt__": lambda a, b: a > b,
    "__ge__": lambda a, b: a >= b,
    "__eq__": lambda a, b: a == b,
}


class Link:
    """Asks the worker, and makes what it answers into values."""

    def __init__(self, fd: int) -> None:
        self._peer = Peer(fd, self._answer)
        self._functions, self._remotes, self._exceptions = Handles(), dict[int, Remote](), Exceptions()

    def load(self) -> dict[str, Any]:
        """Run the code, and return the names that it has. Raises what it raises."""
        answer = self._ask({"do": "load"})
        named = {}
        for name, data in answer["names"].items():
            if not _may_be_named(name):
                continue
            try:
                named[name] = self.decode(data)
            except (values.NotPlain, ImportError):
                continue
        return named

    def call(self, remote: "Remote", args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        encoded = [self.encode(each) for each in args]
        named = {name: self.encode(each) for name, each in kwargs.items()}
        answer = self._ask({"do": "call", "target": remote._llmos_handle, "args": encoded, "kwargs": named})
        for at, after in answer.get("changed", ()):
            _write_over(args[at] if isinstance(at, int) else kwargs[at], self.decode(after))
        return self.decode(answer["value"])

    def do(self, do: str, handle: int, **more: Any) -> Any:
        """Return what comes of another request."""
        return self.decode(self._ask({"do": do, "target": handle, **more})["value"])

    def encode(self, value: Any) -> Any:
        return values.encode(value, self._refer)

    def decode(self, data: Any) -> Any:
        return values.decode(data, self._resolve)

    def _ask(self, request: Message) -> Message:
        answer = self._peer.ask(request)
        if sys.stdout is not sys.__stdout__:  # A test captures what is printed.
            sys.stdout.write(str(answer.get("printed", "")))
        if "error" in answer:
            error = self._exceptions.made(answer["error"], self.decode)
            if isinstance(error, StopIteration | StopAsyncIteration) and request.get("name") != "__next__":
                # It would end `all(map(f, …))` before the test has seen everything.
                error = RuntimeError(f"the code raised {type(error).__name__}")
            raise error
        return answer

    def _answer(self, request: Message) -> Message:
        """Call a function that a test gave to the code. Nothing else may be asked of the tests."""
        try:
            function = self._functions.object_of(request["target"])
            args = [self.decode(each) for each in request["args"]]
            kwargs = {name: self.decode(each) for name, each in request["kwargs"].items()}
            return {"value": self.encode(function(*args, **kwargs))}
        except Exception as error:
            return {"error": describe(error, self.encode)}

    def _refer(self, value: Any) -> Any:
        if isinstance(value, types.TracebackType):  # What a `with` statement hands on.
            return None
        if type(value) is Remote:
            return {"yours": value._llmos_handle}
        if isinstance(value, BaseException):
            return {"exception": describe(value, self.encode)}
        if isinstance(value, type) and issubclass(value, BaseException):
            return {"exception_class": describe_class(value)}
        if isinstance(value, _FUNCTIONS):
            return {"function": self._functions.handle_of(value)}
        raise TypeError(f"tests give plain values and functions to the code, and this is a {type(value).__name__}")

    def _resolve(self, name: str, held: Any) -> Any:
        if name == "object":
            handle, kind, is_plain = held
            if handle not in self._remotes:
                self._remotes[handle] = Remote(self, handle, str(kind), is_plain)
            return self._remotes[handle]
        if name == "coroutine":
            return _coroutine(self, held)
        if name == "exception":
            return self._exceptions.made(held, self.decode)
        if name == "exception_class":
            return self._exceptions.class_of(held)
        if name == "yours":
            return self._functions.object_of(held)
        if name == "module" and str(held).partition(".")[0] in sys.stdlib_module_names:
            return importlib.import_module(held)
        raise values.NotPlain(f"there is no {name}")


class Remote:
    """An object that stays with the code."""

    def __init__(self, link: Link, handle: int, kind: str, is_plain: bool) -> None:
        vars(self).update(_llmos_link=link, _llmos_handle=handle, _llmos_kind=kind, _llmos_is_plain=is_plain)

    _llmos_link: Link
    _llmos_handle: int
    _llmos_is_plain: bool

    def _llmos_plain(self) -> Any:
        """Return the value as the plain type that its class derives from."""
        return self._llmos_link.do("plain", self._llmos_handle)

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        return type(self._llmos_plain()) if self._llmos_is_plain else Remote

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._llmos_link.call(self, args, kwargs)

    def __getattr__(self, name: str) -> Any:
        return self._llmos_link.do("get", self._llmos_handle, name=name)

    def __setattr__(self, name: str, value: Any) -> None:
        self._llmos_link.do("set", self._llmos_handle, name=name, value=self._llmos_link.encode(value))

    def __instancecheck__(self, value: Any) -> bool:
        link = self._llmos_link
        return link.do("is_instance", self._llmos_handle, value=link.encode(value)) is True

    def __ne__(self, other: object) -> bool:
        equal: Any = self.__eq__(other)
        return equal if equal is NotImplemented else not equal


def _forwarded(name: str) -> Callable[..., Any]:
    def special(self: Remote, *args: Any) -> Any:
        link = self._llmos_link
        return link.do("special", self._llmos_handle, name=name, args=[link.encode(each) for each in args])

    return special


def _compared(name: str, compare: Callable[[Any, Any], bool]) -> Callable[[Remote, Any], Any]:
    ask = _forwarded(name)

    def special(self: Remote, other: Any) -> Any:
        if self is other and name == "__eq__":
            return True
        if type(other) is Remote:
            return ask(self, other) is True
        return compare(self._llmos_plain(), other) if self._llmos_is_plain else NotImplemented

    return special


for _name in _FORWARDED.split():
    setattr(Remote, f"__{_name}__", _forwarded(f"__{_name}__"))
for _name, _compare in _COMPARED.items():
    setattr(Remote, _name, _compared(_name, _compare))


def _may_be_named(name: str) -> bool:
    """Return whether the code may give this name to the tests: none that is Python's, or of the judge itself."""
    return name.isidentifier() and not name.startswith(("__", "_llmos")) and not hasattr(builtins, name)


async def _coroutine(link: Link, handle: int) -> Any:
    """Await a coroutine of the code: it runs to its end at once, in the other sandbox."""
    return link.do("await", handle)


def _write_over(argument: Any, after: Any) -> None:
    """Make an argument what the code made of it."""
    if type(argument) is not type(after):
        return
    if isinstance(argument, list | bytearray):
        argument[:] = after
    elif isinstance(argument, dict | set):
        argument.clear()
        argument.update(after)
