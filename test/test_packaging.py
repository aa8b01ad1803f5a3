"""What stands in two places agrees: package.xml, CMake, launch file, table, requirements, code."""

from __future__ import annotations

import ast
import importlib.util
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tarfile
import xml.etree.ElementTree as ElementTree
import zipfile
from pathlib import Path

import pytest

import tdm_ros
from tdm_ros.bringup.environment import free_domain, ros_environment
from tdm_ros.bringup.starting import NEEDED_BY_ALL, NEEDS
from tdm_ros.bringup.table import as_ros_text, load_table
from tdm_ros.nodes.parameters import NODES

ROOT = Path(__file__).parent.parent
TABLES = sorted((ROOT / "config").glob("*.system.yaml"))
MODULES = sorted((ROOT / "tdm_ros").rglob("*.py"))


def pins(name: str) -> dict[str, str]:
    """Return the `name==version` lines of a file."""
    found = re.findall(r"^([A-Za-z0-9._-]+)(?:\[\w+\])?==([^\s\\]+)", (ROOT / name).read_text(), re.MULTILINE)
    return {key.lower(): version for key, version in found}


def imported(path: Path) -> set[str]:
    """Return the modules that a file imports anywhere."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return names


def test_version_of_the_ros_package_is_that_of_the_module() -> None:
    assert ElementTree.parse(ROOT / "package.xml").findtext("version") == tdm_ros.__version__


def test_cmake_makes_an_executable_for_every_node() -> None:
    listed = re.search(r"foreach\(node ([\w ]+)\)", (ROOT / "CMakeLists.txt").read_text())
    assert listed is not None
    assert set(listed[1].split()) == set(NODES)
    for node in NODES:
        assert (ROOT / "tdm_ros" / "nodes" / f"{node}.py").is_file()
    for path in TABLES:
        assert {node.executable for node in load_table(path).nodes if node.package == "tdm_ros"} <= set(NODES)


def test_package_xml_names_every_ros_package_that_the_code_imports() -> None:
    root = ElementTree.parse(ROOT / "package.xml").getroot()
    named = {entry.text for entry in root.iter() if entry.tag in ("depend", "exec_depend")}
    roots = {name.split(".")[0] for path in MODULES for name in imported(path)}
    used = {name for name in roots if name == "rclpy" or name.endswith(("_msgs", "_interfaces", "_srvs"))}
    # Optional: the lab's own, of which robot:=bridged says that it lacks, and those that a robot's driver brings.
    assert used - {"intera_core_msgs", "controller_manager_msgs"} <= named


ROSDEP = {
    "gymnasium": "python3-gymnasium-pip",
    "imageio": "python3-imageio",
    "matplotlib": "python3-matplotlib",
    "mcap-ros2-support": "mcap-ros2-support",
    "mujoco": "python3-mujoco-pip",
    "numpy": "python3-numpy",
    "PyYAML": "python3-yaml",
    "scipy": "python3-scipy",
    "tensorboard": "python3-tensorboard-pip",
    "torch": "python3-torch",
    "tqdm": "python3-tqdm",
}
"""Keys of rosdep. Source: rosdistro, rosdep/python.yaml."""
NO_KEY = {"safetensors", "lz4", "mcap", "zstandard"}
"""Those that rosdep does not know; all but the first one come with mcap-ros2-support."""


def test_package_xml_has_the_rosdep_key_of_every_requirement() -> None:
    wanted = re.findall(r"^[A-Za-z][\w-]*", (ROOT / "requirements" / "runtime.txt").read_text(), re.MULTILINE)
    assert set(wanted) == set(ROSDEP) | NO_KEY
    root = ElementTree.parse(ROOT / "package.xml").getroot()
    assert set(ROSDEP.values()) <= {entry.text for entry in root.iter("exec_depend")}


@pytest.mark.ros
@pytest.mark.any_speed
def test_colcon_build_installs_the_command(tmp_path: Path) -> None:
    """Configured as colcon does it, without the half minute of compiling."""
    source, build = tmp_path / "tdm_ros", tmp_path / "build"
    source.mkdir()  # a copy: CMake rejects a .venv in the sources, whose headers it uses
    ours = ("msg", "action", "tdm_ros", "config", "launch", "urdf", "worlds")
    for name in ("CMakeLists.txt", "package.xml", "LICENSE", *ours):
        (source / name).symlink_to(ROOT / name)
    environ = ros_environment(os.environ)
    environ["CMAKE_PREFIX_PATH"] = environ["AMENT_PREFIX_PATH"]
    command = ["cmake", "-S", source, "-B", build, f"-DCMAKE_INSTALL_PREFIX={tmp_path / 'install'}"]
    command += ["-DBUILD_TESTING=OFF", f"-DPython3_EXECUTABLE={sys.executable}"]
    ran = subprocess.run(command, env=environ, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    rules = (build / "cmake_install.cmake").read_text()
    installed = re.search(r'DESTINATION "\${CMAKE_INSTALL_PREFIX}/bin" TYPE PROGRAM FILES "(.*/tdm_ros)"', rules)
    assert installed is not None
    printed = subprocess.run([installed[1], "--version"], env=environ, capture_output=True, text=True)
    assert printed.stdout == f"tdm_ros {tdm_ros.__version__}\n"
    assert re.search(r'/share/tdm_ros" TYPE FILE FILES "[^"]*/LICENSE"', rules)


@pytest.mark.ros
@pytest.mark.any_speed
@pytest.mark.parametrize("node", NODES)
def test_check_before_the_start_knows_what_a_node_imports(node: str) -> None:
    """Those that it imports later, torch in the trainer, are named there, too."""
    names = {"mcap-ros2-support": "mcap_ros2", "PyYAML": "yaml"}
    modules = [names.get(name, name) for name in (*ROSDEP, *NO_KEY)]
    program = f"import sys, tdm_ros.nodes.{node}; print(*(m for m in {modules} if m in sys.modules))"
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert set(found) <= {*NEEDED_BY_ALL, *NEEDS.get(node, ())}


@pytest.mark.parametrize("path", TABLES, ids=lambda path: path.stem)
def test_launch_file_of_every_table_is_plain(path: Path) -> None:
    launch = ROOT / "launch" / path.name.replace(".system.yaml", ".launch.py")
    source = launch.read_text()
    branches = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.If | ast.IfExp | ast.Match)]
    assert not branches
    assert f'"{path.name}"' in source, "the launch file reads another table"


def test_changelog_of_bloom_is_that_of_the_released_versions() -> None:
    """Parsed as bloom does it, with what a changelog may have: headings, tables, code, links, nested lists."""
    catkin = pytest.importorskip("catkin_pkg.changelog", reason="catkin_pkg comes with ROS 2")
    spec = importlib.util.spec_from_file_location("doc_tables", ROOT / "tools" / "doc_tables.py")
    assert spec is not None and spec.loader is not None
    spec.loader.exec_module(tables := importlib.util.module_from_spec(spec))
    markdown = (ROOT / "CHANGELOG.md").read_text()
    assert (ROOT / "CHANGELOG.rst").read_text() == tables.changelog(markdown), "run python tools/doc_tables.py"
    released = tables.changelog(markdown.replace("- unreleased", "- 2026-12-01", 1))
    parsed = catkin.Changelog("tdm_ros")
    catkin.populate_changelog_from_rst(parsed, released)
    ((version, date, contents),) = parsed.foreach_version()
    assert (version, date.year) == (tdm_ros.__version__, 2026) and len(contents) > 10
    assert "limits.hand_box.low_m" in "".join(map(str, contents))


def test_package_xml_needs_no_display_unless_it_is_asked_for() -> None:
    """By a condition of REP 149, which rosdep evaluates; the launch files name what is missing."""
    catkin = pytest.importorskip("catkin_pkg.package", reason="catkin_pkg comes with ROS 2")
    package = catkin.parse_package(str(ROOT))
    package.validate()
    named = {}
    for value in ("", "1"):
        package.evaluate_conditions({"TDM_ROS_OPTIONAL": value})
        named[value] = {entry.name for entry in package.exec_depends if entry.evaluated_condition}
    optional = named["1"] - named[""]
    assert {"rviz2", "ros_gz_sim", "ros_gz_bridge", "joy"} <= optional and "tf2_msgs" in named[""]
    launched = "".join(path.read_text() for path in (ROOT / "launch").glob("*.py"))
    assert all(f'"{name}"' in launched for name in optional)
    assert not any(person.email.endswith("example.org") for person in package.maintainers)


def test_messages_are_at_most_nine() -> None:
    assert 1 <= len(list((ROOT / "msg").iterdir())) <= 9


def locked(name: str) -> dict[str, list[str]]:
    """Return the hashes in a lock, by `name==version`; every other line is a comment."""
    text = (ROOT / "requirements" / f"{name}.lock").read_text()
    lines = [line.rstrip(" \\") for line in text.splitlines() if line and not line.startswith("#")]
    found: dict[str, list[str]] = {}
    for line in lines:
        if pin := re.fullmatch(r"([a-z0-9-]+==[\w.]+)( ; python_version .*)?", line):
            found[pin[1]] = []
        else:
            hash_ = re.fullmatch(r"    --hash=sha256:([0-9a-f]{64})", line)
            assert hash_, f"{name}.lock: {line}"
            found[list(found)[-1]].append(hash_[1])
    return found


def test_every_pinned_distribution_has_hashes_and_no_lock_another_version() -> None:
    locks = {name: locked(name) for name in ("setup", "ros", "python", "cuda")}
    pinned = {f"{name.replace('.', '-')}=={version}" for name, version in pins("constraints.txt").items()}
    entries = [entry for lock in locks.values() for entry in lock]
    assert len(entries) == len(set(entries)) and all(hashes for lock in locks.values() for hashes in lock.values())
    assert set(entries) - set(locks["cuda"]) <= pinned, "a version that constraints.txt does not name"
    # What is pinned and not locked belongs to make models and make robots alone, which set-up does not run.
    robots = re.findall(r"^[a-z][\w-]*", (ROOT / "requirements" / "robots.txt").read_text(), re.MULTILINE)
    others = {"atheris", "drake", "mosek", "pydot", *robots}
    assert {entry.partition("==")[0] for entry in pinned - set(entries)} <= others
    assert len(next(hashes for entry, hashes in locks["python"].items() if entry.startswith("torch=="))) >= 4


@pytest.mark.parametrize("path", sorted((ROOT / "requirements").glob("*.txt")), ids=lambda path: path.stem)
def test_every_requirement_is_locked(path: Path) -> None:
    ros = path.stem if path.stem.startswith("ros") else "ros"
    names = {entry.partition("==")[0] for name in ("setup", ros, "python") for entry in locked(name)}
    wanted = {name.lower() for name in re.findall(r"^[A-Za-z][\w.-]*", path.read_text(), re.MULTILINE)}
    assert wanted <= names or path.stem in ("fuzz", "models", "robots")


def test_set_up_installs_nothing_without_a_hash() -> None:
    """Set-up asks pip for the locks and for this checkout, and nothing else."""
    installs: list[list[str]] = []
    spec = importlib.util.spec_from_file_location("bootstrap_for_packaging", ROOT / "tools" / "bootstrap.py")
    assert spec is not None and spec.loader is not None
    bootstrap = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(bootstrap)
    bootstrap.is_done = lambda *_: False
    bootstrap.mark_done = bootstrap.relocate_exports = lambda *_: None
    bootstrap.VENV = ROOT / "there is none"
    bootstrap.run = installs.append
    bootstrap.ensure_packages()
    installs = [command for command in installs if "install" in command]
    for command in installs:
        assert "--no-build-isolation" in command, "pip would download what a package is built with"
        hashed = "--require-hashes" in command and command[command.index("-r") + 1].endswith(".lock")
        assert hashed or command[-2:] == ["-e", "."]
    setup, ros, python = bootstrap.LOCKS
    own = str(ROOT / "build" / "torch.lock")  # the lines of torch in that of Python
    assert [command[-1] for command in installs] == [setup, ros, own, bootstrap.CUDA_LOCK, python, "."]


def test_every_requirement_is_pinned_and_none_names_a_registry() -> None:
    constraints = pins("constraints.txt")
    for path in [*sorted((ROOT / "requirements").iterdir()), ROOT / "constraints.txt"]:
        assert not re.search(r"https?:|--(extra-)?index|--find-links", path.read_text())
    for path in sorted((ROOT / "requirements").glob("*.txt")):
        wanted = re.findall(r"^[A-Za-z][\w.-]*", path.read_text(), re.MULTILINE)
        others = path.stem == "ros_kilted"  # another distribution than the one that constraints.txt pins
        assert others or {name.lower() for name in wanted} <= set(constraints)
        bounded = re.findall(r"^([A-Za-z][\w.-]*)(?:\[\w+\])?>=[\d.]+$", path.read_text(), re.MULTILINE)
        assert path.stem.startswith("ros") or bounded == wanted, f"{path.name}: each requirement needs a lower bound"


def test_only_nodes_import_ros() -> None:
    ros = ("rclpy", "tdm_ros.msg", "tdm_ros.action", "std_msgs", "geometry_msgs", "sensor_msgs", "visualization_msgs")
    # The worker in intera runs in a ROS 1 Python, whose sensor_msgs has the same name; import-linter keeps rclpy out.
    outside = [path for path in MODULES if path.parent.name not in ("nodes", "drivers", "intera")]
    assert not [(path, name) for path in outside for name in imported(path) if name.startswith(ros)]


def test_help_is_quick_it_imports_neither_numpy_nor_ros() -> None:
    script = (
        "import sys; from tdm_ros.cli import build_parser; text = build_parser([]).format_help(); "
        "assert not {'numpy', 'torch', 'rclpy', 'yaml'} & set(sys.modules); print(text)"
    )
    text = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT).stdout
    for verb in (ROOT / "tdm_ros" / "cli").glob("[!_]*.py"):
        assert re.search(rf"^ +{verb.stem} +\S", text, re.MULTILINE)


def test_free_domain_taken_port_is_passed_over() -> None:
    first = free_domain()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("", 7410 + 250 * first))
        assert free_domain([first, *range(1, 101)]) != first


@pytest.mark.ros
@pytest.mark.any_speed
def test_parameters_on_the_command_line_reach_a_node_with_their_types() -> None:
    values: dict[str, float | int | bool | str]
    values = {"minutes": 3.0, "goals": 40, "auto": True, "name": "2024", "folder": ""}
    defaults = {"minutes": 1.0, "goals": 1, "auto": False, "name": "other", "folder": "other"}
    script = (
        "import json, sys, rclpy; rclpy.init(args=sys.argv); node = rclpy.create_node('probe'); "
        f"read = {{name: node.declare_parameter(name, old).value for name, old in {defaults!r}.items()}}; "
        "print(json.dumps(read))"
    )
    arguments = [part for name, value in values.items() for part in ("-p", f"{name}:={as_ros_text(value)}")]
    command = [sys.executable, "-c", script, "--ros-args", *arguments]
    output = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout
    read = json.loads(output)
    assert read == values
    assert [type(value) for value in read.values()] == [float, int, bool, str, str]


def test_wheel_and_source_distribution_pass_twine_and_have_license_and_types(tmp_path: Path) -> None:
    source, dist = tmp_path / "source", tmp_path / "dist"
    for name in subprocess.check_output(["git", "ls-files"], cwd=ROOT, text=True).splitlines():
        if (ROOT / name).is_file() and not name.startswith(("docs/", "test/")):
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, source / name)
    python = [sys.executable, "-W", "ignore"]
    wheel = [*python, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", str(dist), "."]
    subprocess.run(wheel, cwd=source, check=True, timeout=300)
    subprocess.run([*python, "setup.py", "-q", "sdist", "-d", str(dist)], cwd=source, check=True, timeout=300)
    built = sorted(dist.iterdir())
    assert [path.suffix for path in built] == [".whl", ".gz"]
    checked = subprocess.run([*python, "-m", "twine", "check", "--strict", *built], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    names = zipfile.ZipFile(built[0]).namelist()
    assert "tdm_ros/py.typed" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    with tarfile.open(built[1]) as archive:
        assert {"LICENSE", "pyproject.toml"} <= {Path(name).name for name in archive.getnames()}
