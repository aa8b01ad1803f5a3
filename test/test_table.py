"""The table of a system: its arguments keep their types and bounds, and its nodes know their parameters."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest

from tdm_ros.bringup.table import SystemTable, TableError, as_ros_text, load_table, matches, names_for
from tdm_ros.nodes.parameters import NODES, check, specs_of

CONFIG = Path(__file__).parent.parent / "config"

SMALL = """
description: two nodes
params_file: none.yaml
arguments:
  speed: {default: 1.0, minimum: 0, description: how fast}
  count: {default: 3, description: how many}
  loud: {default: false, description: how loud}
  mode: {default: a, choices: [a, b], description: which}
  time: {default: 2.0, minimum: 1, unlimited: true, description: how long}
nodes:
  one: {executable: one, required: true, parameters: [speed, mode]}
  two: {executable: two}
"""


def loaded(folder: Path, text: str) -> SystemTable:
    path = folder / "small.system.yaml"
    path.write_text(text)
    return load_table(path)


@pytest.fixture
def small(tmp_path: Path) -> SystemTable:
    return loaded(tmp_path, SMALL)


def test_values_none_given_are_the_defaults(small: SystemTable) -> None:
    assert small.values([]) == {"speed": 1.0, "count": 3, "loud": False, "mode": "a", "time": 2.0}


def test_values_given_keep_the_type_of_the_default(small: SystemTable) -> None:
    values = small.values(["speed:=2", "count:=7", "loud:=True", "mode:=b", "time:=inf"])
    assert values == {"speed": 2.0, "count": 7, "loud": True, "mode": "b", "time": math.inf}
    assert [type(value) for value in values.values()] == [float, int, bool, str, float]
    assert as_ros_text(small.values(["time:=.inf"])["time"]) == ".inf"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("speed=2", "name:=value"),
        ("sped:=2", "no argument 'sped'; it has speed, count"),
        ("speed:=fast", "speed must be a number, got 'fast'"),
        ("speed:=nan", "finite number >= 0"),
        ("speed:=-1", "finite number >= 0, got -1"),
        ("speed:=inf", "finite number >= 0, got inf"),
        ("time:=0", "finite number >= 1, or inf (unlimited), got 0"),
        ("count:=2.5", "count must be a whole number"),
        ("loud:=very", "loud must be true or false"),
        ("mode:=c", "mode must be one of a, b; got 'c'"),
    ],
)
def test_values_wrong_argument_is_rejected_with_the_remedy(small: SystemTable, text: str, words: str) -> None:
    with pytest.raises(TableError, match=re.escape(words)):
        small.values([text])


VARIED = SMALL.replace(
    "nodes:", "variants: {mode: {b: {params_file: other.yaml, defaults: {speed: 0.1, loud: true}}}}\nnodes:"
)


def test_variant_changes_defaults_and_adds_parameters_where_it_applies(tmp_path: Path) -> None:
    table = loaded(tmp_path, VARIED)
    usual, other = table.values([]), table.values(["mode:=b", "loud:=false"])
    assert (usual["speed"], usual["loud"]) == (1.0, False)
    assert (other["speed"], other["loud"]) == (0.1, False), "what is given wins"
    assert [file.name for file in table.params_files(usual)] == ["none.yaml"]
    assert [file.name for file in table.params_files(other)] == ["none.yaml", "other.yaml"]


def test_params_is_a_file_of_ones_own_that_comes_last(tmp_path: Path) -> None:
    table = loaded(tmp_path, VARIED.replace("arguments:", "arguments:\n  params: {default: '', description: a file}"))
    (own := tmp_path / "own.yaml").touch()
    values = table.values(["mode:=b", f"params:={own}"])
    assert [file.name for file in table.params_files(values)] == ["none.yaml", "other.yaml", "own.yaml"]
    with pytest.raises(TableError, match=r"there is none at nowhere\.yaml"):
        table.params_files(table.values(["params:=nowhere.yaml"]))


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("speed: 0.1", "sped: 0.1", "variants name sped, which is no argument"),
        ("[speed, mode]", "[speed, sped]", "nodes take sped, which is no argument"),
        ("required: true", "respawn: true", "respawn"),
        ("two: {executable: two}", "two: {executable: two, when: quiet}", "nodes take quiet"),
    ],
)
def test_load_table_with_an_unknown_name_is_rejected(tmp_path: Path, old: str, new: str, words: str) -> None:
    with pytest.raises(TableError, match=words):
        loaded(tmp_path, VARIED.replace(old, new))


@pytest.mark.parametrize(
    ("pattern", "matching", "other"),
    [
        ("/**", "/arm", "arm"),
        ("/**/arm", "/lab/arm1/arm", "/lab/arm1/arms"),
        ("/*/arm", "/left/arm", "/arm"),
        ("/arm1/policy", "/arm1/policy", "/arm2/policy"),
    ],
)
def test_section_applies_to_the_nodes_that_its_pattern_matches(pattern: str, matching: str, other: str) -> None:
    assert matches(pattern, matching) and not matches(pattern, other)


def test_names_in_files_for_a_node_are_those_of_its_sections_however_they_are_nested(tmp_path: Path) -> None:
    files = [tmp_path / "one.yaml", tmp_path / "two.yaml"]
    files[0].write_text("/**: {ros__parameters: {seed: 1, limits: {a: 2}}}\nlab: {arm: {ros__parameters: {b.c: 3}}}")
    files[1].write_text("/**/arm: {ros__parameters: {seed: 2}}\n/other: {ros__parameters: {d: 4}}")
    assert names_for("/lab/arm", files) == ({"seed", "limits.a", "b.c"}, {"limits.a"})


@pytest.mark.parametrize(
    ("value", "text"),
    [(3.0, "3.0"), (1e-7, "1e-07"), (3, "3"), (True, "true"), ("", '""'), ("2024", '"2024"')],
)
def test_as_ros_text_value_keeps_its_type(value: float | str, text: str) -> None:
    assert as_ros_text(value) == text


@pytest.mark.parametrize("path", sorted(CONFIG.glob("*.system.yaml")), ids=lambda path: path.stem)
def test_table_of_the_package_fits_the_parameters_of_its_nodes(path: Path) -> None:
    table = load_table(path)
    assert table.params_file.is_file() and all(v.params_file.is_file() for v in table.variants if v.params_file)
    for variant in table.variants:
        texts = {variant.argument: variant.value, **variant.defaults}
        assert all(table.arguments[name].parse(str(value)) == value for name, value in texts.items())
    for argument in table.arguments.values():
        assert len(argument.description) > 10 and argument.parse(str(argument.default)) == argument.default
    for node in table.nodes:
        declared = specs_of(NODES[node.executable])
        for name in node.parameters:
            argument = table.arguments[name]
            for value in (argument.default, *argument.choices):
                assert check(node.name, name, declared[name], value) == value
            assert set(declared[name].metadata["choices"]) == set(argument.choices)
        own = {"robot"} if path.name == "sawyer_reach.system.yaml" else set()  # its robot chooses the driver
        shared = set(declared) & set(table.arguments) - own
        assert shared == set(node.parameters), f"{node.name} has parameters that the table does not pass on"


def test_node_with_a_condition_is_started_by_its_argument_alone(tmp_path: Path) -> None:
    table = loaded(tmp_path, SMALL.replace("two: {executable: two}", "two: {executable: two, when: loud}"))
    assert [node.name for node in table.started(table.values([]))] == ["one"]
    assert [node.name for node in table.started(table.values(["loud:=true"]))] == ["one", "two"]


FLEET = """
description: many
params_file: none.yaml
arguments:
  arms: {default: 2, description: how many}
  first: {default: 1, description: which}
  seed: {default: 7, description: seed}
  run_dir: {default: "", description: where}
