"""The sandbox that has the tests: it runs them, and reports each. The code is in the other one.

The report goes through a pipe that only this process has, as lines of JSON: `ready`, then for each test its name when
it begins and its result, and at last `end`. Without `end`, nothing has passed.
"""

import ast
import json
import os
import sys
import types
from collections.abc import Callable, Iterator
from typing import Any

from .checking import Checks, Rewriter, brief
from .limits import prepare
from .objects import keep_source, place_in
from .peer import PeerLost
from .remote import Link

_TESTS_FILE = "tests.py"
_IS_ASYNC = 0x80  # inspect.CO_COROUTINE; the module costs milliseconds.
_Test = tuple[str, Callable[[], Any]]


def main(arguments: list[str]) -> None:
    """Read the tests from stdin, run them against the code at the other end, and report through a pipe."""
    wire, pipe = map(int, arguments)
    given = json.load(sys.stdin)
    reports = os.fdopen(pipe, "w", buffering=1)
    prepare([wire, pipe], given["limits"])
    judge = Judge(lambda line: print(json.dumps(line), file=reports))
    judge.report({"ready": True})
    try:
        end = judge.run(Link(wire), given["tests"], given["entry_point"])
    except PeerLost as error:
        end = {"lost": str(error)}
    judge.report({"end": end})
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # Threads of the tests don't keep it.


class Judge:
    """Runs tests, and reports each."""

    def __init__(self, report: Callable[[dict[str, Any]], None]) -> None:
        self.report = report
        self._checks, self._num_tests, self._lines = Checks(), 0, list[str]()

    def run(self, link: Link, tests: str, entry_point: str) -> dict[str, Any]:
        """Run all tests. Returns why there is no result if there is none."""
        keep_source(_TESTS_FILE, tests)
        self._lines = tests.splitlines()
        try:
            statements = ast.parse(tests, _TESTS_FILE).body
        except (SyntaxError, ValueError, RecursionError) as error:
            return {"problem": f"the tests aren't valid Python: {error}"}
        try:
            names = link.load()
        except PeerLost:
            raise
        except BaseException as error:
            self._finish("the code", self._message_of(error), isinstance(error, MemoryError))
            return {}
        if entry_point and entry_point not in names:
            return {"problem": f"the code has no {entry_point}"}
        module = self._module(names)
        if self._run_statements(statements, module):
            for name, test in _tests_of(module, names.get(entry_point)):
                self._run_test(name, test)
        if not self._checks.num_reached and not self._num_tests:
            return {"problem": "no test has run: the tests need an `assert`, or functions named test_…"}
        return {}

    def _module(self, names: dict[str, Any]) -> types.ModuleType:
        """Return the module of the tests. The code's names are there, and may be imported, too."""
        module, solution = types.ModuleType("tests"), types.ModuleType("solution")
        vars(solution).update(names)
        vars(module).update({**names, **self._checks.names()})
        sys.modules.update(solution=solution, tests=module)
        return module

    def _run_statements(self, statements: list[ast.stmt], module: types.ModuleType) -> bool:
        """Run the tests' module, statement by statement: an assert that fails is one failure, and the rest goes on."""
        for statement in statements:
            code = compile(Rewriter().visit(ast.Module([statement], [])), _TESTS_FILE, "exec")
            is_assert = isinstance(statement, ast.Assert)
            name = self._line(statement.lineno) if is_assert else "the tests"
            if is_assert:
                self.report({"begin": name})
            try:
                exec(code, module.__dict__)  # noqa: S102  what the sandbox is for
                if is_assert:
                    self._finish(name, None)
            except PeerLost:
                raise
            except BaseException as error:
                self._finish(name, self._message_of(error), isinstance(error, MemoryError))
                if not (is_assert and isinstance(error, Exception)):
                    return False
        return True

    def _run_test(self, name: str, test: Callable[[], Any]) -> None:
        self._num_tests += 1
        self.report({"begin": name})
        try:
            test()
            self._finish(name, None)
        except PeerLost:
            raise
        except BaseException as error:
            if _is_skip(error):
                self._num_tests -= 1
                return
            self._finish(name, self._message_of(error), isinstance(error, MemoryError))

    def _finish(self, name: str, message: str | None, is_memory: bool = False) -> None:
        case = {"name": name, "passed": message is None, "message": message or "", "memory": is_memory}
        self.report({"case": case})

    def _message_of(self, error: BaseException) -> str:
        """Return what failed: the line of the tests, the exception, and where in the code it comes from."""
        place = place_in(_TESTS_FILE, error)
        kind, text = type(error).__name__, brief(str(error))
        what = text if isinstance(error, AssertionError) and text else f"{kind}: {text}" if text else kind
        parts = [self._line(place[0])] if place else []
        return "; ".join([*parts, what, *getattr(error, "__notes__", [])])

    def _line(self, number: int) -> str:
        line = self._lines[number - 1].strip() if number <= len(self._lines) else ""
        return brief(f"line {number}: {line}")


def _tests_of(module: types.ModuleType, entry_point: Any) -> Iterator[_Test]:
    """Yield the tests in functions and classes; without any, `check(candidate)`."""
    found = False
    for name, value in list(vars(module).items()):
        if isinstance(value, types.FunctionType) and value.__module__ == "tests" and name.startswith("test"):
            found = True
            yield name, _run_function(value)
        elif type(value) is type and value.__module__ == "tests":
            for test in _tests_of_class(value):
                found = True
                yield test
    check = vars(module).get("check")
    if not found and isinstance(check, types.FunctionType) and entry_point is not None:
        yield "check", lambda: check(entry_point)


def _tests_of_class(kind: type) -> Iterator[_Test]:
    if not (_is_unittest(kind) or kind.__name__.startswith("Test")):
        return
    for name in [each for each in dir(kind) if each.startswith("test")]:
        yield f"{kind.__name__}.{name}", _run_method(kind, name)


def _run_method(kind: type, name: str) -> Callable[[], Any]:
    if _is_unittest(kind):
        # debug() raises what fails.
        return lambda: kind(name).debug()
    return lambda: _run_function(getattr(kind(), name))()


def _is_unittest(kind: type) -> bool:
    unittest = sys.modules.get("unittest")  # Without it, no test is one of its.
    return unittest is not None and issubclass(kind, unittest.TestCase)


def _is_skip(error: BaseException) -> bool:
    """Return whether the test skips itself. An exception of the code with that name isn't one."""
    unittest = sys.modules.get("unittest")
    return unittest is not None and isinstance(error, unittest.SkipTest)


def _run_function(function: Callable[[], Any]) -> Callable[[], Any]:
    if not function.__code__.co_flags & _IS_ASYNC:
        return function

    def run() -> Any:
        import asyncio  # It costs as much time as Python's start.

        return asyncio.run(function())

    return run
