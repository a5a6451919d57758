"""Writes what is in an image as CycloneDX JSON: `python3 sbom.py NAME VERSION`, run while the image is built.

Needs nothing but the standard library, since it runs in the image's own Python: distributions from their metadata,
Debian packages from dpkg's list, and Python itself. The same content gives the same bytes, so it has no time in it, and
a serial number that is made of the content.
"""

from __future__ import annotations

import json
import platform
import re
import sys
import uuid
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Any
from urllib.parse import quote

SPEC_VERSION = "1.6"
DPKG_STATUS = Path("/var/lib/dpkg/status")
# An object of JSON, with as many kinds of fields as CycloneDX has.
Component = dict[str, Any]


def bill(name: str, version: str, components: list[Component]) -> dict[str, Any]:
    """The whole document."""
    ordered = sorted(components, key=lambda component: str(component["bom-ref"]))
    content = json.dumps([name, version, ordered], sort_keys=True)
    return {
        "$schema": f"http://cyclonedx.org/schema/bom-{SPEC_VERSION}.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": SPEC_VERSION,
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, content)}",
        "version": 1,
        "metadata": {"component": {"type": "container", "bom-ref": name, "name": name, "version": version}},
        "components": ordered,
    }


def python_components(path: list[str] | None = None) -> list[Component]:
    """The installed distributions of this Python, or of these folders, and Python itself."""
    installed = distributions() if path is None else distributions(path=path)
    components = {component["bom-ref"]: component for component in map(_of_distribution, installed)}
    version = platform.python_version()
    python = {
        "type": "platform",
        "bom-ref": f"pkg:generic/python@{version}",
        "name": "python",
        "version": version,
        "purl": f"pkg:generic/python@{version}",
    }
    return [*components.values(), python]


def debian_components(status: str, distribution: str) -> list[Component]:
    """The installed packages of dpkg's list."""
    return [
        _of_package(fields, distribution)
        for paragraph in status.split("\n\n")
        if (fields := dict(re.findall(r"^([\w-]+): (.+)$", paragraph, re.M))).get("Status", "").endswith(" installed")
    ]


def _of_distribution(distribution: Distribution) -> Component:
    name = re.sub(r"[-_.]+", "-", distribution.metadata["Name"]).lower()
    purl = f"pkg:pypi/{quote(name)}@{quote(distribution.version)}"
    component: Component = {
        "type": "library",
        "bom-ref": purl,
        "name": distribution.metadata["Name"],
        "version": distribution.version,
        "purl": purl,
    }
    expression = distribution.metadata.get("License-Expression")
    if expression:
        component["licenses"] = [{"expression": expression}]
    return component


def _of_package(fields: dict[str, str], distribution: str) -> Component:
    name, version = fields["Package"], fields["Version"]
    qualifiers = f"arch={fields.get('Architecture', 'all')}&distro={distribution}"
    purl = f"pkg:deb/debian/{quote(name)}@{quote(version, safe='')}?{qualifiers}"
    return {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl}


def _debian_release() -> str:
    release = platform.freedesktop_os_release()
    return f"{release.get('ID', 'debian')}-{release.get('VERSION_ID', '')}".rstrip("-")


def main(arguments: list[str]) -> int:
    name, version = arguments
    components = python_components()
    if DPKG_STATUS.exists():
        components += debian_components(DPKG_STATUS.read_text("utf-8"), _debian_release())
    own = {"type": "application", "bom-ref": "pkg:pypi/apprun", "name": "apprun", "purl": "pkg:pypi/apprun"}
    print(json.dumps(bill(name, version, [*components, {**own, "version": version}]), indent=1))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
