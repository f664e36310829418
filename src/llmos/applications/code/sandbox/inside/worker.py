"""The sandbox that has the code: it does what the tests ask of it, and says what comes of it."""

import builtins
import io
import json
import operator
import os
import sys
import types
from collections.abc import Callable
from typing import Any, TextIO

from . import values
from .limits import prepare
from .objects import CODE_FILE, Exceptions, Handles, describe, describe_class, is_module, keep_source
from .peer import Message, Peer, PeerLost

_CHANGEABLE = (list, dict, set, bytearray)


def main(arguments: list[str]) -> None:
    """Read the code from stdin, and serve the socket whose number is the argument."""
    wire, given = int(arguments[0]), json.load(sys.stdin)
    prepare([wire], given["limits"])
    worker = Worker(given["code"])
    worker.peer = Peer(wire, worker.answer)
    try:
        worker.peer.serve()
    except PeerLost:
        os._exit(0)


class Worker:
    """The code as a module, and the objects that the tests got out of it."""

    peer: Peer

    def __init__(self, code: str) -> None:
        self._code, self._handles, self._exceptions = code, Handles(), Exceptions()
        self._stdout = sys.stdout = _Stdout(sys.stdout)
        self._requests: dict[str, Callable[[Message], Any]] = {
            "load": self._load,
            "call": self._call,
            "get": lambda request: getattr(self._target(request), request["name"]),
            "set": lambda request: setattr(self._target(request), request["name"], self._decode(request["value"])),
            "special": self._special,
            "await": lambda request: _await(self._target(request)),
            "is_instance": lambda request: isinstance(self._decode(request["value"]), self._target(request)),
            "plain": lambda request: values.plain_view(self._target(request)),
        }

    def answer(self, request: Message) -> Message:
        """Do what a request says. An exception is an answer, too."""
        try:
            result = self._requests[request["do"]](request)
            answer: Message = result if isinstance(result, _Answer) else {"value": self._encode(result)}
        except PeerLost:
            raise
        except BaseException as error:
            answer = {"error": describe(error, self._encode)}
        return {**answer, "printed": self._stdout.taken()}

    def _load(self, request: Message) -> Message:
        keep_source(CODE_FILE, self._code)
        module = types.ModuleType("solution")
        sys.modules["solution"] = module
        exec(compile(self._code, CODE_FILE, "exec"), module.__dict__)  # noqa: S102  what the sandbox is for
        named = {}
        for name, value in vars(module).items():
            if name.startswith("__"):
                continue
            if isinstance(value, type) and issubclass(value, BaseException):
                self._exceptions.known.setdefault(value.__name__, value)
            try:
                named[name] = self._encode(value)
            except (values.NotPlain, RecursionError):
                continue
        return _Answer(names=named)

    def _call(self, request: Message) -> Message:
        function = self._target(request)
        args = [self._decode(each) for each in request["args"]]
        kwargs = {name: self._decode(each) for name, each in request["kwargs"].items()}
        value = self._encode(function(*args, **kwargs))
        changed = []
        for at, argument in [*enumerate(args), *kwargs.items()]:
            if type(argument) in _CHANGEABLE:
                before = request["args" if isinstance(at, int) else "kwargs"][at]
                if (after := self._encode(argument)) != before:
                    changed.append([at, after])
        return _Answer(value=value, changed=changed)

    def _special(self, request: Message) -> Any:
        target, name = self._target(request), request["name"]
        args = [self._decode(each) for each in request["args"]]
        if name in ("__enter__", "__exit__"):
            return getattr(type(target), name)(target, *args)
        if name.startswith("__r") and (reflected := vars(operator).get(f"__{name[3:]}")):
            return reflected(args[0], target)
        function = vars(operator).get(name) or getattr(builtins, name.strip("_"))
        return function(target, *args)

    def _target(self, request: Message) -> Any:
        return self._handles.object_of(request["target"])

    def _encode(self, value: Any) -> Any:
        return values.encode(value, self._refer)

    def _decode(self, data: Any) -> Any:
        return values.decode(data, self._resolve)

    def _refer(self, value: Any) -> Any:
        if isinstance(value, _Callback):
            return {"yours": value.handle}
        if isinstance(value, BaseException):
            return {"exception": describe(value, self._encode)}
        if isinstance(value, type) and issubclass(value, BaseException):
            return {"exception_class": describe_class(value)}
        if is_module(value):
            return {"module": value.__name__}
        if isinstance(value, types.CoroutineType):
            return {"coroutine": self._handles.handle_of(value)}
        is_plain = values.plain_view(value) is not None
        return {"object": [self._handles.handle_of(value), type(value).__name__, is_plain]}

    def _resolve(self, name: str, held: Any) -> Any:
        if name == "yours":
            return self._handles.object_of(held)
        if name == "function":
            return _Callback(self, held)
        if name == "exception":
            return self._exceptions.made(held, self._decode)
        if name == "exception_class":
            return self._exceptions.class_of(held)
        raise values.NotPlain(f"there is no {name}")

    def call_back(self, handle: int, args: Any, kwargs: Any) -> Any:
        """Call a function of the tests."""
        message = {
            "do": "call",
            "target": handle,
            "args": [self._encode(each) for each in args],
            "kwargs": {name: self._encode(each) for name, each in kwargs.items()},
        }
        answer = self.peer.ask(message)
        if "error" in answer:
            raise self._exceptions.made(answer["error"], self._decode)
        return self._decode(answer["value"])


class _Answer(dict[str, Any]):
    """An answer that is encoded already."""


class _Stdout(io.TextIOBase):
    """Prints, and keeps what was printed for tests that capture it."""

    def __init__(self, stdout: TextIO) -> None:
        self._stdout, self._kept = stdout, list[str]()

    def write(self, text: str) -> int:
        self._kept.append(text)
        return self._stdout.write(text)

    def flush(self) -> None:
        self._stdout.flush()

    def taken(self) -> str:
        """Return what was printed since the last call."""
        self._stdout.flush()
        printed, self._kept = "".join(self._kept), []
        return printed


class _Callback:
    """A function of the tests."""

    def __init__(self, worker: Worker, handle: int) -> None:
        self._worker, self.handle = worker, handle

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._worker.call_back(self.handle, args, kwargs)


def _await(awaitable: Any) -> Any:
    import asyncio  # It costs as much time as Python's start.

    async def wait() -> Any:
        return await awaitable

    return asyncio.run(wait())
