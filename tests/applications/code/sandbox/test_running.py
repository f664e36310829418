"""Tests in the sandbox: what they may be, what the code may be, and how failures read."""

import pytest

from llmos.applications.code.sandbox import NoSandbox, SandboxLimits, bubblewrap, run_tests

pytestmark = [pytest.mark.process, pytest.mark.usefixtures("needs_sandbox")]

MEDIAN = """
def median(xs):
    xs = sorted(xs)
    return xs[len(xs) // 2]
"""


def test_each_assert_is_a_test_and_a_failure_shows_both_sides():
    report = run_tests(MEDIAN, "assert median([3, 1, 2]) == 2\nassert median([1, 2]) == 1.5\nassert median([5]) > 4")
    assert report.status == "failed"
    assert [each.passed for each in report.tests] == [True, False, True]
    assert report.why == "1 of 3 failed: line 2: assert median([1, 2]) == 1.5; got 2, expected 1.5"


def test_an_exception_shows_the_line_of_the_code():
    report = run_tests(MEDIAN, "assert median([]) is None")
    assert report.why.endswith(
        "line 1: assert median([]) is None; IndexError: list index out of range; "
        "line 4 of the code: return xs[len(xs) // 2]"
    )


@pytest.mark.parametrize(
    "tests",
    [
        "def test_one(): assert median([1]) == 1",
        "import unittest\nclass Cases(unittest.TestCase):\n    def test_one(self): self.assertEqual(median([1]), 1)",
        "class TestMedian:\n    def test_one(self): assert median([1]) == 1",
        "from solution import median as m\nassert m([1]) == 1",
        "import solution\nassert solution.median([1]) == 1",
        "def check(candidate):\n    assert candidate([1]) == 1",
        "async def test_one(): assert median([1]) == 1",
    ],
)
def test_tests_may_have_any_usual_form(tests):
    report = run_tests(MEDIAN, tests, entry_point="median")
    assert report.passed, report.why
    failing = run_tests(MEDIAN.replace("return", "return 1 +"), tests, entry_point="median")
    assert failing.status == "failed"


@pytest.mark.parametrize("tests", ["", "x = 1", "def check_all(): assert False", "import solution"])
def test_tests_that_check_nothing_do_not_pass(tests):
    report = run_tests(MEDIAN, tests)
    assert report.why == "No test has run: the tests need an `assert`, or functions named test_…."


def test_what_is_not_python_is_named():
    assert run_tests(MEDIAN, "assert (").why.startswith("The tests aren't valid Python: '(' was never closed")
    assert "line 1 of the code: def f(" in run_tests("def f(", "assert True").why
    assert run_tests(MEDIAN, "assert True", entry_point="mean").why == "The code has no mean."


def test_values_come_as_they_are():
    code = """
import datetime, decimal, fractions
values = [None, True, 1, 1.5, float("inf"), 10**40, -(10**40), "ä\\ud800", b"\\0", bytearray(b"x"), 1j, (1, [2]), {3},
          frozenset([4]), {"a": {1: 2}}, range(3), ..., int, ValueError, decimal.Decimal("1.10"),
          fractions.Fraction(1, 3), datetime.date(2026, 1, 2), datetime.timedelta(1, 2, 3),
          datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC)]
def same(x): return x
def get(): return values
"""
    tests = f"""{code.partition("def same")[0]}
got = get()
assert got == values and repr(got) == repr(values)
assert same(values) == values
"""
    report = run_tests(code, tests)
    assert report.passed, report.why


