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


@pytest.mark.parametrize("present", [[], ["g++"]], ids=["nothing", "compiler"])
def test_setup_program_missing_names_its_package(checkout: Path, present: list[str]) -> None:
    (checkout / "bin").mkdir()
    for name in present:
        (checkout / "bin" / name).symlink_to(sys.executable)
    missing = "make is needed to build the messages: apt install make"
    if not present:
        missing = "a C++ compiler is needed to build the messages: apt install g++"
    assert run(checkout, PATH=str(checkout / "bin")) == (1, f"set-up: {missing}\n")


@pytest.mark.parametrize(
    ("name", "value", "check", "words"),
    [
        ("PYTHONS", ((3, 98), (3, 99)), "check_machine", r"3\.98 to 3\.99 is needed.* make with PYTHON=python3\.98"),
        ("DISK_GB", 10**9, "ensure_packages", "GB of free disk are needed and"),
    ],
)
def test_setup_on_a_machine_that_lacks_something_names_it(
    bootstrap: ModuleType, monkeypatch: pytest.MonkeyPatch, name: str, value: object, check: str, words: str
) -> None:
    monkeypatch.setattr(bootstrap, name, value)
    with pytest.raises(bootstrap.SetupError, match=words):
        getattr(bootstrap, check)()


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


def test_torch_without_cuda_is_taken_from_find_links_although_the_index_states_the_hash_of_another(
    bootstrap: ModuleType, checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def run_pip(command: list[str], _: dict | None = None) -> None:
        asked.append((command, Path(command[-1]).read_text()))
        if found:
            (checkout / ".venv/lib/python3.11/site-packages/torch-2.13.0+cpu.dist-info").mkdir(parents=True)
        else:
            raise bootstrap.SetupError("No matching distribution")

    monkeypatch.setattr(bootstrap, "run", run_pip)
    (checkout / "build").mkdir()
    for found in (False, True):
        assert bootstrap.install_cpu_torch(["pip", "install", "--require-hashes"], bootstrap.LOCKS[2]) is found
    command, lock = asked[0]
    assert command[:-1] == ["pip", "install", "--require-hashes", "--no-index", "-r"]
    assert lock.startswith("torch==")
    assert lock.count("==") == 1
    assert lock in (ROOT / bootstrap.LOCKS[2]).read_text()
