"""What set-up installs, by hash; the bill of materials; known advisories; and no network at run time."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hosts_for_tests import IP, offline  # noqa: F401 (a fixture)

ROOT = Path(__file__).resolve().parents[1]
TOOLS = ROOT / "tools"


def tool(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(f"{name}_of_tools", TOOLS / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


audit, sbom = tool("audit"), tool("sbom")
LOCKED = list(audit.locked())
ADVISORIES = json.loads(audit.ADVISORIES.read_text())["advisories"]


def test_every_file_that_set_up_installs_has_a_hash(tmp_path: Path) -> None:
    assert {one.lock for one in LOCKED} == {"setup", "ros", "ros_kilted", "python", "cuda"} and len(LOCKED) > 300
    (tmp_path / "bad.lock").write_text("numpy==2.4.6\n")
    with pytest.raises(ValueError, match="numpy has no hash"):
        list(audit.locked(tmp_path))


def test_no_locked_version_is_in_an_advisory_that_is_not_accepted(capsys: pytest.CaptureFixture[str]) -> None:
    assert audit.main() == 0
    assert "0 open" in capsys.readouterr().out
    accepted = {(one.name, advisory["id"]) for one, advisory in audit.findings(LOCKED, ADVISORIES)}
    assert accepted == {("ros-fastrtps", "CVE-2025-64438"), ("ros-fastdds", "CVE-2025-64438")}, "tell it in SECURITY.md"


def test_affected_version_is_found_and_fails_the_audit(monkeypatch: pytest.MonkeyPatch) -> None:
    for advisory in ADVISORIES:
        span = advisory["affected"][0]
        newest = span.rpartition("<")[2]
        older = next((part[2:] for part in span.split(",") if part.startswith(">=")), "0.0.1")
        for version, found in ((older, 1), (newest, 0)):
            one = audit.Locked("python", advisory["package"], version, ())
            assert len(list(audit.findings([one], [advisory]))) == found, advisory["id"]
    old = audit.Locked("python", "starlette", "0.40.0", ())
    monkeypatch.setattr(audit, "locked", lambda: [old])
    assert audit.main() == 1


def test_bill_of_materials_has_every_locked_file_and_is_reproducible() -> None:
    made = sbom.document()
    assert made == sbom.document() and (made["bomFormat"], made["specVersion"]) == ("CycloneDX", "1.5")
    listed = {
        (one["name"], one["version"], digest["content"])
        for one in made["components"]
        for reference in one["externalReferences"]
        for digest in reference["hashes"]
    }
    assert listed == {(one.name, one.version, digest) for one in LOCKED for digest in one.hashes}
    references = [one["bom-ref"] for one in made["components"]]
    assert len(references) == len(set(references)) and made["dependencies"][0]["dependsOn"] == references


@pytest.mark.netns
def test_nodes_need_no_network_at_run_time(offline: str, tmp_path: Path) -> None:  # noqa: F811
    pytest.importorskip("rclpy")
    program = [sys.executable, str(ROOT / "test" / "nodes_offline.py"), str(tmp_path), "arm", "console"]
    done = subprocess.run([IP, "netns", "exec", offline, *program], cwd=ROOT / "test", capture_output=True, text=True)
    assert done.returncode == 0 and "all work: arm console" in done.stdout, done.stdout + done.stderr