def test_classes_of_the_code_work_in_tests():
    code = """
import collections, dataclasses, enum
class Stack:
    def __init__(self): self.items = []
    def push(self, item): self.items.append(item)
    def __len__(self): return len(self.items)
    def __iter__(self): return iter(self.items)
    def __enter__(self): return self
    def __exit__(self, *error): return True
    @property
    def top(self): return self.items[-1]
@dataclasses.dataclass(order=True)
class Point:
    x: int
    y: int
    def __add__(self, other): return Point(self.x + other.x, self.y + other.y)
class Colour(enum.IntEnum):
    RED = 1
Pair = collections.namedtuple("Pair", "a b")
def count(text): return collections.Counter(text)
def numbers():
    yield from (1, 2)
"""
    tests = """
stack = Stack()
stack.push(3)
stack.push("x")
assert len(stack) == 2 and list(stack) == [3, "x"] and stack.top == "x" and 3 in stack
assert isinstance(stack, Stack) and not isinstance(3, Stack)
stack.items = []
assert not stack
with stack as entered:
    assert entered is stack
    raise ValueError
assert Point(1, 2) == Point(1, 2) != Point(1, 3)
assert Point(1, 2) < Point(2, 0) and Point(1, 2) + Point(1, 1) == Point(2, 3)
assert str(Point(1, 2)) == "Point(x=1, y=2)"
assert Colour.RED is Colour.RED and Colour.RED == 1
assert Pair(1, 2) == (1, 2) and Pair(1, 2).b == 2 and isinstance(Pair(1, 2), tuple)
assert count("aab") == {"a": 2, "b": 1} and count("aab")["a"] == 2
assert list(numbers()) == [1, 2] and next(numbers()) == 1
"""
    report = run_tests(code, tests)
    assert report.passed, [each.message for each in report.tests if not each.passed]


def test_functions_exceptions_changes_and_prints_cross_over():
    code = """
import asyncio
class Wrong(ValueError): pass
def apply(function, value): return function(value)
def sort(xs, *, into): xs.sort(); into["n"] = len(xs)
def fail(): raise Wrong("no", 3)
def swallow(function):
    try: function()
    except KeyError as error: return error.args
def say(): print("hello")
async def later(x):
    await asyncio.sleep(0)
    return x
"""
    tests = """
import asyncio, contextlib, io
assert apply(lambda x: x + 1, 2) == 3 and apply(len, [1]) == 1 and apply(int, "3") == 3
xs, into = [3, 1], {}
sort(xs, into=into)
assert xs == [1, 3] and into == {"n": 2}
try:
    fail()
except Wrong as error:
    caught = error
assert caught.args == ("no", 3) and isinstance(caught, ValueError)
def missing(): raise KeyError("k")
assert swallow(missing) == ("k",)
with contextlib.redirect_stdout(io.StringIO()) as printed:
    say()
assert printed.getvalue() == "hello\\n"
assert asyncio.run(later(4)) == 4
"""
    report = run_tests(code, tests)
    assert report.passed, [each.message for each in report.tests if not each.passed]
    assert report.stdout == "hello\n"


def test_a_run_that_is_cut_says_which_test_it_was_in():
    tests = "def test_quick(): assert True\ndef test_slow():\n    median([1])\n    while True: pass"
    report = run_tests(MEDIAN, tests, limits=SandboxLimits(cpu_seconds=1))
    assert (report.status, report.why) == ("timeout", "The tests took more than 1 s of the processor in test_slow.")
    assert [each.name for each in report.tests] == ["test_quick"]


def test_tests_in_a_sandbox_may_not_end_it():
    assert run_tests(MEDIAN, "import os\nos._exit(0)").status == "killed"
    assert run_tests(MEDIAN, "raise SystemExit(0)").status == "failed"


def test_without_bubblewrap_nothing_runs(monkeypatch):
    monkeypatch.setattr(bubblewrap.shutil, "which", lambda name: None)
    with pytest.raises(NoSandbox, match=r"code isn't run without one\. Install bubblewrap"):
        run_tests(MEDIAN, "assert True")


def test_where_namespaces_are_forbidden_nothing_runs(monkeypatch, tmp_path):
    ran = tmp_path / "ran"
    broken = tmp_path / "bwrap"
    broken.write_text("#!/bin/sh\necho 'bwrap: No permissions to create new namespace' >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setattr(bubblewrap.shutil, "which", lambda name: str(broken))
    with pytest.raises(NoSandbox, match=r"No permissions to create new namespace.*user namespaces"):
        run_tests(f"open({str(ran)!r}, 'w')", "assert True")
    assert not ran.exists()


def test_on_another_kind_of_machine_nothing_runs(monkeypatch):
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    with pytest.raises(NoSandbox, match="x86-64 and Arm"):
        run_tests(MEDIAN, "assert True")
