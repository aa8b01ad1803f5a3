"""Whatever bytes come, a parser or handler raises nothing but what it documents: the committed corpus, and what follows
from it by a few changes. `python -m fuzz` searches on; `test_hostile_messages.py` replays the corpus of the nodes.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from fuzz.__main__ import names
from fuzz.models import ROBOT, URDF
from fuzz.target import CORPUS, Target, joined, parts_of
from tdm_ros.bringup.table import TableError, load_table
from tdm_ros.drivers.intera import wire
from tdm_ros.robots.description import load_robot
from tdm_ros.robots.meshes import read_mesh
from tdm_ros.robots.urdf_reader import read_urdf
from tdm_ros.safe_yaml import DEEPEST, read_yaml
from tdm_ros.training.generations import INDEX, generations, read_index

HERE = [name for name in names() if not name.startswith("node_")]
GROUPS = ("recordings", "learned", "models", "sockets")
EXAMPLES = settings(max_examples=10, deadline=None, derandomize=True, database=None)


def target_of(name: str) -> Target:
    modules = [pytest.importorskip(f"fuzz.{group}") for group in GROUPS]
    return next(target for module in modules for target in module.TARGETS if target.name == name)


@pytest.mark.parametrize("name", HERE)
def test_committed_inputs_raise_nothing_but_what_is_documented(name: str) -> None:
    target = target_of(name)
    inputs = [path.read_bytes() for path in target.corpus()]
    assert inputs, f"the target {name} has no committed corpus"
    for data in (b"", *target.seeds(), *inputs):
        target.one_input(data)


@pytest.mark.parametrize("name", HERE)
def test_changed_inputs_raise_nothing_but_what_is_documented(name: str) -> None:
    target = target_of(name)
    known = [*target.seeds(), *(path.read_bytes() for path in target.corpus())]

    @EXAMPLES
    @given(st.sampled_from(known), st.lists(st.tuples(st.integers(0, 4000), st.binary(max_size=4)), max_size=3))
    def handle(data: bytes, changes: list[tuple[int, bytes]]) -> None:
        changed = bytearray(data)
        for at, new in changes:
            start = at % (len(changed) + 1)
            changed[start : start + len(new)] = new
        target.one_input(bytes(changed))

    handle()


def test_corpus_is_small_and_of_targets() -> None:
    sizes = {folder.name: sum(path.stat().st_size for path in folder.iterdir()) for folder in CORPUS.iterdir()}
    assert {*sizes} <= {*names()}
    assert max(sizes.values()) < 40_000 and sum(sizes.values()) < 400_000


@given(st.lists(st.binary(max_size=20), min_size=1, max_size=4))
def test_parts_of_an_input_are_those_that_were_joined(parts: list[bytes]) -> None:
    assert parts_of(joined(*parts), len(parts)) == parts


@pytest.mark.parametrize("field", ["nonce", "mac"])
def test_proof_with_half_a_surrogate_pair_is_rejected(field: str) -> None:
    """Else its comparison with the secret's ended the worker, before the sender had proved anything."""
    fields = {"nonce": "a", "mac": "b"} | {field: "\\ud800"}
    body = f'{{"type": "proof", "nonce": "{fields["nonce"]}", "mac": "{fields["mac"]}"}}'
    with pytest.raises(wire.WireError, match=f"Proof.{field} must be str"):
        wire.decode(body.encode())


TEXTS = ["a: !!bool x", "a: !!timestamp x", "a: 2001-99-99", 'a: !!int ""', "a: " + "9" * 5000, "a: &a {b: *a}"]
BOMB = "\n".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" if n else "a0: &a0 [x]" for n in range(9))


@pytest.mark.parametrize("text", [*TEXTS, BOMB, "[" * 50_000 + "]" * 50_000, "[" * 5000])
def test_yaml_that_cannot_be_read_is_a_yaml_error(text: str) -> None:
    with pytest.raises(yaml.YAMLError):
        read_yaml(text)


def test_yaml_with_aliases_and_some_depth_is_read() -> None:
    nested = "[" * (DEEPEST - 1) + "]" * (DEEPEST - 1)
    assert read_yaml(f"a: &x {{b: 1}}\nc: *x\n<<: *x\nd: {nested}")["c"] == {"b": 1}


def test_table_that_is_based_on_itself_is_rejected(tmp_path: Path) -> None:
    path = tmp_path / "a.system.yaml"
    path.write_text("based_on: a.system.yaml\n")
    with pytest.raises(TableError, match="is not the table of a system"):
        load_table(path)


CHANGES = {
    "home_rad: [0]": [f"home_rad: [1{'0' * 400}]", "home_rad: [[0]]", "home_rad: 2001-01-01"],
    "axis: [0, 0, 1]": ["axis: [1.0e+200, 0, 0]"],
    "name: a": ["name: !!bool x"],
}


@pytest.mark.parametrize(("old", "new"), [(old, new) for old, several in CHANGES.items() for new in several])
def test_robot_with_an_impossible_value_is_rejected_in_one_sentence(tmp_path: Path, old: str, new: str) -> None:
    path = tmp_path / "arm.yaml"
    path.write_text(ROBOT.replace(old, new))
    with pytest.raises(ValueError, match="must be") as error:
        load_robot(path)
    assert type(error.value) is ValueError and "\n" not in str(error.value) and len(str(error.value)) < 2000


URDFS = {
    "unbound prefix and more": "<robot><gazebo:a></robot>",
    "radius": URDF.replace('radius=".1"', 'radius="1e308"'),
}


@pytest.mark.parametrize("what", URDFS)
def test_damaged_urdf_is_rejected_in_one_sentence(tmp_path: Path, what: str) -> None:
    path = tmp_path / "arm.urdf"
    path.write_text(URDFS[what])
    with pytest.raises(ValueError, match=re.escape(str(path))) as error:
        read_urdf(path)
    assert type(error.value) is ValueError and "\n" not in str(error.value)


def test_mesh_with_a_name_that_is_too_long_is_a_note(tmp_path: Path) -> None:
    path = tmp_path / "arm.urdf"
    path.write_text(URDF.replace("package://a/m.stl", "a" * 300 + ".stl"))
    assert any("is not found" in note.text for note in read_urdf(path).notes)


def test_mesh_whose_face_has_a_huge_number_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "a.obj"
    path.write_text("v 0 0 0\nf 99999999999999999999 1 2\n")
    with pytest.raises(ValueError, match="damaged"):
        read_mesh(path)


def test_index_of_a_checkpoint_that_is_nested_too_deeply_is_none(tmp_path: Path) -> None:
    for name in (INDEX, "weights-1-1.json"):
        (tmp_path / name).write_text("[" * 2000)
    assert read_index(tmp_path / INDEX) is None and generations(tmp_path) == []
