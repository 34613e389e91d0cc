"""Writes what the lock file pins as a CycloneDX bill of materials; asks no network."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from cyclonedx.model import HashAlgorithm, HashType
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

PINNED = re.compile(
    r"^(?P<name>[A-Za-z0-9._-]+)(?:\[[^\]]*\])?==(?P<version>[^\s;\\]+)(?P<rest>(?:.*\\\n)*.*)$",
    re.MULTILINE,
)
HASH = re.compile(r"--hash=sha256:(?P<hash>[0-9a-f]{64})")


def components(lock: str) -> list[Component]:
    """Each package of the lock file, with the hash of every file it may come as."""
    return [
        Component(
            name=found["name"],
            version=found["version"],
            type=ComponentType.LIBRARY,
            bom_ref=f"{found['name']}=={found['version']}",
            purl=PackageURL("pypi", name=found["name"], version=found["version"]),
            hashes=[
                HashType(alg=HashAlgorithm.SHA_256, content=content)
                for content in HASH.findall(found["rest"])
            ],
        )
        for found in PINNED.finditer(lock)
    ]


def main(lock: str, out: str) -> None:
    """Read `lock`, write `out`."""
    pinned = components(Path(lock).read_text(encoding="utf-8"))
    bom = Bom(components=pinned)
    root = Component(
        name="mcli-dualstack", bom_ref="mcli-dualstack", type=ComponentType.APPLICATION
    )
    bom.metadata.component = root
    bom.register_dependency(root, pinned)
    Path(out).parent.mkdir(parents=True, exist_ok=True)
    JsonV1Dot6(bom).output_to_file(out, allow_overwrite=True, indent=2)
    print(out)


if __name__ == "__main__":
    main(*sys.argv[1:])
