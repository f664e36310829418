"""Audit the packages of a release: licences, a bill of materials, known vulnerabilities. `make audit` runs it.

python scripts/audit.py [--sbom dist/llmos.cdx.json]

licences         every package has one that packaging/licenses.toml allows; else status 1
SBOM             CycloneDX 1.6, JSON: every package with version, licence and what it needs
vulnerabilities  pip-audit asks PyPI; status 1 for a known one. Where PyPI can't be reached, it says so

The packages are those that `pip install llmos[data,postgresql,presidio,s3,signing]` installs, in the versions that are
here.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
EXTRAS = ("data", "postgresql", "presidio", "s3", "signing")
"""The extras that users install; the others are for work on LLMOS itself."""

UNREACHABLE = "NOT CHECKED for known vulnerabilities: the vulnerability data can't be reached"


@dataclass(frozen=True, slots=True)
class Package:
    name: str
    version: str
    license: str | None
    """An SPDX expression; None if the package gives none that is known."""
    needs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Policy:
    """packaging/licenses.toml"""

    allowed: frozenset[str]
    exceptions: Mapping[str, Mapping[str, str]]
    names: Mapping[str, str]
    read: Mapping[str, str]


def main() -> int:
    parser = argparse.ArgumentParser(description="Audit the packages of a release.")
    parser.add_argument("--sbom", type=Path, default=ROOT / "dist" / "llmos.cdx.json")
    path = parser.parse_args().sbom
    policy = read_policy(ROOT / "packaging" / "licenses.toml")
    packages = release_packages(policy)
    problems = license_problems(packages, policy)
    print("\n".join(problems) or f"Licences: {len(packages)} packages, all allowed.")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(render_sbom(packages))
    print(f"SBOM: {path}")
    is_sound = check_vulnerabilities(packages)
    return 1 if problems or not is_sound else 0


def read_policy(path: Path) -> Policy:
    found = tomllib.loads(path.read_text())
    return Policy(frozenset(found["allowed"]), found["exceptions"], found["names"], found["read"])


def release_packages(policy: Policy) -> list[Package]:
    """Return the packages of a release, LLMOS first. Those for other platforms aren't installed, and left out."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *(each for extra in EXTRAS for each in project["optional-dependencies"][extra])]
    found: dict[str, Package] = {}
    to_do = [*(top := list(_needs(wanted, frozenset())))]
    while to_do:
        requirement = to_do.pop()
        name = canonicalize_name(requirement.name)
        try:
            installed = distribution(name)
        except PackageNotFoundError:
            sys.exit(f"{name} isn't installed. Run: pip install --editable '.[{','.join(EXTRAS)}]'")
        needs = list(_needs(installed.requires or (), frozenset(requirement.extras)))
        before = found.get(name)
        names = {canonicalize_name(each.name) for each in needs} | set(before.needs if before else ())
        if before is None or set(before.needs) != names:
            found[name] = Package(name, installed.version, license_of(installed, policy), tuple(sorted(names)))
            to_do += needs
    own = Package(
        "llmos", project["version"], project["license"], tuple(sorted({canonicalize_name(e.name) for e in top}))
    )
    return [own, *(found[name] for name in sorted(found))]


def license_problems(packages: Sequence[Package], policy: Policy) -> list[str]:
    """Return a sentence for each package whose licence isn't allowed."""
    problems = []
    for package in packages:
        exception = policy.exceptions.get(package.name)
        if package.license is None:
            problems.append(
                f"{package.name} {package.version} gives no licence that is known. See packaging/licenses.toml."
            )
        elif exception is not None and exception["license"] == package.license:
            continue
        elif not is_allowed(package.license, policy.allowed):
            problems.append(
                f"{package.name} {package.version} has the licence {package.license}, which packaging/licenses.toml "
                "doesn't allow. Use another package, or add it there with a reason."
            )
    return problems


def is_allowed(expression: str, allowed: frozenset[str]) -> bool:
    """Return whether an SPDX expression can be met with allowed licences: all of an AND, one of an OR."""
    words = re.findall(r"\(|\)|[^\s()]+", expression)

    def any_of() -> bool:
        outcome = all_of()
        while words and words[0] == "OR":
            words.pop(0)
            outcome = all_of() or outcome
        return outcome

    def all_of() -> bool:
        outcome = one()
        while words and words[0] == "AND":
            words.pop(0)
            outcome = one() and outcome
        return outcome

    def one() -> bool:
        word = words.pop(0) if words else ""
        if word == "(":
            outcome = any_of()
            return bool(words and words.pop(0) == ")") and outcome
        if words and words[0] == "WITH":  # An exception only permits more.
            del words[:2]
        return word in allowed

    return any_of() and not words


