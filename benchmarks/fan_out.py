"""Many runs at once: processes on this machine, or tasks on a Ray cluster. Both tell the same events."""

from __future__ import annotations

import multiprocessing
import os
import queue
import signal
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.cases import Run
from benchmarks.trial import RESULT, measure, write_json
from tdm_ros.bringup.environment import ONE_THREAD

_WAIT_S = 0.5


class Event(NamedTuple):
    """What is heard of a run."""

    run: Run
    steps: int
    """Environment steps that are over."""
    done: bool = False
    error: str = ""
    """Why it failed; "" if it did not."""


def run_locally(runs: Sequence[Run], out: Path, jobs: int) -> Iterator[Event]:
    """Measure ``runs``, ``jobs`` at a time, each in a process of its own with one thread."""
    context = multiprocessing.get_context("spawn")
    progress_events: multiprocessing.Queue[Event] = context.Queue()
    waiting, running = list(runs), dict[Run, BaseProcess]()
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                run = waiting.pop(0)
                running[run] = context.Process(target=_work, args=(run, run.folder(out), progress_events), daemon=True)
                running[run].start()
                yield Event(run, 0)
            dead = [run for run, process in running.items() if not process.is_alive()]
            with suppress(queue.Empty):
                event = progress_events.get(timeout=_WAIT_S)
                if event.done:
                    running.pop(event.run).join()
                yield event
                continue
            # One that was killed says nothing: all that was said has been heard.
            for run in dead:
                code = running.pop(run).exitcode
                yield Event(run, run.steps, done=True, error=f"its process ended with exit code {code}")
    finally:
        for process in running.values():
            process.terminate()


def _work(run: Run, folder: Path, progress_events: multiprocessing.Queue[Event]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends us
    parent = multiprocessing.parent_process()

    def report(steps: int) -> None:
        if parent is not None and not parent.is_alive():
            os._exit(1)  # nobody waits for us, and the next command may already do our run
        progress_events.put(Event(run, steps))

    error = _attempt(run, folder, report)[1]
    progress_events.put(Event(run, run.steps, done=True, error=error))


def _attempt(run: Run, folder: Path, report: Callable[[int], None]) -> tuple[dict[str, Any], str]:
    try:
        return measure(run, folder, report), ""
    except Exception as error:  # one run that fails must not end the others
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "error.txt").write_text(traceback.format_exc(), encoding="utf-8")
        return {}, f"{type(error).__name__}: {error} ({folder / 'error.txt'})"


def run_on_ray(runs: Sequence[Run], out: Path, address: str, jobs: int) -> Iterator[Event]:
    """Measure ``runs`` on a Ray cluster, one core each.

    Parameters
    ----------
    runs : sequence of Run
    out : Path
        Results come back and are written here; a checkpoint stays where the run was.
    address : str
        Of the cluster; "local" starts one of ``jobs`` cores on this machine.
    jobs : int

    Raises
    ------
    RuntimeError
        If Ray is not installed.
    """
    try:
        import ray
        from ray.util.queue import Empty, Queue
    except ImportError as error:
        raise RuntimeError("--ray needs Ray: pip install 'tdm_ros[benchmarks]'") from error
    _start_ray(address, jobs)
    try:
        progress_events = Queue(actor_options={"num_cpus": 0})
        task = ray.remote(num_cpus=1, max_retries=2)(_work_on_ray)
        running = {task.remote(run, str(run.folder(out).resolve()), progress_events): run for run in runs}
        while running:
            with suppress(Empty):
                yield progress_events.get(timeout=_WAIT_S)
            for reference in ray.wait(list(running), timeout=0)[0]:
                run = running.pop(reference)
                try:
                    result, why = ray.get(reference)
                except ray.exceptions.RayError as lost:
                    result, why = {}, f"{type(lost).__name__}: {lost}"
                if result:
                    write_json(run.folder(out) / RESULT, result)
                yield Event(run, run.steps, done=True, error=why)
    finally:
        ray.shutdown()


def _start_ray(address: str, jobs: int) -> None:
    import ray

    environment = {"env_vars": {**dict.fromkeys(ONE_THREAD, "1"), "PYTHONPATH": os.environ.get("PYTHONPATH", "")}}
    if address == "local":
        ray.init(num_cpus=jobs, include_dashboard=False, log_to_driver=False, runtime_env=environment)
    else:
        modules = [str(Path(__file__).parents[1] / name) for name in ("tdm_ros", "benchmarks")]
        ray.init(address=address, log_to_driver=False, runtime_env={**environment, "py_modules": modules})


def _work_on_ray(run: Run, folder: str, progress_events: Any) -> tuple[dict[str, Any], str]:
    return _attempt(run, Path(folder), lambda steps: progress_events.put(Event(run, steps)))
