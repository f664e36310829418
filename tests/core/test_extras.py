"""Without an extra, the error names the missing extra, instead of being an error of the server."""

import re
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from llmos.core.errors import BadRequest
from llmos.core.extras import MODULES, missing_extra

PROJECT = Path(__file__).parents[2] / "pyproject.toml"
OF_DEVELOPERS = {"audit", "charts", "check", "fuzz", "test", "wheel"}


def test_every_package_of_an_extra_has_its_modules_listed() -> None:
    project = tomllib.loads(PROJECT.read_text())["project"]
    always = {_name(each) for each in project["dependencies"]}
    extras = {
        name: {_name(each) for each in requirements} - always
        for name, requirements in project["optional-dependencies"].items()
        if name not in OF_DEVELOPERS
    }
    of_module = packages_distributions()
    assert extras.keys() == MODULES.keys()
    for extra, packages in extras.items():
        listed = {_name(package) for module in MODULES[extra] for package in of_module.get(module, ())}
        # A namespace such as opentelemetry has the modules of several packages.
        assert packages <= listed, extra


def test_the_package_and_the_command_that_installs_it_are_named() -> None:
    with pytest.raises(ModuleNotFoundError) as caught:
        raise ModuleNotFoundError("No module named 'pypdf'", name="pypdf.errors")
    refusal = missing_extra(caught.value)
    assert isinstance(refusal, BadRequest)
    assert refusal.message == "This needs the package pypdf, which isn't installed: pip install 'llmos[data]'"


@pytest.mark.parametrize("error", [ModuleNotFoundError(name="llmos.gone"), ModuleNotFoundError(), ValueError()])
def test_other_errors_are_none_of_its_business(error: Exception) -> None:
    assert missing_extra(error) is None


def _name(requirement: str) -> str:
    return re.split(r"[^\w.-]", requirement)[0].lower().replace("_", "-")
