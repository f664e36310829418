"""The cost of starting a program, as the modules that it loads: seconds differ between machines."""

import json
import subprocess
import sys

import pytest

pytestmark = pytest.mark.process

HEAVY = {
    "llmos.engine", "llmos.gateway", "llmos.models", "llmos.deployments", "llmos.cli", "llmos.core.database",
    "numpy", "torch", "transformers", "tokenizers", "fastapi", "starlette", "uvicorn", "sqlalchemy", "alembic",
    "jinja2", "safetensors", "typer",
}  # fmt: skip


def loaded_by(program: str) -> set[str]:
    """Return the modules that a fresh interpreter has loaded after the program."""
    script = f"import sys\n{program}\nimport json; print(json.dumps(list(sys.modules)))"
    outcome = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(json.loads(outcome.stdout))


def test_importing_llmos_loads_only_llmos() -> None:
    assert {name for name in loaded_by("import llmos") if name.startswith("llmos")} == {"llmos"}


@pytest.mark.parametrize("name", ["Client", "AsyncClient", "LLMOSError"])
def test_the_client_loads_nothing_heavy(name: str) -> None:
    loaded = loaded_by(f"import llmos; llmos.{name}")
    assert loaded & HEAVY == set()
    assert "msgspec" not in loaded or name != "LLMOSError", "only the client decodes replies"


def test_the_client_loads_httpx_and_of_llmos_only_core() -> None:
    loaded = loaded_by("import llmos; llmos.Client")
    assert "httpx" in loaded
    rooms = {".".join(name.split(".")[:2]) for name in loaded if name.startswith("llmos.")}
    assert rooms == {"llmos.client", "llmos.core"}


def test_the_application_framework_loads_the_client_pydantic_and_nothing_heavy() -> None:
    loaded = loaded_by("import llmos.apps, llmos.apps.testing")
    assert loaded & (HEAVY - {"llmos.cli"}) == set()
    assert "pydantic" in loaded
    rooms = {".".join(name.split(".")[:2]) for name in loaded if name.startswith("llmos.")}
    assert rooms == {"llmos.apps", "llmos.client", "llmos.core"}
    assert "httpx" not in loaded, "it is loaded with the first question to a server"
    assert len(loaded) < 450, "each module takes time and memory: say in docs/benchmarks.md what more of them are for"


def test_the_help_of_the_command_loads_no_http_library() -> None:
    loaded = loaded_by("import io, sys; out, sys.stdout = sys.stdout, io.StringIO()\n"
                       "from llmos.cli import main; main(['--help']); sys.stdout = out")  # fmt: skip
    assert loaded & {"httpx", "numpy", "sqlalchemy", "fastapi", "llmos.client"} == set()


def test_an_unknown_name_is_an_attribute_error() -> None:
    import llmos

    with pytest.raises(AttributeError, match="no attribute 'Klient'"):
        _ = llmos.Klient
