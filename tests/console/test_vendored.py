"""Scripts of others: each file is the one that the registry has, its licence is here, and all together are small."""

import base64
import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import httpx
import pytest

import llmos.console
from llmos.console.static_files import static_files

STATIC = Path(llmos.console.__file__).parent / "static"
VENDORED: list[dict[str, Any]] = json.loads((STATIC / "vendor" / "vendored.json").read_text())


def test_every_file_is_listed_with_its_digest() -> None:
    listed = {file["file"]: file["sha256"] for package in VENDORED for file in package["files"]}
    found = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in (STATIC / "vendor").iterdir()}
    del found["vendored.json"]
    assert found == listed


def test_every_package_comes_with_its_licence() -> None:
    for package in VENDORED:
        assert package["licence"] in ("0BSD", "MIT")
        assert any(file["file"].endswith(".LICENSE") for file in package["files"])


@pytest.mark.parametrize("package", VENDORED, ids=lambda package: package["package"])
def test_the_registry_has_the_same_files(package: dict[str, Any], one_certificate: None) -> None:
    name, version = package["package"], package["version"]
    try:
        reply = httpx.get(
            f"https://registry.npmjs.org/{name}/-/{name.rpartition('/')[2]}-{version}.tgz",
            timeout=10,
            follow_redirects=True,
            verify=False,  # The digest says whether it is the right one.
        )
        reply.raise_for_status()
    except httpx.HTTPError as error:
        pytest.skip(f"The registry can't be reached: {error}")
    digest = base64.b64encode(hashlib.sha512(reply.content).digest()).decode()
    assert package["integrity"] == f"sha512-{digest}"
    with tarfile.open(fileobj=io.BytesIO(reply.content)) as archive:
        for file in package["files"]:
            member = archive.extractfile(f"package/{file['path']}")
            assert member is not None
            assert hashlib.sha256(member.read()).hexdigest() == file["sha256"]


def test_all_scripts_and_styles_are_small() -> None:
    files = static_files()
    assert sum(len(file.bodies[""]) for file in files.values()) <= 200_000
    assert sum(len(file.bodies["br"]) for file in files.values()) <= 70_000
    vendored = [file for name, file in files.items() if name.startswith("vendor/")]
    assert sum(len(file.bodies[""]) for file in vendored) <= 110_000
    assert sum(len(file.bodies["br"]) for file in vendored) <= 42_000
