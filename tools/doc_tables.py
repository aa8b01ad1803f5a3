"""Write the tables of docs/ from the code that they describe, or check that they still agree.

    python tools/doc_tables.py            # rewrite them
    python tools/doc_tables.py --check    # exit 1 if one is out of date

A table stands between `<!-- table: NAME -->` and `<!-- end -->`. NAME is `parameters NODE` (from the dataclasses in
`tdm_ros/nodes/parameters.py`), `topics NODE` (from the calls in `tdm_ros/nodes/NODE.py` and its `PARTS`; services and
actions from `SERVICES`, which test_interfaces compares with the living nodes), `message NAME` (from `msg/`),
`qos` (from `tdm_ros/nodes/qos.py`), `modes` and `transitions` (from `tdm_ros/control/arm_modes.py`, as is the diagram
docs/images/arm_modes.svg), `states supervisor` (from `tdm_ros/control/episodes.py`, as is its diagram),
`arguments SYSTEM` (from `config/SYSTEM.system.yaml`), `modules PACKAGE` (from the first lines of docstrings),
`joints sawyer` (from the robot's table), `task NAME` (from the task's description), `results`, or
`live TASK MINUTES [DRIVER]` (both from docs/results/). CHANGELOG.rst, for bloom, is written from CHANGELOG.md.
"""

from __future__ import annotations

import ast
import csv
import re
import sys
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
DOCUMENTS = tuple(
    sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.md") if "<!-- table: " in path.read_text())
)
BLOCK = re.compile(r"(<!-- table: (?P<name>[\w ]+) -->\n).*?(<!-- end -->)", re.DOTALL)

RATES = {
    "arm_state": "20 Hz",
    "joint_states": "20 Hz; not where the robot publishes it (`ros2_control`)",
    "command": "20 Hz while an episode runs",
    "episode": "on change, and 4 Hz",
    "subgoal": "on each new plan",
    "transition": "20 Hz while the arm moves",
    "policy_weights": "about 1 Hz of learning",
    "goal": "on request of the operator",
    "deadman": "10 Hz or more while it is held",
    "teleop/twist": "20 Hz during teleoperation",
    "teleop/engaged": "20 Hz during teleoperation",
    "teleop/event": "on input of the operator",
    "keep_out": "on change",
    "plan_markers": "on each new subgoal",
    "scene_markers": "5 Hz",
    "reachability_markers": "1 Hz while it is subscribed to",
    "goal_marker/update": "on each new goal, and 2 Hz",
    "goal_marker/feedback": "while it is dragged in RViz",
    "arm_watchdog/command": "20 Hz while it moves, `sim:=gazebo` and `robot:=bridged`",
    "arm_watchdog/state": "100 Hz, `sim:=gazebo` and `robot:=bridged`",
    "gz/JOINT/cmd_vel": "zeros while the watchdog is lost, `sim:=gazebo`; else it publishes (torques: `cmd_force`)",
    "object_pose": "20 Hz with `task: push`: published with MuJoCo, received with other drivers",
    "/tf": "20 Hz",
    "/tf_static": "once, latched",
    "robot_description": "once, latched",
    "/diagnostics": "1 Hz",
}
"""Rate of each topic, which the code does not have in one place."""

PARTS = {"scene": ["frames", "markers"]}
"""Further modules with topics of a node."""

_TRIGGER, _SWITCH = "std_srvs/Trigger", "std_srvs/SetBool"
SERVICES = {
    "arm": [
        ("~/enable", _TRIGGER, "a robot or Gazebo: switch the motors on"),
        ("~/reset", _TRIGGER, "a robot or Gazebo: clear a stop; the motors stay off"),
        ("~/stop", _TRIGGER, "a robot or Gazebo: a software e-stop"),
    ],
    "supervisor": [
        ("~/start", _TRIGGER, "begin, or continue after a pause"),
        ("~/pause", _TRIGGER, "hold; the episode does not count"),
        ("~/stop", _TRIGGER, "hold, and withdraw the permission to move"),
        ("~/reset", _TRIGGER, "drive home before the next episode"),
        ("~/clear_fault", _TRIGGER, "clear a fault; never starts motion"),
        ("~/evaluate", _SWITCH, "evaluate on fresh goals now; false: train again"),
        ("~/keep_goal", _SWITCH, "keep the requested goal"),
        ("reach_goal", "tdm_ros/ReachGoal", "an action: pursue a goal until it is reached, with feedback"),
    ],
    "scene": [
        (
            "goal_marker/get_interactive_markers",
            "visualization_msgs/GetInteractiveMarkers",
            "marker of the goal for RViz",
        )
    ],
}
"""Services and actions of each node: name, type, effect."""
LIFECYCLE = [("~/change_state", "lifecycle_msgs/ChangeState", "and the other services of a lifecycle node")]
"""What every node offers."""

