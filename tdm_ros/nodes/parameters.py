"""The parameters of every node: one frozen dataclass each, for declaration, checks and README."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any

from tdm_ros.robot.actuation import ACTUATIONS
from tdm_ros.tasks import SCENES
from tdm_ros.tasks.scenes import boxes_from_text

PLANNERS = ("direct", "graph", "cem", "mppi", "gradient")
"""Names of ways to plan; direct, and those of `planning.OPTIMISERS`."""
Value = bool | int | float | str
NOUN = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}


def parameter(
    default: Value,
    description: str,
    unit: str = "",
    bounds: tuple[float, float] | None = None,
    choices: tuple[str, ...] = (),
    read_only: bool = True,
    parse: Callable[[str], object] | None = None,
) -> Any:
    """Define one parameter: a dataclass field that knows its unit, bounds (inclusive) and description.

    ``parse`` raises a ValueError for a text that means nothing.
    """
    metadata = {
        "description": description,
        "unit": unit,
        "bounds": bounds,
        "choices": choices,
        "read_only": read_only,
        "parse": parse,
    }
    return field(default=default, metadata=metadata)


def check(owner: str, name: str, spec: Any, value: Any) -> Value:
    """Return ``value`` as the type of the parameter ``spec`` (a dataclass field).

    Raises
    ------
    ValueError
        If the type is another or the value is out of range; the message says what is expected.
    """
    kind = type(spec.default)
    if kind is float and type(value) is int:
        value = float(value)
    if type(value) is not kind:
        remedy = (
            f""": write it in quotes, {name}: "..." in a file, -p '{name}:="..."' in a shell""" if kind is str else ""
        )
        raise ValueError(f"{owner}.{name} must be {NOUN[kind]}, got {value!r}{remedy}")
    bounds, choices, unit = (spec.metadata[key] for key in ("bounds", "choices", "unit"))
    if bounds and not bounds[0] <= value <= bounds[1]:
        raise ValueError(
            f"{owner}.{name} must be in [{bounds[0]:g}, {bounds[1]:g}] {unit}, got {value}".replace("  ", " ")
        )
    if choices and value not in choices:
        raise ValueError(f"{owner}.{name} must be one of {', '.join(choices)}, got {value!r}")
    if parse := spec.metadata["parse"]:
        try:
            parse(value)
        except ValueError as error:
            raise ValueError(f"{owner}.{name}: {error}") from None
    return value


@dataclass(frozen=True)
class TaskParameters:
    """Shared by every node."""

    actuation: str = parameter("velocity", "How the joints are driven.", choices=tuple(ACTUATIONS))


@dataclass(frozen=True)
class ArmParameters(TaskParameters):
    """Parameters of `arm`."""

    robot: str = parameter(
        "simulated",
        "Which arm: a simulated one, or a Sawyer, through intera_interface or through bridged topics.",
        choices=("simulated", "sawyer", "bridged"),
    )
    sim: str = parameter("mujoco", "What simulates a simulated one.", choices=("mujoco", "gazebo"))
    lock_step: bool = parameter(False, "Gazebo's world waits, and time passes in it with our cycles alone.")
    master_uri: str = parameter("http://localhost:11311", "The Sawyer's ROS 1 master.")
    host_ip: str = parameter("", "This machine's address in the Sawyer's network; empty: its host name will do.")
    worker_command: str = parameter(
        "/usr/bin/python3", "ROS 1 Python, or whatever starts one, for the worker that holds intera_interface."
    )
    worker_path: str = parameter("", "Folders of intera_interface and its messages for the worker, : between them.")
    worker_arguments: str = parameter("", "More arguments for the worker, such as --allow-torque.")
    worker_address: str = parameter("", "HOST:PORT of a worker that runs already, with --listen; empty: start one.")
    worker_secret: str = parameter("", "File with the secret of that worker, its --secret-file.")
    command_timeout_s: float = parameter(0.1, "The arm holds when the last command is older.", "s", (0.05, 0.5))
    supervisor_timeout_s: float = parameter(
        1.0, "The arm holds when the supervisor was last heard this long ago.", "s", (0.3, 10.0)
    )
    box_low_m: str = parameter("0.15 -0.6 0.02", "Lower corner of the box that the hand stays in: x y z.", "m")
    box_high_m: str = parameter("0.95 0.6 0.85", "Upper corner of it.", "m")
    joint_margin_rad: float = parameter(0.05, "Distance kept from each joint limit.", "rad", (0.0, 0.5))
    velocity_scale: float = parameter(1.0, "Largest joint velocity, as a part of the vendor's limit.", "1", (0.01, 1.0))
    look_ahead_s: float = parameter(0.15, "How far ahead a commanded velocity is followed.", "s", (0.05, 2.0))
    links_low_m: str = parameter("", "Lower corner of the box of elbow and links, as box_low_m; empty: none.", "m")
    links_high_m: str = parameter("", "Upper corner of it.", "m")
    acceleration_scale: float = parameter(
        0.0, "Largest gain in joint speed, as a part of the vendor's limit; 0: any.", "1", (0.0, 1.0)
    )
    hand_speed_m_s: float = parameter(0.0, "Largest speed of the hand; 0: any.", "m/s", (0.0, 5.0))
    singular_m: float = parameter(
        0.0, "Smallest singular value of the hand's Jacobian that the arm may go to; 0: any.", "m/rad", (0.0, 1.0)
    )
    clearance_m: float = parameter(
        0.0, "Smallest distance between parts of the arm; 0: not looked at.", "m", (0.0, 0.5)
    )
    age_max_s: float = parameter(0.0, "Oldest joint state that a command is judged on; 0: any.", "s", (0.0, 1.0))
    delay_s: float = parameter(
        0.0, "A command may act this long after its cycle; asks for look_ahead_s.", "s", (0.0, 1.0)
    )
    ramp_s: float = parameter(0.0, "Speed rises over this time after each start and each hand-over.", "s", (0.0, 10.0))
    first_scale: float = parameter(
        1.0, "Largest part of the speed in the first motion after a person started.", "1", (0.01, 1.0)
    )
    first_s: float = parameter(0.0, "How much motion counts as the first.", "s", (0.0, 3600.0))
    require_deadman: bool = parameter(False, "Move only while `deadman` says true.")
    deadman_source: str = parameter("deadman", "Name of the node that alone may publish `deadman`.")
    deadman_timeout_s: float = parameter(
        0.2, "A deadman that was last heard this long ago counts as released.", "s", (0.05, 1.0)
    )
    teleop_timeout_s: float = parameter(
        0.15, "A person whose device was last heard this long ago drives no more.", "s", (0.05, 0.15)
    )
    teleop_threshold_m_s: float = parameter(
        0.005, "Who asks for a faster hand drives, engaged or not; turns count as 0.3 m a rad.", "m/s", (0.001, 0.1)
    )
    teleop_speed_m_s: float = parameter(
        0.3, "A person's faster velocities are scaled down to this.", "m/s", (0.11, 1.0)
    )
    hand_back_s: float = parameter(0.3, "After a person let go, speed rises over this time at least.", "s", (0.0, 10.0))
    latch: bool = parameter(False, "Stop for good (FAULT) when a command is late, missing or refused.")
    raise_m: float = parameter(0.0, "The drive home begins with raising the hand by so much.", "m", (0.0, 0.5))
    warn_hz: float = parameter(18.0, "Warn when commands come in time less often.", "Hz", (0.0, 20.0))
    stop_hz: float = parameter(0.0, "Stop for good (FAULT) when they come less often; 0: never.", "Hz", (0.0, 20.0))


def point_of(name: str, text: str) -> tuple[float, float, float] | None:
    """A point that a parameter holds as text, ``x y z`` [m]; None where that is empty.

    Raises
    ------
    ValueError
        If it is not three numbers.
    """
    if not text:
        return None
    try:
        x, y, z = map(float, text.split())
    except ValueError:
        raise ValueError(f"{name} must be three numbers, x y z [m], got {text!r}") from None
    return x, y, z


@dataclass(frozen=True)
class PolicyParameters(TaskParameters):
    """Parameters of `policy`."""

    seed: int = parameter(0, "Of the exploration noise.", bounds=(0, 2**31 - 1))
    autostart: bool = parameter(True, "Configure and activate itself; false: wait for a lifecycle manager.")
    max_state_age_s: float = parameter(0.1, "Older states of the arm are not answered.", "s", (0.02, 1.0))


@dataclass(frozen=True)
class PlannerParameters(TaskParameters):
    """Parameters of `planner`."""

    planner: str = parameter("direct", "How subgoals are found; direct: the goal is passed on.", choices=PLANNERS)
    scene: str = parameter("open", "What the hand must keep out of.", choices=tuple(SCENES))
    keep_out: str = parameter(
        "",
        "More boxes to keep out of: x y z of lower and upper corner, ; between boxes.",
        "m",
        read_only=False,
        parse=boxes_from_text,
    )
    margin_m: float = parameter(0.04, "Distance that plans keep from what the hand must keep out of.", "m", (0.0, 0.5))
    seed: int = parameter(0, "Of what optimisers draw.", bounds=(0, 2**31 - 1))
    budget_s: float = parameter(0.2, "Longest time for a plan; then the last one stands.", "s", (0.005, 5.0))
    replan_steps: int = parameter(10, "Steps after which a plan is made again.", "steps", (1, 1000))
    max_state_age_s: float = parameter(0.1, "Older states of the arm are not planned from.", "s", (0.02, 1.0))
    run_dir: str = parameter("runs/latest", "Folder of the run; states seen before a restart are read from its log.")
    learn_every_s: float = parameter(10.0, "Least time between two uses of new weights.", "s", (0.5, 3600.0))
    action_budget_s: float = parameter(20.0, "Longest time for a goal asked for, if it names none.", "s", (0.5, 3600.0))


@dataclass(frozen=True)
class SupervisorParameters(TaskParameters):
    """Parameters of `supervisor`."""

    run_dir: str = parameter("runs/latest", "Folder of the run: metrics, summary, curve, log, checkpoint.")
    scene: str = parameter("open", "What stands around the arm: goals keep clear of it.", choices=tuple(SCENES))
    goal_low_m: str = parameter("", "Lower corner of the box that goals are drawn from: x y z; empty: the task's.", "m")
    goal_high_m: str = parameter("", "Upper corner of it.", "m")
    episode_steps: int = parameter(0, "Length of an episode; 0: the task's, or the scene's.", "cycles", (0, 10000))
    seed: int = parameter(0, "Of the goals; training and evaluation goals never meet.", bounds=(0, 2**31 - 1))
    duration_min: float = parameter(3.0, "Robot time of learning; 0: without end.", "min", (0.0, 1e5))
    evaluate_goals: int = parameter(40, "Fresh goals of the evaluation at the end.", bounds=(0, 10000))
    reset_every: int = parameter(10, "Episodes between two drives home.", "episodes", (1, 10**6), read_only=False)
    evaluate_reset_every: int = parameter(
        1, "The same during the evaluation; 1: each goal is reached for from home.", "episodes", (1, 10**6)
    )
    reset_timeout_s: float = parameter(15.0, "Longest time for a drive home; then FAULT.", "s", (1.0, 600.0))
    exploration: float = parameter(
        0.2, "Noise at the beginning, in action units; fades to 0.", "1", (0.0, 1.0), read_only=False
    )
    auto_start: bool = parameter(True, "Start without a person; false: wait for ~/start.")
    auto_resume: bool = parameter(True, "Go on by itself after a lost node or a late command.", read_only=False)


@dataclass(frozen=True)
class CollectorParameters(TaskParameters):
    """Parameters of `collector`."""

    run_dir: str = parameter("runs/latest", "Folder of the run; the log is in log_mcap/ below it.")


@dataclass(frozen=True)
class TrainerParameters(TaskParameters):
    """Parameters of `trainer`."""

    run_dir: str = parameter("runs/latest", "Folder of the run; reads the log, writes checkpoint/ below it.")
    seed: int = parameter(0, "Of initial weights and sampling.", bounds=(0, 2**31 - 1))
    arms: int = parameter(
        0,
        "Learn from every arm one namespace below, too; the schedule is for so many. 0: from the one beside it.",
        "arms",
        (0, 100),
    )
    duration_min: float = parameter(
        3.0, "Length of the learning rate's schedule, in robot time of an arm; 0: constant.", "min", (0.0, 1e5)
    )
    compiled: bool = parameter(
        False, "Let torch compile the updates: twice as many a second, after some ten seconds. Needs a C++ compiler."
    )
    publish_every_s: float = parameter(1.0, "Time between two publications of weights.", "s", (0.1, 60.0))
    checkpoint_every_s: float = parameter(10.0, "Time between two checkpoints.", "s", (1.0, 3600.0))
    drain_every_ms: float = parameter(
        20.0, "Longest stretch of learning between two looks at the mail.", "ms", (1.0, 1000.0)
    )
    human_share: float = parameter(
        0.25, "Part of each batch that is drawn from what a person did, if anybody did anything.", "1", (0.0, 0.5)
    )
    finish_s: float = parameter(10.0, "Longest time for the updates still due when learning ends.", "s", (0.0, 600.0))
    map_steps: int = parameter(
        15, "Horizon of the reachability map, which is published while somebody listens.", "steps", (1, 1000)
    )


@dataclass(frozen=True)
class ConsoleParameters(TaskParameters):
    """Parameters of `console`."""

    host: str = parameter("127.0.0.1", "Address to listen on; 0.0.0.0: reached from everywhere, with the token.")
    port: int = parameter(8765, "Port of the page; if it is taken, any other.", bounds=(0, 65535))
    token: str = parameter("", "Text that the address must carry; empty: a random one, or none on 127.0.0.1.")
    run_dir: str = parameter("runs/latest", "Folder of the run, for the learning curve and the list of the log.")


@dataclass(frozen=True)
class SceneParameters(TaskParameters):
    """Parameters of `scene`."""

    rate_hz: float = parameter(5.0, "How often the markers are published.", "Hz", (0.5, 20.0))
    trail_s: float = parameter(10.0, "How much of the hand's way is shown.", "s", (0.0, 600.0))


@dataclass(frozen=True)
class TeleopKeyboardParameters:
    """Parameters of `teleop_keyboard`."""

    speed_m_s: float = parameter(0.1, "How fast a key moves the hand at first.", "m/s", (0.01, 0.3))


NODES: dict[str, type[Any]] = {
    "arm": ArmParameters,
    "policy": PolicyParameters,
    "planner": PlannerParameters,
    "supervisor": SupervisorParameters,
    "collector": CollectorParameters,
    "trainer": TrainerParameters,
    "console": ConsoleParameters,
    "scene": SceneParameters,
    "teleop_keyboard": TeleopKeyboardParameters,
}
"""Parameter class of each node."""


def table(node: str) -> str:
    """The Markdown table of a node's parameters, for the README."""
    lines = ["| parameter | default | unit, range | read-only | meaning |", "|---|---|---|---|---|"]
    for spec in fields(NODES[node]):
        bounds, choices, unit = (spec.metadata[key] for key in ("bounds", "choices", "unit"))
        limits = f"{bounds[0]:g} .. {bounds[1]:g}" if bounds else ", ".join(choices)
        default = str(spec.default).lower() if isinstance(spec.default, bool) else str(spec.default)
        read_only = "yes" if spec.metadata["read_only"] else "no"
        lines.append(
            f"| `{spec.name}` | `{default}` | {' '.join(filter(None, (unit, limits)))} | {read_only} "
            f"| {spec.metadata['description']} |"
        )
    return "\n".join(lines)
