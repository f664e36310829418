"""make audit: which licences pass, what the bill of materials says, and that nothing unchecked counts as safe."""

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def audit() -> ModuleType:
    pytest.importorskip("cyclonedx", reason="needs what `make audit` installs")
    spec = importlib.util.spec_from_file_location("audit", ROOT / "scripts" / "audit.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["audit"] = module  # dataclasses look it up
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def policy(audit: ModuleType) -> Any:
    return audit.read_policy(ROOT / "packaging" / "licenses.toml")


@pytest.mark.parametrize(
    ("expression", "allowed"),
    [
        ("MIT", True),
        ("GPL-3.0-only", False),
        ("MIT OR GPL-3.0-only", True),
        ("GPL-3.0-only OR MIT", True),
        ("MIT AND GPL-3.0-only", False),
        ("(MIT OR GPL-3.0-only) AND Apache-2.0", True),
        ("MIT AND (GPL-3.0-only OR AGPL-3.0-only)", False),
        ("GPL-3.0-only AND MIT OR Apache-2.0", True),
        ("Apache-2.0 WITH LLVM-exception", True),
        ("", False),
        ("MIT AND", False),
        ("(MIT", False),
        ("MIT MIT", False),
    ],
)
def test_an_expression_needs_all_of_an_and_and_one_of_an_or(audit: ModuleType, expression: str, allowed: bool) -> None:
    assert audit.is_allowed(expression, frozenset({"MIT", "Apache-2.0"})) is allowed


def test_a_licence_that_is_not_on_the_list_is_a_problem(audit: ModuleType, policy: Any) -> None:
    def problems(name: str, license: str | None) -> list[str]:
        return audit.license_problems([audit.Package(name, "1.0", license, ())], policy)

    assert problems("some", "MIT") == []
    assert "AGPL-3.0-only, which packaging/licenses.toml doesn't allow" in problems("some", "AGPL-3.0-only")[0]
    assert "no licence that is known" in problems("some", None)[0]
    assert problems("certifi", "MPL-2.0") == []
    assert problems("some", "MPL-2.0") != []
    assert problems("certifi", "GPL-3.0-only") != [], "an exception is for one licence"


def test_every_exception_says_why(policy: Any) -> None:
    assert all(each["reason"] for each in policy.exceptions.values())


@pytest.mark.thorough
def test_what_a_release_needs_is_allowed_and_all_of_it_is_in_the_bill(audit: ModuleType, policy: Any) -> None:
    packages = audit.release_packages(policy)
    assert audit.license_problems(packages, policy) == []
    bill = json.loads(audit.render_sbom(packages))
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    assert bill["metadata"]["component"]["name"] == "llmos"
    names = {component["name"] for component in bill["components"]}
    assert {"uvicorn", "cryptography", "psycopg-binary", "s3fs", "starlette"} <= names
    assert not {"pytest", "torch", "ruff"} & names
    assert all(component["licenses"] for component in bill["components"])
    (own,) = [each for each in bill["dependencies"] if each["ref"].startswith("pkg:pypi/llmos@")]
    assert any(each.startswith("pkg:pypi/uvicorn@") for each in own["dependsOn"])
    assert not any(each.startswith("pkg:pypi/starlette@") for each in own["dependsOn"]), "FastAPI needs it"


@pytest.mark.thorough
def test_the_bill_is_valid_cyclonedx(audit: ModuleType, policy: Any) -> None:
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator, MissingOptionalDependencyException

    try:
        problem = JsonStrictValidator(SchemaVersion.V1_6).validate_str(
            audit.render_sbom(audit.release_packages(policy))
        )
    except MissingOptionalDependencyException:
        pytest.skip("needs cyclonedx-python-lib[json-validation]")
    assert problem is None


def test_what_pip_audit_could_not_check_is_not_called_safe(audit: ModuleType) -> None:
    skipped = {"name": "a", "skip_reason": "Dependency not found on PyPI"}
    sound = {"name": "b", "version": "1", "vulns": []}
    broken = {"name": "c", "version": "2", "vulns": [{"id": "PYSEC-1", "fix_versions": ["3"]}]}
    report = audit.read_report(json.dumps({"dependencies": [skipped]}))
    assert (report.num_checked, report.unchecked) == (0, ("a",))
    report = audit.read_report(json.dumps({"dependencies": [skipped, sound, broken]}))
    assert (report.num_checked, report.unchecked) == (2, ("a",))
    assert report.vulnerabilities == ("c 2 has PYSEC-1: fixed in 3.",)
    assert audit.read_report("ERROR: connection failed").num_checked == 0
