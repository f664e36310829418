"""AppFolder: the folder of an application: app.yaml, app.py, prompts/, evals/ and data/."""

import importlib.util
import itertools
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from llmos.apps import App
from llmos.apps.manifest import folder_of
from llmos.client.asynchronous import AsyncClient
from llmos.core.app_files import files_in
from llmos.core.app_manifest import FILE_NAME, read_manifest
from llmos.core.errors import BadRequest
from llmos.core.schemas.app_manifests import AppManifest
from llmos.hosting.guarding import guard
from llmos.hosting.mcp import connect_mcp

PROGRAM = "app.py"

_numbers = itertools.count()


@dataclass(frozen=True, slots=True)
class AppFolder:
    """The folder of an application."""

    path: Path
    manifest: AppManifest

    @classmethod
    def open(cls, path: str | Path) -> "AppFolder":
        """Read the manifest of a folder. Raises BadRequest that names the file, and the field or the line."""
        folder = folder_of(path)
        if not folder.is_dir():
            raise BadRequest(f"There is no folder {path}. `llmos app init` makes one.")
        return cls(folder, read_manifest(folder))

    def files(self) -> list[Path]:
        """Return the files that belong to the application, relative to the folder, in order. Raises BadRequest."""
        return files_in(self.path)

    def load(self, connect: Callable[[], AsyncClient] | None = None) -> App:
        """Return the application: what app.py calls `app`, or without app.py what app.yaml alone describes. It has the
        tools of the MCP servers that app.yaml names, and its guardrails check what goes in and what comes out.

        The code of app.py runs, with its folder first among those that it imports from. `connect`: makes the client
        of an application that has no app.py.
        Raises BadRequest in one sentence, with the line of app.py, for code that can't be loaded.
        """
        app = self._load(connect)
        if self.manifest.guardrails is not None:
            guard(app, self._guardrails(self.manifest.guardrails))
        for source in connect_mcp(self.manifest.mcp, self.path):
            app.add_tools(source)
        return app

    def _load(self, connect: Callable[[], AsyncClient] | None) -> App:
        program = self.path / PROGRAM
        if not program.exists():
            return App.from_folder(self.path, **({} if connect is None else {"connect": connect}))
        app = getattr(_run(program), "app", None)
        if not isinstance(app, App):
            what = "nothing called `app`" if app is None else f"`app`, which is no App but {type(app).__name__}"
            raise BadRequest(f"{program} has {what}. Write `app = App.from_folder(__file__)`.")
        if app.name != self.manifest.name:
            raise BadRequest(f"{program} makes the app {app.name}, and {FILE_NAME} describes {self.manifest.name}.")
        return app

    def _guardrails(self, name: str) -> Path:
        """Return the file of the guardrails. Raises BadRequest for one that isn't in the folder."""
        path = (self.path / name).resolve()
        if not path.is_relative_to(self.path.resolve()) or not path.is_file():
            raise BadRequest(f"{FILE_NAME}: `guardrails` is {name}, and there is no such file in the folder.")
        return path


def _run(program: Path) -> ModuleType:
    name = f"llmos_app_{next(_numbers)}"
    spec = importlib.util.spec_from_file_location(name, program)
    assert spec is not None, "the name ends in .py"
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # pydantic looks up annotations there.
    with _importing_from(program.parent):
        try:
            spec.loader.exec_module(module)
        except BadRequest as error:
            raise BadRequest(f"{program}{_line_of(error, program)}: {error.message}") from error
        except Exception as error:
            detail = f"{type(error).__name__}: {error}"
            raise BadRequest(f"{program}{_line_of(error, program)} can't be loaded: {detail}") from error
    return module


@contextmanager
def _importing_from(folder: Path) -> Iterator[None]:
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))


def _line_of(error: Any, program: Path) -> str:
    """Return ", line 3": the last line of the program that the error passed."""
    if isinstance(error, SyntaxError) and error.filename == str(program):
        return f", line {error.lineno}"
    lines, trace = [], error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == str(program):
            lines.append(trace.tb_lineno)
        trace = trace.tb_next
    return f", line {lines[-1]}" if lines else ""
