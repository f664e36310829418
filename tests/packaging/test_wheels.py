"""The wheels of `make wheel`, each in an environment of its own, on a machine without a compiler."""

import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from support.elf import AARCH64, X86_64, ElfFile

pytestmark = pytest.mark.process

ROOT = Path(__file__).parents[2]
DIST = ROOT / "dist"
TAG = "cp311-abi3"  # every CPython from 3.11 on


def find_wheel(pattern: str) -> Path:
    wheels = sorted(DIST.glob(pattern), key=lambda path: path.stat().st_mtime)
    if not wheels:
        pytest.skip("make wheel makes the wheels that are tried here")
    return wheels[-1]


@pytest.fixture
def environment(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that installs wheels into a new environment, and returns the folder of its programs."""

    def install(*wheels: Path) -> Path:
        subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "venv")], check=True)
        programs = tmp_path / "venv" / "bin"
        pip = [str(programs / "python"), "-m", "pip", "install", "--quiet", "--only-binary", ":all:"]
        constraints = ["--constraint", str(ROOT / "constraints.txt")]
        subprocess.run([*pip, *constraints, *map(str, wheels)], check=True, env=clean(programs))
        return programs

    return install


def clean(programs: Path, **variables: str) -> dict[str, str]:
    """The environment of a program that finds nothing but what was installed: no compiler, no checkout."""
    kept = {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "HOME", "SSL_", "http"))}
    return {**kept, "PATH": str(programs), **variables}


@pytest.mark.parametrize(("machine", "code"), [("x86_64", X86_64), ("aarch64", AARCH64)])
def test_a_wheel_has_no_sources_and_one_module_for_its_machine(machine: str, code: int) -> None:
    files = zipfile.ZipFile(find_wheel(f"llmos-*-{TAG}-manylinux*_{machine}.whl"))
    names = files.namelist()
    assert [name for name in names if re.search(r"\.(cpp|h|hpp|cmake)$|csrc|CMakeLists", name)] == []
    assert {name.split("/")[0].split("-")[0].split(".")[0] for name in names} == {"llmos"}
    (module,) = [name for name in names if re.search(r"\.so(\.|$)", name)]
    assert module == "llmos/engine/_native.abi3.so"
    assert ElfFile(files.read(module)).machine == code


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_a_wheel_runs_on_systems_of_2021(machine: str) -> None:
    """Debian 12, Ubuntu 22.04 and Red Hat 9 have glibc 2.34 or newer, and the C++ library of GCC 11."""
    wheel = find_wheel(f"llmos-*-{TAG}-manylinux*_{machine}.whl")
    (minor,) = re.findall(rf"manylinux_2_(\d+)_{machine}", wheel.name)
    assert int(minor) <= 34


def test_the_installed_wheel_serves(environment: Callable[..., Path], smollm2_path: Path, tmp_path: Path) -> None:
    programs = environment(find_wheel(f"llmos-*-{TAG}-manylinux*_x86_64.whl"))
    environ = clean(programs, LLMOS_HOME=str(tmp_path / "home"))
    llmos = str(programs / "llmos")
    imported = [llmos, "import", str(smollm2_path.resolve()), "--name", "smollm2"]
    subprocess.run(imported, check=True, cwd=tmp_path, env=environ)
    server = subprocess.Popen(
        [llmos, "serve", "--port", "0"], cwd=tmp_path, env=environ, stdout=subprocess.PIPE, text=True
    )
    try:
        assert server.stdout is not None
        said = ""
        for line in server.stdout:
            said += line
            if line.startswith("Ready"):
                break
        url = re.search(r"http://127\.0\.0\.1:\d+", said)
        assert url is not None, said
        answer = subprocess.run(
            [llmos, "run", "dialogue", "Which animal says meow?", "--temperature", "0", "--max-tokens", "20"],
            cwd=tmp_path, env={**environ, "LLMOS_ENDPOINT": url[0]}, capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert "cat" in answer.stdout.lower()
    finally:
        server.terminate()
        server.communicate(timeout=60)


def test_the_client_alone_needs_httpx_and_msgspec(environment: Callable[..., Path], tmp_path: Path) -> None:
    programs = environment(find_wheel("llmos_client-*-py3-none-any.whl"))
    listed = subprocess.run(
        [str(programs / "python"), "-m", "pip", "list", "--format", "freeze"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    installed = {line.partition("==")[0].lower() for line in listed.splitlines()}
    assert installed <= {
        "anyio", "certifi", "h11", "httpcore", "httpx", "idna", "llmos-client", "msgspec", "pip", "setuptools",
        "typing_extensions", "sniffio",
    }  # fmt: skip
    program = (
        "import llmos\n"
        "from llmos import AsyncClient, Client, LLMOSError\n"
        "try:\n    Client('http://127.0.0.1:9', max_retries=0).models.list()\n"
        "except LLMOSError as error:\n    print(error.code)\n"
    )
    outcome = subprocess.run(
        [str(programs / "python"), "-W", "error", "-c", program], cwd=tmp_path, capture_output=True, text=True,
        env=clean(programs, LLMOS_HOME=str(tmp_path)), check=True,
    )  # fmt: skip
    assert outcome.stdout == "connection_failed\n"