def render_sbom(packages: Sequence[Package]) -> str:
    """Return the bill of materials as CycloneDX JSON. The same packages give the same text but for id and time."""
    bom, licenses = Bom(), LicenseFactory()
    components = {package.name: component_of(package, licenses) for package in packages}
    own, *others = components.values()
    bom.metadata.component = own
    for component in others:
        bom.components.add(component)
    for package in packages:
        bom.register_dependency(components[package.name], [components[name] for name in package.needs])
    return JsonV1Dot6(bom).output_as_string(indent=2)


def check_vulnerabilities(packages: Sequence[Package]) -> bool:
    """Print what pip-audit finds. Return False for a known vulnerability; True if nobody knows of one."""
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.writelines(f"{package.name}=={package.version}\n" for package in packages[1:])
        file.flush()
        command = [sys.executable, "-m", "pip_audit", "--requirement", file.name, "--no-deps", "--disable-pip"]
        command += ["--progress-spinner", "off", "--format", "json", "--timeout", "15"]
        outcome = subprocess.run(command, capture_output=True, text=True, check=False)
    report = read_report(outcome.stdout)
    if report.num_checked == 0:
        reason = (outcome.stderr.strip().splitlines() or ["pip-audit said nothing"])[-1]
        print(f"\n{UNREACHABLE} ({report.reason or reason:.200}).\nRun `make audit` where pypi.org answers.\n")
        return True
    print("\n".join(report.vulnerabilities) or f"Vulnerabilities: {report.num_checked} packages, none known.")
    if report.unchecked:
        print(f"NOT CHECKED, since PyPI knows nothing of them: {', '.join(report.unchecked)}")
    return not report.vulnerabilities


@dataclass(frozen=True, slots=True)
class Report:
    """The result of pip-audit."""

    num_checked: int = 0
    vulnerabilities: tuple[str, ...] = ()
    """A sentence for each."""
    unchecked: tuple[str, ...] = ()
    reason: str = ""
    """Why the first of the unchecked packages wasn't checked."""


def read_report(text: str) -> Report:
    """Return pip-audit's JSON as a Report; an empty one for what is none, such as the text of an error."""
    try:
        dependencies: list[dict[str, Any]] = json.loads(text)["dependencies"]
    except (ValueError, KeyError, TypeError):
        return Report()
    skipped = [each for each in dependencies if "skip_reason" in each]
    return Report(
        num_checked=len(dependencies) - len(skipped),
        vulnerabilities=tuple(
            f"{each['name']} {each['version']} has {found['id']}: {_advice(found['fix_versions'])}"
            for each in dependencies
            for found in each.get("vulns", ())
        ),
        unchecked=tuple(each["name"] for each in skipped),
        reason=skipped[0]["skip_reason"] if skipped else "",
    )


def _advice(fixes: Sequence[str]) -> str:
    return f"fixed in {' and '.join(fixes)}." if fixes else "not fixed yet."


def _needs(requirements: Sequence[str], extras: frozenset[str]) -> Iterator[Requirement]:
    """Yield the requirements that count in this environment, with these extras of the package."""
    for text in requirements:
        requirement = Requirement(text)
        marker = requirement.marker
        if marker is None or any(marker.evaluate({"extra": extra}) for extra in ("", *extras)):
            yield requirement


def license_of(installed: Distribution, policy: Policy) -> str | None:
    metadata = installed.metadata
    if (read := policy.read.get(canonicalize_name(metadata["Name"]))) is not None:
        return read
    if expression := metadata.get("License-Expression"):
        return str(expression)
    text = str(metadata.get("License") or "")
    if text in policy.names:
        return policy.names[text]
    known = policy.allowed | {word for each in policy.exceptions.values() for word in each["license"].split()}
    if text and set(re.findall(r"[^\s()]+", text)) <= known | {"AND", "OR"}:
        return text  # An expression in the place where it stood before it had one of its own.
    classifiers = [
        each for each in metadata.get_all("Classifier") or () if each.startswith("License :: OSI Approved ::")
    ]
    named = [policy.names.get(each) for each in classifiers]
    # Several are a choice by custom: BSD and Apache of python-dateutil, MIT and Apache of uvloop.
    return None if not named or None in named else " OR ".join(each for each in named if each)


def component_of(package: Package, licenses: LicenseFactory) -> Component:
    purl = PackageURL("pypi", name=package.name, version=package.version)
    return Component(
        name=package.name,
        version=package.version,
        type=ComponentType.APPLICATION if package.name == "llmos" else ComponentType.LIBRARY,
        purl=purl,
        bom_ref=str(purl),
        licenses=[] if package.license is None else [licenses.make_from_string(package.license)],
    )


if __name__ == "__main__":
    sys.exit(main())
