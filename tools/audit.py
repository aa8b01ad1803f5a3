"""Compare the locks in requirements/ with requirements/advisories.json, without a network.

Exit status: 0, no locked version is in the affected range of an advisory that is not accepted; 1, some are. The list is
not complete: where a network is, `make audit` also runs pip-audit, if that is installed.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from packaging.specifiers import SpecifierSet

sys.path.insert(0, str(Path(__file__).resolve().parent))
from locks import FOLDER, Locked, locked

ADVISORIES = FOLDER / "advisories.json"


def findings(distributions: Iterable[Locked], advisories: list[dict]) -> Iterator[tuple[Locked, dict]]:
    """Yield each distribution with an advisory whose affected versions have its version."""
    known: dict[str, list[dict]] = {}
    for advisory in advisories:
        known.setdefault(advisory["package"], []).append(advisory)
    for one in distributions:
        for advisory in known.get(one.name, []):
            if any(SpecifierSet(span).contains(one.version, prereleases=True) for span in advisory["affected"]):
                yield one, advisory


def main() -> int:
    """Print what was found; return the exit status."""
    listed = json.loads(ADVISORIES.read_text())
    distributions = list(locked())
    bad = 0
    for one, advisory in findings(distributions, listed["advisories"]):
        reason = advisory.get("accepted", "")
        bad += not reason
        verdict = f"accepted: {reason}" if reason else "NOT accepted: raise the pin in constraints.txt, tools/lock.py"
        print(f"{one.lock}.lock: {one.name} {one.version}: {advisory['id']}: {verdict}")
    sizes = f"{len(distributions)} distributions, {len(listed['advisories'])} advisories"
    print(f"{sizes} (written {listed['written']}): {bad} open")
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main())
