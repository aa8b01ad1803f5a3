"""What the documents say is what the code does."""

from __future__ import annotations

import ast
import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tdm_ros.envs.goal_env import make_goal_env
from tdm_ros.nodes.parameters import NODES
from tdm_ros.tdm.actor import NumpyActor
from tdm_ros.tdm.agent import TdmAgent
from tdm_ros.tdm.config import TdmConfig
from tdm_ros.tdm.features import Features

ROOT = Path(__file__).parent.parent
NODE_PAGES = {name: (ROOT / "docs" / "nodes" / f"{name}.md").read_text() for name in NODES}
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text()
MESSAGES = sorted(path.stem for path in (ROOT / "msg").glob("*.msg"))

spec = importlib.util.spec_from_file_location("doc_tables", ROOT / "tools" / "doc_tables.py")
doc_tables = importlib.util.module_from_spec(spec)
spec.loader.exec_module(doc_tables)


@pytest.mark.parametrize("name", doc_tables.DOCUMENTS)
def test_tables_agree_with_the_code(name):
    text = (ROOT / name).read_text()
    assert doc_tables.rewritten(text) == text, "run python tools/doc_tables.py"


@pytest.mark.parametrize("name", doc_tables.WRITTEN)
def test_written_files_agree_with_the_code(name):
    assert (ROOT / name).read_text() == doc_tables.WRITTEN[name](), "run python tools/doc_tables.py"


@pytest.mark.parametrize("node", NODES)
def test_every_node_has_its_tables_and_its_failures(node):
    page = NODE_PAGES[node]
    assert f"<!-- table: parameters {node} -->" in page
    assert f"<!-- table: topics {node} -->" in page
    assert "## When it fails" in page


@pytest.mark.parametrize("name", MESSAGES)
def test_every_message_has_its_table(name):
    assert f"<!-- table: message {name} -->" in ARCHITECTURE


def test_architecture_has_every_folder_of_the_repository_and_every_system():
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("there is no git repository")
    folders = {path.partition("/")[0] for path in listed.stdout.splitlines() if "/" in path and path[0] != "."}
    missing = [f"{folder}/" for folder in sorted(folders - {"tdm_ros"}) if f"`{folder}/`" not in ARCHITECTURE]
    missing += [
        path.parent.name for path in ROOT.glob("test/*/conftest.py") if f"`{path.parent.name}`" not in ARCHITECTURE
    ]
    assert not missing, f"docs/architecture.md does not mention {missing}"
    systems = {path.name for path in (ROOT / "config").glob("*.system.yaml")}
    assert systems == {*re.findall(r"`config/(\w+\.system\.yaml)`", ARCHITECTURE)}


@pytest.mark.parametrize("name", MESSAGES)
def test_every_field_of_a_message_says_unit_or_shape(name):
    for line in (ROOT / "msg" / f"{name}.msg").read_text().splitlines():
        if line and not line.startswith("#"):
            comment = line.partition("#")[2]
            assert comment.strip(), f"{name}: {line!r} has no comment"
            if "=" not in line.partition("#")[0]:
                assert re.search(r"\[.+\]|\(.+\)", comment), f"{name}: {line!r} has neither unit nor shape"


def test_there_are_at_most_nine_message_types():
    assert len(MESSAGES) <= 9


def test_architecture_names_every_module():
    modules = {path.relative_to(ROOT / "tdm_ros").as_posix() for path in (ROOT / "tdm_ros").glob("*/**/*.py")}
    missing = {module for module in modules if not module.endswith("__init__.py") and f"`{module}`" not in ARCHITECTURE}
    assert not missing, f"docs/architecture.md does not mention {sorted(missing)}"
    named = set(re.findall(r"`(\w+/\w+\.py)`", ARCHITECTURE))
    assert named <= modules, f"docs/architecture.md names what is not there: {sorted(named - modules)}"


def test_architecture_lists_the_packages_in_the_order_of_their_imports():
    rules = re.search(r"^layers = \[(.*?)^\]", (ROOT / "pyproject.toml").read_text(), re.DOTALL | re.MULTILINE)
    layers = re.findall(r'"([\w.]+)"', rules[1])
    listed = re.findall(r"^### `(\w+)/`", ARCHITECTURE, re.MULTILINE)
    assert [f"tdm_ros.{name}" for name in listed if name not in ("drivers", "bringup")] == layers[:-1]


def test_links_to_files_lead_somewhere():
    for document in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)\)", document.read_text()):
            assert (document.parent / target).exists(), f"{document.name} links to {target}"


def test_arguments_of_every_launch_file_are_in_the_documentation() -> None:
    """Those of systems are in tables of their own; here are the others, as their source declares them."""
    page = (ROOT / "docs" / "gazebo.md").read_text()
    for path in sorted((ROOT / "launch").glob("*.launch.py")):
        if (ROOT / "config" / path.name.replace(".launch.py", ".system.yaml")).exists():
            continue
        assert f"| `{path.name}` |" in page, path.name
        table = page.split(f"| `{path.name}` |")[1].split("\n| `")[0]
        tree = ast.parse(path.read_text())
        calls = [
            n for n in ast.walk(tree) if isinstance(n, ast.Call) and ast.unparse(n.func) == "DeclareLaunchArgument"
        ]
        names = [call.args[0].value for call in calls if isinstance(call.args[0], ast.Constant)]
        for node in tree.body:
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "ARGUMENTS":
                names += ast.literal_eval(node.value)
        assert len(names) >= len(calls)
        for name in names:
            assert f"`{name}`" in table, f"{path.name}: {name}"


@pytest.mark.parametrize("task", doc_tables.WHOLE_PARTS)
def test_equal_parts_are_the_fixed_horizon_that_the_table_of_results_calls_them(task):
    spec = make_goal_env(task)[1]
    assert doc_tables.WHOLE_PARTS[task] == f"T{spec.horizon}"
    features = Features.fit(spec, np.zeros((2, spec.observation.size), np.float32), 0.15)
    segments, cycle = (
        NumpyActor(
            TdmAgent(
                spec, TdmConfig(horizon_schedule=schedule, scale_by_reachable_distance=False), features, 0
            ).actor_tensors()
        )
        for schedule in ("segments", "cycle")
    )
    for time in range(spec.episode_steps):
        left = spec.episode_steps - 1 - time
        assert segments.steps_left(time, left) == cycle.steps_left(time, left), time


def test_site_builds_without_a_warning(tmp_path: Path) -> None:
    """As `make docs` does it: every page is in the navigation, and every link and anchor exists."""
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "site" / "nodes" / "arm" / "index.html").exists()


def test_readme_is_short_and_says_what_was_never_run() -> None:
    text = (ROOT / "README.md").read_text()
    assert len(text.encode()) < 9000
    assert "**not run**" in text and "make demo" in text and "pip install ." in text