_MAKERS = {
    "create_publisher": "publishes",
    "create_lifecycle_publisher": "publishes",
    "listen": "subscribes",
    "listen_external": "subscribes",
}


def parameters(node: str) -> str:
    """The parameters of a node."""
    from tdm_ros.nodes.parameters import NODES, specs_of

    lines = ["| parameter | default | unit, range | read-only | meaning |", "|---|---|---|---|---|"]
    for name, spec in specs_of(NODES[node]).items():
        bounds, choices, unit = (spec.metadata[key] for key in ("bounds", "choices", "unit"))
        limits = f"{bounds[0]:g} .. {bounds[1]:g}" if bounds else ", ".join(choices)
        if spec.metadata["unlimited"]:
            limits += ", or .inf"
        read_only = "yes" if spec.metadata["read_only"] else "no"
        lines.append(
            f"| `{name}` | `{_default(spec.default)}` | {' '.join(filter(None, (unit, limits)))} | {read_only} "
            f"| {spec.metadata['description']} |"
        )
    return "\n".join(lines)


def _default(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if value == float("inf"):
        return ".inf"
    return str(list(value)) if isinstance(value, tuple) else str(value)


def topics(node: str) -> str:
    """The topics of a node."""
    names = [node, *PARTS.get(node, [])]
    rows = [row for name in names for row in _topic_rows(ROOT / "tdm_ros" / "nodes" / f"{name}.py")]
    rows += _DRIVERS if node == "arm" else []
    rows.append(("publishes", "/diagnostics", "DiagnosticArray", "DIAGNOSTICS"))
    lines = ["| | topic | type | QoS | rate |", "|---|---|---|---|---|"]
    for direction, topic, kind, profile in sorted(set(rows)):
        lines.append(f"| {direction} | `{topic}` | {_full_type(kind)} | {profile} | {RATES[topic]} |")
    lines += [
        f"| offers | `{name}` | {kind} | service | {what} |" for name, kind, what in SERVICES.get(node, []) + LIFECYCLE
    ]
    return "\n".join(lines)


_DRIVERS = [
    ("publishes", "arm_watchdog/command", "WatchdogCommand", "reliable, 20"),
    ("subscribes", "arm_watchdog/state", "WatchdogState", "reliable, 1"),
    ("publishes", "gz/JOINT/cmd_vel", "Float64", "COMMAND"),
    ("publishes", "object_pose", "PoseStamped", "STATE"),
    ("subscribes", "object_pose", "PoseStamped", "TELEOP, EXTERNAL"),
]
"""Topics of `tdm_ros.drivers`, for arms that are driven through topics, and of the object that is pushed."""
NAMES = {"TOPIC": "/diagnostics"}
"""Topics that are named by a variable."""


def _topic_rows(path: Path) -> list[tuple[str, str, str, str]]:
    rows = []
    for call in ast.walk(ast.parse(path.read_text())):
        if not isinstance(call, ast.Call):
            continue
        function = ast.unparse(call.func).rpartition(".")[2]
        if function not in _MAKERS:
            continue
        kind, topic, profile = call.args[1:3] + call.args[4:5] if function.startswith("listen") else call.args[:3]
        assert isinstance(kind, ast.Name) and isinstance(profile, ast.Attribute)
        end = topic.values[-1] if isinstance(topic, ast.JoinedStr) else topic  # f"{space}episode": of each arm
        name = end.value if isinstance(end, ast.Constant) else NAMES[ast.unparse(end)]
        profile_name = profile.attr + (", EXTERNAL" if function == "listen_external" else "")
        rows.append((_MAKERS[function], str(name), kind.id, profile_name))
    return rows


def _full_type(kind: str) -> str:
    if (ROOT / "msg" / f"{kind}.msg").exists():
        return f"[{kind}](../architecture.md#{kind.lower()})"
    package = {
        "Bool": "std_msgs",
        "Float64": "std_msgs",
        "InteractiveMarkerFeedback": "visualization_msgs",
        "InteractiveMarkerUpdate": "visualization_msgs",
        "String": "std_msgs",
        "TFMessage": "tf2_msgs",
        "TwistStamped": "geometry_msgs",
        "JointState": "sensor_msgs",
        "PoseStamped": "geometry_msgs",
        "DiagnosticArray": "diagnostic_msgs",
        "MarkerArray": "visualization_msgs",
    }[kind]
    return f"{package}/{kind}"


def message(name: str) -> str:
    """The fields of a message; constants are in its file."""
    field = re.compile(r"(?P<type>[\w/]+(?:\[\])?) (?P<name>\w+) +# (?P<meaning>.*)")
    lines = ["| field | type | shape, unit, meaning |", "|---|---|---|"]
    for line in (ROOT / "msg" / f"{name}.msg").read_text().splitlines():
        found = field.fullmatch(line)
        if found:
            meaning = found["meaning"].replace("|", "\\|")
            lines.append(f"| `{found['name']}` | `{found['type']}` | {meaning} |")
    return "\n".join(lines)


def qos() -> str:
    """The QoS profiles and their reasons."""
    body = ast.parse((ROOT / "tdm_ros" / "nodes" / "qos.py").read_text()).body
    lines = ["| profile | reliability | keep last | latched | for what, and why |", "|---|---|---|---|---|"]
    for made, reason in pairwise(body):
        if not (isinstance(made, ast.Assign) and isinstance(made.value, ast.Call) and isinstance(reason, ast.Expr)):
            continue
        assert isinstance(made.targets[0], ast.Name)
        depth = ast.literal_eval(made.value.args[0])
        latched = "yes" if made.value.keywords else "no"
        reliability = ast.unparse(made.value.func).strip("_").replace("_", " ")
        why = " ".join(ast.literal_eval(reason.value).split())
        lines.append(f"| {made.targets[0].id} | {reliability} | {depth} | {latched} | {why} |")
    return "\n".join(lines)


def arguments(system: str) -> str:
    """The arguments of a system."""
    from tdm_ros.bringup.table import load_table

    lines = ["| argument | default | choices | meaning |", "|---|---|---|---|"]
    for argument in load_table(ROOT / "config" / f"{system}.system.yaml").arguments.values():
        default = str(argument.default).lower() if isinstance(argument.default, bool) else str(argument.default)
        choices = ", ".join(str(choice) for choice in argument.choices)
        lines.append(f"| `{argument.name}` | `{default}` | {choices} | {argument.description} |".replace("``", ""))
    return "\n".join(lines)


def modules(package: str) -> str:
    """The modules of a package, each with the first line of its docstring."""
    lines = ["| module | what it is |", "|---|---|"]
    for path in sorted((ROOT / "tdm_ros" / package).rglob("*.py")):
        if path.name != "__init__.py":
            first = (ast.get_docstring(ast.parse(path.read_text())) or "").splitlines()[0]
            lines.append(f"| `{path.relative_to(ROOT / 'tdm_ros').as_posix()}` | {first} |")
    return "\n".join(lines)


def joints(robot: str) -> str:
    """Joints of a robot with their limits and the scale of actions by velocity."""
    from tdm_ros.robots import sawyer
    from tdm_ros.robots.arm import ACTUATIONS

    assert robot == "sawyer"
    lines = [
        "| joint | range, rad | velocity limit, rad/s | torque limit, N m | action 1, velocity | action 1, torque |",
        "|---|---|---|---|---|---|",
    ]
    for i, name in enumerate(sawyer.JOINT_NAMES):
        numbers = (sawyer.QD_MAX_RAD_S, sawyer.EFFORT_MAX_N_M, ACTUATIONS["velocity"].scale, ACTUATIONS["torque"].scale)
        cells = " | ".join(f"{column[i]:.3g}" for column in numbers)
        lines.append(f"| `{name}` | {sawyer.Q_LOWER_RAD[i]:.2f} to {sawyer.Q_UPPER_RAD[i]:.2f} | {cells} |")
    return "\n".join(lines)


STARTS = {
    "sawyer_reach": "neutral posture, each joint up to 0.1 rad off",
    "sawyer_around": "the same, with the first joint anywhere within 2.9 rad",
    "sawyer_push": "hand above the table in front of the robot, puck ahead of the fork",
    "sawyer_push_around": "half of the episodes as `sawyer_push`, half with the hand anywhere (and the puck to stay)",
    "fetch_push": "hand just above the table, object beside it, 10 to 21 cm away",
    "maze": "anywhere clear of the walls",
    "reacher": "straight arm",
    "pusher": "bent arm, fork open towards the puck; puck in a box of 0.5 m",
    "cheetah": "standing, with noise on positions and velocities",
    "ant_position": "standing, with noise on positions and velocities",
    "ant_position_velocity": "standing, with noise on positions and velocities",
}
"""Distribution of the first state, by task; the environments draw it in `_start`."""
ENDS = {
    "ant_position": "terminates if the torso is below 0.2 m or above 1 m",
    "ant_position_velocity": "truncated when the goal is reached",
}
"""Ends of an episode before its length."""
TRAINED = {"sawyer_around": 20_000, "sawyer_push_around": 40_000, "maze": 15_000}
"""Steps of the command, for tasks without a benchmark of their own."""


def task(name: str) -> str:
    """Observation, goal, action, score, success, start, length, command and result of a task."""
    from benchmarks.cases import CASES
    from tdm_ros.envs import TASKS
    from tdm_ros.envs.goal_env import make_env

    spec = make_env(name).get_wrapper_attr("task")
    goal, action = spec.goal, spec.action
    box = ", ".join(f"`{n}` {low:g} to {high:g}" for n, low, high in zip(goal.names, goal.low, goal.high, strict=True))
    largest = ", ".join(dict.fromkeys(f"{scale:.3g}" for scale in action.scale))
    score = " + ".join(
        f"{weight:g} x distance over {', '.join(goal.names[i] for i in dims)}" for weight, dims in spec.score
    )
    kind = name.removesuffix("_torque").removesuffix("_torque_low_damping")
    steps = CASES[name].steps if name in CASES else TRAINED[name]
    result = f"[curve](results/{name}-{steps}.png), [table](results/tables.md)"
    end = f"{spec.episode_steps} steps ({spec.episode_steps / spec.rate_hz:g} s)"
    rows = {
        "Gymnasium id": f"`{TASKS[name]}`",
        "observation": f"{spec.observation.size}: {_names(spec.observation.names)} [{spec.observation.unit}]",
        "goal": f"{goal.size}: {box} [{goal.unit}]",
        "action": f"{action.size}: {_names(action.names)}; 1 means {largest} {action.unit}",
        "score": score or "distance over the goal",
        "success": f"score below {spec.success:g}",
        "start": STARTS[kind],
        "end": "; ".join(filter(None, (end, ENDS.get(name)))),
        "horizon": f"{spec.horizon} steps left",
        "train": f"`tdm_ros train --task {name} --steps {steps} --out runs/{name}`",
        "result": result if name in CASES else "[planning](results/planning/tables.md)",
    }
    return "\n".join(["| | |", "|---|---|", *(f"| {key} | {value} |" for key, value in rows.items())])


def _names(names: tuple[str, ...]) -> str:
    """Names in code, the middle ones of a long list left out."""
    shown = names if len(names) <= 9 else (*names[:3], "...", *names[-3:])
    return ", ".join(part if part == "..." else f"`{part}`" for part in shown)


COLUMNS = {
    "`tdm`": "tdm",
    "version before": "tdm,mode_selection=True",
    "fixed T": r"tdm_T[1-9]\d*(,horizon_schedule=\w+)?",
    "T = 0": "tdm_T0",
    "`--preset paper`": r"tdm_paper_T\d+",
    "SAC + HER": "sac_her",
    "TD3 + HER": "td3_her",
    "MPC": "mpc",
}
"""Columns of the table of results, and the agents of `benchmarks.sample_efficiency` that they hold. The one with mode
selection is the default of the version before the one-step model."""
WHOLE_PARTS = {"ant_position": "T49", "ant_position_velocity": "T32"}
"""Where horizons divide the episode, `tdm,mode_selection=False` counts the longest one down, and begins again."""


def results() -> str:
    """Mean final score at the end of each benchmark in docs/results: interquartile mean over seeds, and how many."""
    from benchmarks.cases import CASES, paper_curves, short

    heads = ["task", "steps", *COLUMNS, "paper: TDM", "paper: model-based", "target"]
    lines = [f"| {' | '.join(heads)} |", "|" + "---|" * len(heads)]
    for task, case in CASES.items():
        path = ROOT / "docs" / "results" / f"{task}-{case.steps}.csv"
        rows = list(csv.DictReader(path.open())) if path.exists() else []
        for mark in case.targets or (case.steps,):
            cells = [f"`{task}`", short(mark)]
            own = [_as_fixed(r, task) for r in rows if int(r["steps"]) == mark]
            cells += [_best(own, agent) for agent in COLUMNS.values()]
            curves = paper_curves()[case.paper]["curves"] if case.paper else {}
            for name in ("TDM", "model_based"):
                found = curves.get(name) and float(np.interp(mark, curves[name]["x"], curves[name]["y"]))
                cells.append(f"{found:.2g}" if found else "")
            target = case.targets.get(mark)
            lines.append(f"| {' | '.join([*cells, f'<= {target:g}' if target else ''])} |")
    return "\n".join(lines)


def soak() -> str:
    """Tables of the soak in docs/results/soak."""
    return (ROOT / "docs" / "results" / "soak" / "soak.md").read_text(encoding="utf-8").rstrip()


def live(task: str, minutes: str, driver: str = "mujoco") -> str:
    """Live runs of so many minutes of learning in docs/results/live, a row for each arm."""
    from benchmarks.live import gathered, markdown
    from tdm_ros.robots.description import robot_files

    out = ROOT / "docs" / "results" / "live"
    return markdown(gathered(out, task, float(minutes), sorted(robot_files()), driver)).rstrip()


def load(what: str) -> str:
    """Points of docs/results/load: of "rates" and arms, or of "sizes" of a transition."""
    from benchmarks.load_report import markdown, sizes_markdown

    return {"rates": markdown, "sizes": sizes_markdown}[what](ROOT / "docs" / "results" / "load").rstrip()


def _as_fixed(row: dict[str, str], task: str) -> dict[str, str]:
    """``row``, under the name of a fixed horizon where it is one."""
    whole = task in WHOLE_PARTS and row["agent"] == "tdm,mode_selection=False"
    return {**row, "agent": f"tdm_{WHOLE_PARTS[task]},horizon_schedule=cycle"} if whole else row


def _best(rows: list[dict[str, str]], agent: str) -> str:
    """The lowest interquartile mean of the agents whose names match, with the seeds and, for some, the name."""
    from benchmarks.results import interquartile_mean

    scores: dict[str, list[float]] = {}
    for row in rows:
        if re.fullmatch(agent, row["agent"]):
            scores.setdefault(row["agent"], []).append(float(row["mean"]))
    if not scores:
        return "-"
    found = {name: interquartile_mean(values) for name, values in scores.items()}
    name = min(found, key=lambda key: found[key].iqm)
    horizon = re.match(r"tdm_(?:paper_)?(T[1-9]\d*)(?:,horizon_schedule=(\w+))?", name)
    which = [*filter(None, horizon.groups())] if horizon else []
    label = f"{', '.join(which)}; " if which else ""
    middle, low, high, seeds = found[name]
    interval = f"{low:.3g} to {high:.3g}; " if seeds > 1 else ""
    return f"{middle:.3g} ({label}{interval}n = {seeds})"


def modes() -> str:
    """The modes of the arm."""
    from tdm_ros.control.arm_modes import ArmMode

    return "\n".join(["| mode | meaning |", "|---|---|", *(f"| `{mode.name}` | {mode.value} |" for mode in ArmMode)])


def transitions() -> str:
    """The transitions between the modes of the arm; the numbers are those of the diagram."""
    from tdm_ros.control.arm_modes import TRANSITIONS, ArmMode, Event

    number = {event: n for n, event in enumerate(Event, 1)}
    lines = ["| | from | event | condition | to |", "|---|---|---|---|---|"]
    for row in sorted(TRANSITIONS, key=lambda row: number[row.event]):
        sources = ", ".join(f"`{mode.name}`" for mode in ArmMode if mode in row.sources)
        lines.append(f"| {number[row.event]} | {sources} | {row.event.value} | {row.condition} | `{row.target.name}` |")
    return "\n".join(lines)


Box = tuple[int, int, int, int]
BOXES: dict[str, Box] = {
    "IDLE": (80, 110, 90, 32),
    "POLICY": (80, 180, 90, 32),
    "HOMING": (80, 250, 90, 32),
    "TELEOP": (590, 60, 100, 36),
    "GUIDED": (730, 180, 100, 36),
    "HELD": (470, 320, 100, 36),
    "FAULT": (400, 420, 760, 36),
    "": (150, 180, 270, 230),
}
"""Centre and size of the boxes of the diagram of the arm's modes [px]; "" is the frame around the first three."""


STATES: dict[str, Box] = {
    "": (430, 195, 500, 270),
    "DISABLED": (90, 270, 100, 36),
    "HOLD": (270, 110, 90, 36),
    "RUNNING": (590, 110, 100, 36),
    "RESETTING": (430, 200, 110, 36),
    "PAUSED": (430, 295, 100, 36),
    "DONE": (745, 195, 70, 36),
    "FAULT": (400, 415, 760, 36),
}
"""The same of the states of the supervisor; the frame is around those in which the arm may move or is about to."""
ON = {"HOLD", "RUNNING", "RESETTING", "PAUSED"}


def states(node: str) -> str:
    """Transitions of the supervisor's states and their events, numbered as in the diagram."""
    from tdm_ros.control.episodes import STATE_TRANSITIONS, StateEvent

    assert node == "supervisor"
    number = {event: n for n, event in enumerate(StateEvent, 1)}
    lines = ["| | event | occurs when |", "|---|---|---|"]
    lines += [f"| {n} | {event.name} | {event.value} |" for event, n in number.items()]
    lines += ["", "| from | event | guard | to | reason |", "|---|---|---|---|---|"]
    for row in STATE_TRANSITIONS:
        names, reason = ", ".join(source.name for source in row.sources), row.reason.replace("{}", "...")
        event = f"{number[row.event]} {row.event.name}"
        lines.append(f"| {names} | {event} | {row.condition} | {row.target.name} | {reason} |")
    return "\n".join(lines)


def _states_diagram() -> str:
    """Picture of `states`; an arrow from the frame applies to all states in it."""
    from tdm_ros.control.episodes import STATE_TRANSITIONS, StateEvent

    number = {event: n for n, event in enumerate(StateEvent, 1)}
    arrows: dict[tuple[str, str], set[int]] = {}
    for row in STATE_TRANSITIONS:
        names, target = {source.name for source in row.sources}, row.target.name
        sources = names - ON | {""} if names >= ON and target not in ON else names
        for source in sources - {target}:
            arrows.setdefault((source, target), set()).add(number[row.event])
    return _diagram(STATES, arrows)


def _modes_diagram() -> str:
    """Picture of `transitions`: the numbers at an arrow are those of the events that lead along it."""
    from tdm_ros.control.arm_modes import TRANSITIONS, Event

    number = {event: n for n, event in enumerate(Event, 1)}
    inner = ("IDLE", "POLICY", "HOMING")
    arrows: dict[tuple[str, str], set[int]] = {}
    for row in TRANSITIONS:
        for source in row.sources:
            ends = ("" if source.name in inner else source.name, "" if row.target.name in inner else row.target.name)
            arrows.setdefault(ends, set()).add(number[row.event])
    inside = ", ".join(map(str, sorted(arrows.pop(("", "")))))
    return _diagram(BOXES, arrows, f'<text x="150" y="180" font-size="12">between these: {inside}</text>')


def _diagram(boxes: Mapping[str, Box], arrows: Mapping[tuple[str, str], set[int]], note: str = "") -> str:
    """SVG of states and numbered transitions."""
    lines = [
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 800 450" font-family="sans-serif" font-size="13">',
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
        '<path d="M0 0 L8 4 L0 8 z"/></marker></defs>',
        '<rect width="800" height="450" fill="white"/>',
    ]
    for name, (x, y, width, height) in sorted(boxes.items()):
        colour = "#fdd" if name == "FAULT" else "#ffd" if name == "HELD" else "#f4f7fb" if name else "white"
        lines.append(
            f'<rect x="{x - width / 2:g}" y="{y - height / 2:g}" width="{width}" height="{height}" rx="6" '
            f'fill="{colour}" stroke="black"/>'
        )
        lines.append(f'<text x="{x}" y="{y + 5}" text-anchor="middle">{name}</text>')
    lines += [note] if note else []
    labels = []
    for (start, end), events in sorted(arrows.items()):
        x1, y1, x2, y2 = _arrow(boxes, start, end)
        along = 0.5 if "FAULT" in (start, end) else 0.3
        at_x, at_y = x1 + along * (x2 - x1), y1 + along * (y2 - y1)
        label = ", ".join(map(str, sorted(events)))
        lines.append(f'<path d="M{x1:.0f} {y1:.0f} L{x2:.0f} {y2:.0f}" stroke="black" marker-end="url(#tip)"/>')
        labels.append(
            f'<text x="{at_x:.0f}" y="{at_y + 4:.0f}" text-anchor="middle" stroke="white" stroke-width="4" '
            f'paint-order="stroke">{label}</text>'
        )
    return "\n".join([*lines, *labels, "</svg>", ""])


def _arrow(boxes: Mapping[str, Box], source: str, target: str) -> tuple[float, float, float, float]:
    """Ends of an arrow between two boxes, beside the one in the other direction; to FAULT, straight down."""
    (x1, y1, *size1), (x2, y2, *size2) = boxes[source], boxes[target]
    if "FAULT" in (source, target):
        x1 = x2 = (
            (x1 + 40 if source != "FAULT" else x2 - 90) if "" in (source, target) else x2 if source == "FAULT" else x1
        )
    along = np.array([x2 - x1, y2 - y1], float)
    unit = along / np.linalg.norm(along)
    shift = 9 * np.array([-unit[1], unit[0]])

    def border(size: list[int]) -> float:
        with np.errstate(divide="ignore"):
            return float(np.min(np.array(size) / 2 / np.abs(unit)))

    start = np.array([x1, y1]) + shift + unit * border(size1)
    end = np.array([x2, y2]) + shift - unit * border(size2)
    return (*start.tolist(), *end.tolist())


def rewritten(text: str) -> str:
    """``text`` with every table made afresh.

    Raises
    ------
    KeyError
        If a table has an unknown name.
    """
    described = (parameters, topics, message, qos, arguments, modules, modes, transitions, states, joints, task)
    makers = {f.__name__: f for f in (*described, results, live, load, soak)}

    def fill(found: re.Match[str]) -> str:
        kind, *rest = found["name"].split()
        return f"{found[1]}{makers[kind](*rest)}\n{found[3]}"

    return BLOCK.sub(fill, text)


def changelog(markdown: str) -> str:
    """CHANGELOG.rst, as bloom reads it (REP 132), of the text of CHANGELOG.md.

    What is not released has one line, so that the file changes with a release alone.
    """
    title = "Changelog for package tdm_ros"
    lines = ["^" * len(title), title, "^" * len(title)]
    for section in re.split(r"^## ", markdown, flags=re.MULTILINE)[1:]:
        head, _, body = section.partition("\n")
        version, _, date = head.partition(" - ")
        released = date.strip() != "unreleased"
        name = f"{version} ({date.strip()})" if released else "Forthcoming"
        lines += ["", name, "-" * len(name)]
        lines += _as_rst(body) if released else ["* CHANGELOG.md lists the changes since the last release."]
    return "\n".join(lines) + "\n"


def _as_rst(body: str) -> list[str]:
    lines: list[str] = []
    for line in body.splitlines():
        if line.startswith("### "):
            lines += ["", f"**{line[4:]}**", ""]
        elif line.startswith("|"):
            cells = [cell.strip() for cell in line.strip("|").split("|")]
            lines += [] if set(line) <= set("|- ") else ["* " + "; ".join(filter(None, cells))]
        else:
            lines.append(re.sub(r"^- ", "* ", line))
    text = re.sub(r"\*\*([^*\n]*)\*\*(?!$)", r"\1", "\n".join(lines), flags=re.MULTILINE)
    text = re.sub(r"\[([^]]*)\]\((http[^)]*)\)", r"`\1 <\2>`__", re.sub(r"`([^`\n]+)`", r"``\1``", text))
    return re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", text).strip().splitlines()


WRITTEN = {
    "docs/images/arm_modes.svg": _modes_diagram,
    "docs/images/supervisor_states.svg": _states_diagram,
    "CHANGELOG.rst": lambda: changelog((ROOT / "CHANGELOG.md").read_text()),
}
"""Files that are written as a whole."""


def main() -> int:
    """Rewrite or check; return the exit status."""
    stale = []
    for name in (*DOCUMENTS, *WRITTEN):
        path = ROOT / name
        old = path.read_text() if path.exists() else ""
        new = WRITTEN[name]() if name in WRITTEN else rewritten(old)
        if new != old:
            stale.append(name)
            if "--check" not in sys.argv:
                path.write_text(new)
    if stale and "--check" in sys.argv:
        print(f"out of date: {', '.join(stale)}; run python tools/doc_tables.py")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
