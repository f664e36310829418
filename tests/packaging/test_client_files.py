"""The client's own wheel has every module that the client and the application framework import."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
IMPORT_CLIENT = """
import sys
import llmos.apps, llmos.apps.testing, yaml
from llmos import AsyncClient, Client, LLMOSError
from llmos.core import yaml_text
print(*(module.__file__ for name, module in sys.modules.items() if name.partition(".")[0] == "llmos"), sep="\\n")
"""


@pytest.mark.process
def test_the_wheel_of_the_client_has_every_module_that_it_imports() -> None:
    project = tomllib.loads((ROOT / "packaging" / "client" / "pyproject.toml").read_text())
    included = [
        (ROOT / "packaging" / "client" / path).resolve()
        for path in project["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    ]
    imported = subprocess.run(
        [sys.executable, "-c", IMPORT_CLIENT], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert len(imported) > 10
    missing = [path for path in imported if not any(Path(path).resolve().is_relative_to(each) for each in included)]
    assert missing == [], "list them in packaging/client/pyproject.toml"
