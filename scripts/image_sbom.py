"""Write the bill of materials of a container image: its Python and its Debian packages, as CycloneDX 1.6.

`make image` runs it:

python scripts/image_sbom.py ROOT SBOM    ROOT: the folder where the image's files are mounted
"""

import sys
from collections.abc import Iterator
from importlib.metadata import distributions
from pathlib import Path

from audit import ROOT, Package, component_of, license_of, read_policy
from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL
from packaging.utils import canonicalize_name


def main() -> int:
    root, path = (Path(each) for each in sys.argv[1:])
    bom = Bom(components=[*python_components(root), *debian_components(root)])
    bom.metadata.component = Component(name="llmos-image", type=ComponentType.CONTAINER)
    bom.register_dependency(bom.metadata.component, bom.components)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(JsonV1Dot6(bom).output_as_string(indent=2))
    print(f"SBOM: {path}, {len(bom.components)} packages")
    return 0


def python_components(root: Path) -> Iterator[Component]:
    policy, licenses = read_policy(ROOT / "packaging" / "licenses.toml"), LicenseFactory()
    folders = [str(each) for each in root.glob("opt/llmos/lib/python3*/site-packages")]
    for installed in distributions(path=folders):
        name = canonicalize_name(installed.metadata["Name"])
        yield component_of(Package(name, installed.version, license_of(installed, policy), ()), licenses)


def debian_components(root: Path) -> Iterator[Component]:
    for paragraph in (root / "var/lib/dpkg/status").read_text().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in paragraph.splitlines() if ": " in line and line[0] != " ")
        if fields.get("Status", "").endswith(" installed"):
            name, version = fields["Package"], fields["Version"]
            purl = PackageURL("deb", "debian", name, version, {"arch": fields["Architecture"]})
            yield Component(name=name, version=version, type=ComponentType.LIBRARY, purl=purl, bom_ref=str(purl))


if __name__ == "__main__":
    sys.exit(main())
