"""Set-up, on copies of the checkout: one sentence on what is missing; once interrupted, it starts over."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Return a copy of what set-up reads before anything is installed."""
    for name in ("tools", "requirements"):
        shutil.copytree(ROOT / name, tmp_path / name)
    return tmp_path


@pytest.fixture
def bootstrap(checkout: Path) -> ModuleType:
    """Return the script as a module, at home in the copy."""
    spec = importlib.util.spec_from_file_location("bootstrap", checkout / "tools" / "bootstrap.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(checkout: Path, **env: str) -> tuple[int, str]:
    """Run set-up in a copy; return its exit status and what it printed."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
    ran = subprocess.run(
        [sys.executable, str(checkout / "tools" / "bootstrap.py")],
        env=clean | {"PIP_CONFIG_FILE": os.devnull, **env},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=100,
    )
    return ran.returncode, ran.stdout


def test_setup_registry_unreachable_says_so_and_next_run_starts_over(checkout: Path) -> None:
    nowhere = {"PIP_INDEX_URL": "http://127.0.0.1:9/simple", "PIP_RETRIES": "1"}
    status, output = run(checkout, **nowhere)
    assert status == 1
    assert output.splitlines()[-1].startswith("set-up: the package registry cannot be reached: check the network")
    assert "Traceback" not in output
    assert (checkout / ".venv").exists()
    _, again = run(checkout, **nowhere)
    assert ".venv is unfinished or made from other pins: starting over" in again


def test_setup_compiler_missing_names_the_package(checkout: Path) -> None:
    (checkout / "bin").mkdir()
    status, output = run(checkout, PATH=str(checkout / "bin"))
    assert (status, output) == (
        1,
        "set-up: a C++ compiler is needed to build the messages: apt install g++\n",
    )


def test_setup_make_missing_names_the_package(checkout: Path) -> None:
    (checkout / "bin").mkdir()
    (checkout / "bin" / "g++").symlink_to(sys.executable)
    status, output = run(checkout, PATH=str(checkout / "bin"))
    assert (status, output) == (1, "set-up: make is needed to build the messages: apt install make\n")


def test_check_machine_other_python_names_the_right_one(bootstrap: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bootstrap, "PYTHONS", ((3, 98), (3, 99)))
    with pytest.raises(bootstrap.SetupError, match=r"3\.98 to 3\.99 is needed.* make with PYTHON=python3\.98"):
        bootstrap.check_machine()


def test_ensure_packages_disk_full_says_how_much_is_needed(
    bootstrap: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bootstrap, "DISK_GB", 10**9)
    with pytest.raises(bootstrap.SetupError, match="GB of free disk are needed"):
        bootstrap.ensure_packages()


@pytest.mark.parametrize(
    ("output", "words"),
    [
        ("ERROR: Could not install: [Errno 28] No space left on device", "the disk is full"),
        (
            "WARNING: Retrying ... Max retries\nERROR: THESE PACKAGES DO NOT MATCH THE HASHES",
            "not one that the locks",
        ),
        ("ERROR: No matching distribution found for torch==2.13.0", "lacks a pinned version"),
        ("CMake Error at CMakeLists.txt:3: wrong\ndone", "colcon failed with status 2: CMake Error at CMake"),
        ("", "it printed nothing"),
    ],
)
def test_explain_output_of_a_failure_names_the_cause(bootstrap: ModuleType, output: str, words: str) -> None:
    assert words in bootstrap.explain(["bin/colcon", "build"], 2, output)


def test_stage_done_only_for_the_very_same_inputs(bootstrap: ModuleType, checkout: Path) -> None:
    (checkout / ".venv").mkdir()
    key = bootstrap.digest(bootstrap.LOCKS, ["3.11"])
    assert not bootstrap.is_done("packages", key)
    bootstrap.mark_done("packages", key)
    assert bootstrap.is_done("packages", bootstrap.digest(bootstrap.LOCKS, ["3.11"]))
    assert not bootstrap.is_done("packages", bootstrap.digest(bootstrap.LOCKS, ["3.12"]))
    (checkout / "requirements" / "python.lock").write_text("other")
    assert not bootstrap.is_done("packages", bootstrap.digest(bootstrap.LOCKS, ["3.11"]))


def test_relocate_exports_twice_names_this_python_once(bootstrap: ModuleType, checkout: Path) -> None:
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    container = "/opt/python/cp{0}-cp{0}".format(version.replace(".", ""))
    exports = checkout / ".venv" / "share" / "std_msgs" / "cmake" / "export_std_msgsExport.cmake"
    exports.parent.mkdir(parents=True)
    numpy = "site-packages/numpy/_core/include"
    exports.write_text(
        f'"{container}/include/python{version};{container}/lib/python{version}/{numpy}"',
    )
    bootstrap.relocate_exports()
    bootstrap.relocate_exports()
    here = checkout / ".venv" / "lib" / f"python{version}" / numpy
    assert exports.read_text() == f'"{sysconfig.get_path("include")};{here}"'
