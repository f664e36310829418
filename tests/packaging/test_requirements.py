"""scripts/check_requirements.sh: one line names what a machine lacks, before anything is built."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.process

SCRIPT = Path(__file__).parents[2] / "scripts" / "check_requirements.sh"


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A folder that is the whole PATH: a Python that lacks nothing, and the tools that the build needs."""
    for name in ("python3", "g++", "make"):
        (tmp_path / name).write_text("#!/bin/sh\nexit 0\n")
        (tmp_path / name).chmod(0o755)
    return tmp_path


def check(machine: Path, *arguments: str) -> tuple[int, str]:
    outcome = subprocess.run(
        ["/bin/sh", str(SCRIPT), *arguments], env={"PATH": str(machine)}, capture_output=True, text=True, check=False
    )
    return outcome.returncode, outcome.stderr


def python_without(machine: Path, what: str) -> None:
    """Replace the machine's Python by one that fails where `what` is asked for."""
    (machine / "python3").write_text(f'#!/bin/sh\ncase "$*" in *"{what}"*) exit 1;; esac\n')


def test_a_machine_that_has_everything_is_told_nothing(machine: Path) -> None:
    assert check(machine) == (0, "")


def test_this_machine_could_build_it() -> None:
    outcome = subprocess.run(["/bin/sh", str(SCRIPT), sys.executable], capture_output=True, text=True, check=False)
    assert (outcome.returncode, outcome.stderr) == (0, "")


def test_everything_that_lacks_is_in_one_line(machine: Path) -> None:
    (machine / "python3").write_text('#!/bin/sh\ncase "$*" in *ensurepip*|*Python.h*) exit 1;; esac\n')
    (machine / "g++").unlink()
    (machine / "make").unlink()
    assert check(machine) == (
        1,
        "This machine lacks python3-venv python3-dev g++ make. On Debian or Ubuntu:"
        " sudo apt-get install python3-venv python3-dev g++ make\n",
    )


@pytest.mark.parametrize(("what", "package"), [("ensurepip", "python3-venv"), ("Python.h", "python3-dev")])
def test_a_part_of_python_is_named(machine: Path, what: str, package: str) -> None:
    python_without(machine, what)
    assert check(machine)[1].startswith(f"This machine lacks {package}. ")


def test_another_compiler_is_enough(machine: Path) -> None:
    (machine / "g++").rename(machine / "clang++")
    assert check(machine) == (0, "")


@pytest.mark.parametrize("python", ["python3", "python3.9"])
def test_an_old_python_or_none_is_told_what_to_do(machine: Path, python: str) -> None:
    python_without(machine, "version_info < (3, 11)")
    status, said = check(machine, python)
    assert (status, said.count("\n")) == (1, 1)
    assert "Python 3.11 or newer" in said
    assert "make PYTHON=" in said
