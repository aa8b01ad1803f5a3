"""Keystore of SROS 2: what its enclaves may do is what docs/nodes says, and nothing in it can be changed unseen."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from xml.etree import ElementTree

import pytest

pytest.importorskip("cryptography")

from tdm_ros.bringup.permissions import EVERY_NODE, NODES, OPERATOR, dds_topics, enclave_words, interfaces
from tdm_ros.cli import main

PAGES = Path(__file__).resolve().parents[1] / "docs" / "nodes"
ROW = re.compile(r"^\| (publishes|subscribes|offers) \| `([^`]+)` \| ([^|]+) \|", re.MULTILINE)
ROBOTS_OWN = "gz/JOINT/cmd_vel"
"""Topic of a robot's controllers, which `--allow` is for."""


@pytest.fixture(scope="module")
def keystore(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("keys") / "keystore"
    assert main(["security", "init", str(folder)]) == 0
    return folder


def permitted(folder: Path, node: str) -> dict[str, set[str]]:
    """DDS topics that the enclave of a node may publish and subscribe to."""
    root = ElementTree.parse(folder / "enclaves" / "tdm_ros" / node / "permissions.xml").getroot()
    assert [one.text for one in root.iter("default")] == ["DENY"]
    assert [one.text for one in root.iter("subject_name")] == [f"CN=/tdm_ros/{node}"]
    return {
        kind: {str(topic.text) for topic in root.findall(f"permissions/grant/allow_rule/{kind}/topics/topic")}
        for kind in ("publish", "subscribe")
    }


@pytest.mark.parametrize("node", sorted(set(NODES) - {"arm_watchdog"}))
def test_enclave_of_a_node_may_do_what_its_page_says_and_no_more(node: str) -> None:
    table = (PAGES / f"{node}.md").read_text().split(f"<!-- table: topics {node} -->")[1].split("<!-- end -->")[0]
    documented: dict[str, set[str]] = {"publishes": set(), "subscribes": set(), "offers": set()}
    for what, name, _ in ROW.findall(table):
        documented[what].add(name)
    one = NODES[node]
    assert {*one.publish, "/diagnostics"} == documented["publishes"] - {ROBOTS_OWN}
    assert {*one.subscribe} == documented["subscribes"]
    assert {*one.offer, *one.offer_actions, "~/change_state"} == documented["offers"]


def test_services_that_a_node_calls_are_those_that_another_one_offers() -> None:
    own = [(node, name) for node, one in NODES.items() for name in (*one.offer, *EVERY_NODE.offer)]
    offered = {name.replace("~/", f"{node}/") for node, name in own}
    assert {name for one in NODES.values() for name in one.call} <= offered


def test_node_can_not_do_what_another_one_does(keystore: Path) -> None:
    who = {node: permitted(keystore, node) for node in interfaces()}
    for topic, publishers in (
        ("rt/command", {"policy"}),
        ("rt/episode", {"supervisor"}),
        ("rt/arm_state", {"arm"}),
        ("rt/transition", {"collector"}),
        ("rt/policy_weights", {"trainer"}),
        ("rt/deadman", {OPERATOR}),
        ("rt/teleop/twist", {"console", "teleop_keyboard", OPERATOR}),
        ("rt/arm_watchdog/command", {"arm"}),
        ("rq/supervisor/startRequest", {"console", OPERATOR}),
        ("rq/reach_goal/_action/send_goalRequest", {OPERATOR}),
        ("rr/supervisor/startReply", {"supervisor"}),
    ):
        assert {node for node, may in who.items() if topic in may["publish"]} == publishers, topic
    assert not any("*" in topic for may in who.values() for topics in may.values() for topic in topics)


def test_names_are_those_of_each_namespace() -> None:
    out, into = dds_topics("trainer", NODES["trainer"], ["", "/arm1"])
    assert {"rt/policy_weights", "rt/arm1/policy_weights"} <= set(out)
    assert {"rt/transition", "rt/arm1/transition"} <= set(into)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_documents_are_signed_by_the_authority_and_a_changed_one_is_found(keystore: Path, tmp_path: Path) -> None:
    authority = keystore / "public" / "permissions_ca.cert.pem"

    def verified(path: Path) -> bool:
        command = ["openssl", "smime", "-verify", "-in", str(path), "-CAfile", str(authority)]
        return subprocess.run(command, capture_output=True).returncode == 0

    document = keystore / "enclaves" / "tdm_ros" / "policy" / "permissions.p7s"
    assert verified(document) and verified(keystore / "enclaves" / "governance.p7s")
    changed = tmp_path / "permissions.p7s"
    changed.write_bytes(document.read_bytes().replace(b"rt/command<", b"rt/episode<"))
    assert changed.read_bytes() != document.read_bytes() and not verified(changed)
    for node in interfaces():
        certificate = keystore / "enclaves" / "tdm_ros" / node / "cert.pem"
        command = ["openssl", "verify", "-CAfile", str(keystore / "public" / "identity_ca.cert.pem"), str(certificate)]
        assert subprocess.run(command, capture_output=True).returncode == 0


def test_keys_are_readable_by_their_owner_alone_and_governance_lets_nobody_in(keystore: Path) -> None:
    keys = [*keystore.rglob("*key.pem")]
    assert len(keys) == len(interfaces()) + 3
    assert {path.stat().st_mode & 0o077 for path in (keystore, *keys)} >= {0}
    assert all(path.stat().st_mode & 0o077 == 0 for path in (keystore, *keys))
    text = (keystore / "enclaves" / "governance.xml").read_text()
    assert "<allow_unauthenticated_participants>false<" in text and "NONE" not in text


def test_keystore_is_never_overwritten(keystore: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (keystore / "private" / "ca.key.pem").read_bytes()
    assert main(["security", "init", str(keystore)]) == 2
    assert "keys are never overwritten" in capsys.readouterr().err
    assert (keystore / "private" / "ca.key.pem").read_bytes() == before


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--days", "0"], "--days must be in 1 .. 3650, got 0"),
        (["--domain", "233"], "--domain must be in 0 .. 232, got 233"),
        (["--namespace", "arm 1"], "--namespace must be a namespace"),
        (["--allow", "robot", "publish", "x"], "--allow must be a node"),
        (["--allow", "arm", "send", "x"], "--allow must be a node"),
        (["--allow", "arm", "publish", "*"], "--allow must be a node"),
    ],
)
def test_argument_that_is_invalid_is_an_error_and_makes_nothing(
    tmp_path: Path, capsys, words: list[str], says: str
) -> None:
    assert main(["security", "init", str(tmp_path / "keys"), *words]) == 2
    assert says in capsys.readouterr().err and not (tmp_path / "keys").exists()


def test_topics_of_a_robot_are_allowed_by_name_in_one_domain(tmp_path: Path) -> None:
    words = ["--allow", "arm_watchdog", "publish", "/gz/cmd", "--domain", "7", "--namespace", "/lab"]
    assert main(["security", "init", str(tmp_path / "keys"), *words]) == 0
    may = permitted(tmp_path / "keys", "arm_watchdog")
    assert {"rt/gz/cmd", "rt/lab/arm_watchdog/state"} <= may["publish"] and "rt/arm_watchdog/state" not in may[
        "publish"
    ]
    assert "rt/gz/cmd" in permitted(tmp_path / "keys", OPERATOR)["subscribe"]
    text = (tmp_path / "keys" / "enclaves" / "tdm_ros" / "arm" / "permissions.xml").read_text()
    assert "<id>7</id>" in text and "id_range" not in text


def test_nodes_are_started_in_their_enclaves_where_security_is_enabled() -> None:
    assert enclave_words({}, "arm") == enclave_words({"ROS_SECURITY_ENABLE": "false"}, "arm") == []
    assert enclave_words({"ROS_SECURITY_ENABLE": "true"}, "arm") == ["--enclave", "/tdm_ros/arm"]
