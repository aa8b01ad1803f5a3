"""Write a software bill of materials of set-up: CycloneDX 1.5, JSON, from requirements/*.lock, without a network.

    python3 tools/sbom.py build/sbom.json

The same locks give the same bytes.
"""

from __future__ import annotations

import json
import re
import sys
import uuid
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from locks import Locked, locked

ROOT = Path(__file__).resolve().parent.parent


def component(one: Locked) -> dict:
    """Return the component of a distribution; its files are those of all Pythons that set-up knows."""
    files = [{"alg": "SHA-256", "content": digest} for digest in one.hashes]
    url = f"https://pypi.org/project/{one.name}/{one.version}/"
    return {
        "type": "library",
        "bom-ref": f"{one.lock}/{one.name}@{one.version}",
        "name": one.name,
        "version": one.version,
        "purl": f"pkg:pypi/{one.name}@{one.version}",
        "externalReferences": [{"type": "distribution", "url": url, "hashes": files}],
        "properties": [{"name": "tdm_ros:lock", "value": f"requirements/{one.lock}.lock"}],
    }


def document() -> dict:
    """Return the bill of materials."""
    text = (ROOT / "tdm_ros" / "__init__.py").read_text()
    found = re.search(r'^__version__ = "([^"]+)"', text, re.MULTILINE)
    assert found is not None
    components = [component(one) for one in locked()]
    own = {"type": "application", "bom-ref": "tdm_ros", "name": "tdm_ros", "version": found[1]}
    names = json.dumps(components, sort_keys=True)
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, names)}",
        "version": 1,
        "metadata": {"component": {**own, "licenses": [{"license": {"id": "Apache-2.0"}}]}},
        "components": components,
        "dependencies": [{"ref": "tdm_ros", "dependsOn": [one["bom-ref"] for one in components]}],
    }


def main() -> int:
    """Write the file that the command line names; return the exit status."""
    if len(sys.argv) != 2:
        print("usage: python3 tools/sbom.py FILE.json", file=sys.stderr)
        return 2
    path = Path(sys.argv[1])
    path.parent.mkdir(parents=True, exist_ok=True)
    made = document()
    path.write_text(json.dumps(made, indent=1) + "\n")
    print(f"{path}: {len(made['components'])} components")
    return 0


if __name__ == "__main__":
    sys.exit(main())