nodes:
  trainer: {executable: trainer, parameters: [seed, run_dir, arms]}
  arm: {executable: arm, per_arm: true, required: true}
  policy: {executable: policy, per_arm: true, parameters: [seed, run_dir], remaps: {weights: /weights}}
"""


def test_each_arm_has_its_nodes_in_its_namespace_and_its_own_seed_and_folder(tmp_path: Path) -> None:
    table = loaded(tmp_path, FLEET)
    values = table.values(["run_dir:=runs/x"])
    nodes = table.started(values)
    assert [node.full_name for node in nodes] == ["trainer", "arm1/arm", "arm1/policy", "arm2/arm", "arm2/policy"]
    assert [node.namespace for node in nodes] == ["", "arm1", "arm1", "arm2", "arm2"]
    given = {node.full_name: table.given(node, values) for node in nodes}
    assert given["trainer"] == {"seed": 7, "run_dir": "runs/x", "arms": 2}
    assert given["arm1/policy"] == {"seed": 7, "run_dir": "runs/x/arm1"}
    assert given["arm2/policy"] == {"seed": 8, "run_dir": "runs/x/arm2"}
    joined = table.started(table.values(["arms:=1", "first:=4"]))
    assert [node.full_name for node in joined] == ["trainer", "arm4/arm", "arm4/policy"]


def test_nodes_of_each_arm_need_to_know_how_many_arms_there_are(tmp_path: Path) -> None:
    with pytest.raises(TableError, match="nodes of each arm take first, which is no argument"):
        loaded(tmp_path, FLEET.replace("  first: {default: 1, description: which}\n", ""))


def test_fleet_can_be_joined_without_a_second_trainer() -> None:
    table = load_table(CONFIG / "fleet.system.yaml")
    values = table.values(["arms:=1", "first:=4", "trainer:=false"])
    nodes = table.started(values)
    assert {node.namespace for node in nodes} == {"arm4"}
    assert {node.name for node in nodes if node.remaps} == {"policy", "planner", "supervisor"}, "who uses weights"
    assert all(node.remaps == {"policy_weights": "/policy_weights"} for node in nodes if node.remaps)
    alone = load_table(CONFIG / "sawyer_reach.system.yaml")
    assert {node.name for node in table.nodes} == {node.name for node in alone.nodes}
