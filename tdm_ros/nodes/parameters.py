"""The parameters of every node: one frozen dataclass each, for declaration, checks and docs/nodes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from typing import Any, Generic, TypeVar

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor, SetParametersResult
from rclpy.exceptions import ParameterException
from rclpy.node import Node
from rclpy.parameter import Parameter

from tdm_ros.robots.arm import ACTUATIONS
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

    actuation: str = parameter("velocity", "Actuation of the joints.", choices=tuple(ACTUATIONS))


@dataclass(frozen=True)
class ArmParameters(TaskParameters):
    """Parameters of `arm`."""

    robot: str = parameter(
        "simulated",
        "Arm: simulated, or a Sawyer through intera_interface or through bridged topics.",
        choices=("simulated", "sawyer", "bridged"),
    )
    sim: str = parameter("mujoco", "Simulator of a simulated arm.", choices=("mujoco", "gazebo"))
    lock_step: bool = parameter(False, "Gazebo is paused and makes exactly the steps of each cycle.")
    master_uri: str = parameter("http://localhost:11311", "URI of the Sawyer's ROS 1 master.")
    host_ip: str = parameter("", "Address of this machine in the Sawyer's network; empty: its host name.")
    worker_command: str = parameter(
        "/usr/bin/python3", "Command that starts a ROS 1 Python for the worker of intera_interface."
    )
    worker_path: str = parameter("", "Folders of intera_interface and its messages for the worker, : between them.")
    worker_arguments: str = parameter("", "Additional arguments of the worker, such as --allow-torque.")
    worker_address: str = parameter("", "HOST:PORT of a running worker (--listen); empty: start one.")
    worker_secret: str = parameter("", "File with the secret of that worker (--secret-file).")
    command_timeout_s: float = parameter(0.1, "Age of the last command after which the arm holds.", "s", (0.05, 0.5))
    supervisor_timeout_s: float = parameter(
        1.0, "Silence of the supervisor after which the arm holds.", "s", (0.3, 10.0)
    )
    box_low_m: str = parameter("0.15 -0.6 0.02", "Lower corner of the box of the hand: x y z.", "m")
    box_high_m: str = parameter("0.95 0.6 0.85", "Upper corner of the box of the hand.", "m")
    joint_margin_rad: float = parameter(0.05, "Distance kept from each joint limit.", "rad", (0.0, 0.5))
    velocity_scale: float = parameter(
        1.0, "Maximum joint velocity as a fraction of the vendor's limit.", "1", (0.01, 1.0)
    )
    look_ahead_s: float = parameter(0.15, "Look-ahead time of the limiter.", "s", (0.05, 2.0))
    links_low_m: str = parameter("", "Lower corner of the box of elbow and links: x y z; empty: no box.", "m")
    links_high_m: str = parameter("", "Upper corner of that box.", "m")
    acceleration_scale: float = parameter(
        0.0, "Maximum increase of joint speed as a fraction of the vendor's limit; 0: unlimited.", "1", (0.0, 1.0)
    )
    hand_speed_m_s: float = parameter(0.0, "Maximum speed of the hand; 0: unlimited.", "m/s", (0.0, 5.0))
    singular_m: float = parameter(
        0.0, "Minimum singular value of the Jacobian of the hand; 0: unlimited.", "m/rad", (0.0, 1.0)
    )
    clearance_m: float = parameter(0.0, "Minimum distance between parts of the arm; 0: not checked.", "m", (0.0, 0.5))
    age_max_s: float = parameter(
        0.0, "Maximum age of the joint state that a command is checked with; 0: unlimited.", "s", (0.0, 1.0)
    )
    delay_s: float = parameter(
        0.0, "Maximum delay of a command after its cycle; needs a longer look_ahead_s.", "s", (0.0, 1.0)
    )
    ramp_s: float = parameter(
        0.0, "Duration of the speed ramp after each start and each change of control.", "s", (0.0, 10.0)
    )
    first_scale: float = parameter(
        1.0, "Maximum fraction of the speed in the first motion after a start.", "1", (0.01, 1.0)
    )
    first_s: float = parameter(0.0, "Duration of the first motion.", "s", (0.0, 3600.0))
    require_deadman: bool = parameter(False, "Move only while `deadman` is true.")
    deadman_source: str = parameter("deadman", "Name of the only node that may publish `deadman`.")
    deadman_timeout_s: float = parameter(0.2, "Silence after which the deadman counts as released.", "s", (0.05, 1.0))
    teleop_timeout_s: float = parameter(
        0.15, "Silence of the teleoperation device after which it is not followed.", "s", (0.05, 0.15)
    )
    teleop_threshold_m_s: float = parameter(
        0.005,
        "A faster twist takes control even if not engaged; rotation counts as 0.3 m per rad.",
        "m/s",
        (0.001, 0.1),
    )
    teleop_speed_m_s: float = parameter(
        0.3, "Maximum speed of the hand under teleoperation; faster twists are scaled down.", "m/s", (0.11, 1.0)
    )
    hand_back_s: float = parameter(0.3, "Minimum duration of the speed ramp after teleoperation.", "s", (0.0, 10.0))
    latch: bool = parameter(False, "Enter FAULT when a command is late, missing or rejected.")
    raise_m: float = parameter(0.0, "Height by which the hand is raised first on the way home.", "m", (0.0, 0.5))
    warn_hz: float = parameter(18.0, "Rate of timely commands below which a warning is given.", "Hz", (0.0, 20.0))
    stop_hz: float = parameter(
        0.0, "Rate of timely commands below which the arm enters FAULT; 0: never.", "Hz", (0.0, 20.0)
    )


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

    seed: int = parameter(0, "Seed of the exploration noise.", bounds=(0, 2**31 - 1))
    autostart: bool = parameter(True, "Configure and activate itself; false: wait for a lifecycle manager.")
    max_state_age_s: float = parameter(0.1, "Maximum age of a state that is answered.", "s", (0.02, 1.0))


@dataclass(frozen=True)
class PlannerParameters(TaskParameters):
    """Parameters of `planner`."""

    planner: str = parameter("direct", "Planning method; direct: the goal is passed on.", choices=PLANNERS)
    scene: str = parameter("open", "Scene with its keep-outs.", choices=tuple(SCENES))
    keep_out: str = parameter(
        "",
        "Additional keep-out boxes: x y z of lower and upper corner, ; between boxes.",
        "m",
        read_only=False,
        parse=boxes_from_text,
    )
    margin_m: float = parameter(0.04, "Distance of plans from keep-outs.", "m", (0.0, 0.5))
    seed: int = parameter(0, "Seed of the optimisers.", bounds=(0, 2**31 - 1))
    budget_s: float = parameter(0.2, "Time limit of a plan; after it the previous plan is kept.", "s", (0.005, 5.0))
    replan_steps: int = parameter(10, "Steps between two plans.", "steps", (1, 1000))
    max_state_age_s: float = parameter(0.1, "Maximum age of a state that is planned from.", "s", (0.02, 1.0))
    run_dir: str = parameter("runs/latest", "Folder of the run; states seen before a restart are read from its log.")
    learn_every_s: float = parameter(10.0, "Minimum time between two updates of the model.", "s", (0.5, 3600.0))
    action_budget_s: float = parameter(20.0, "Time budget of an action goal that gives none.", "s", (0.5, 3600.0))


@dataclass(frozen=True)
class SupervisorParameters(TaskParameters):
    """Parameters of `supervisor`."""

    run_dir: str = parameter("runs/latest", "Folder of the run: metrics, summary, curve, log, checkpoint.")
    scene: str = parameter("open", "Scene; goals are drawn outside its keep-outs.", choices=tuple(SCENES))
    goal_low_m: str = parameter("", "Lower corner of the goal box: x y z; empty: that of the task.", "m")
    goal_high_m: str = parameter("", "Upper corner of the goal box.", "m")
    episode_steps: int = parameter(0, "Length of an episode; 0: that of the task or the scene.", "cycles", (0, 10000))
    seed: int = parameter(0, "Seed of the goals; training and evaluation goals are disjoint.", bounds=(0, 2**31 - 1))
    duration_min: float = parameter(3.0, "Robot time of learning; 0: unlimited.", "min", (0.0, 1e5))
    evaluate_goals: int = parameter(40, "Number of goals of the final evaluation.", bounds=(0, 10000))
    reset_every: int = parameter(10, "Episodes between two drives home.", "episodes", (1, 10**6), read_only=False)
    evaluate_reset_every: int = parameter(
        1, "The same during the evaluation; 1: each episode starts at home.", "episodes", (1, 10**6)
    )
    reset_timeout_s: float = parameter(
        15.0, "Time limit of a drive home, after which the state is FAULT.", "s", (1.0, 600.0)
    )
    exploration: float = parameter(
        0.2, "Initial standard deviation of the action noise; decays to 0.", "1", (0.0, 1.0), read_only=False
    )
    auto_start: bool = parameter(True, "Start automatically; false: wait for ~/start.")
    auto_resume: bool = parameter(True, "Resume automatically after a lost node or a late command.", read_only=False)


@dataclass(frozen=True)
class CollectorParameters(TaskParameters):
    """Parameters of `collector`."""

    run_dir: str = parameter("runs/latest", "Run folder; the log is in its log_mcap/.")


@dataclass(frozen=True)
class TrainerParameters(TaskParameters):
    """Parameters of `trainer`."""

    run_dir: str = parameter("runs/latest", "Run folder; the log is read, checkpoint/ is written.")
    seed: int = parameter(0, "Seed of initial weights and sampling.", bounds=(0, 2**31 - 1))
    arms: int = parameter(
        0,
        "Number of arms in namespaces below that the schedule is for; 0: the arm in the same namespace.",
        "arms",
        (0, 100),
    )
    duration_min: float = parameter(
        3.0, "Duration of the learning rate schedule, in robot time of one arm; 0: constant.", "min", (0.0, 1e5)
    )
    compiled: bool = parameter(
        False, "Compile the updates with torch: twice the rate, after about ten seconds. Needs a C++ compiler."
    )
    publish_every_s: float = parameter(1.0, "Time between two publications of weights.", "s", (0.1, 60.0))
    checkpoint_every_s: float = parameter(10.0, "Time between two checkpoints.", "s", (1.0, 3600.0))
    drain_every_ms: float = parameter(
        20.0, "Maximum time of learning between two reads of messages.", "ms", (1.0, 1000.0)
    )
    human_share: float = parameter(
        0.25, "Fraction of each batch that is drawn from the operator's transitions, if there are any.", "1", (0.0, 0.5)
    )
    finish_s: float = parameter(10.0, "Time limit of the remaining updates when learning ends.", "s", (0.0, 600.0))
    map_steps: int = parameter(
        15, "Horizon of the reachability map, which is published while it is subscribed to.", "steps", (1, 1000)
    )


@dataclass(frozen=True)
class ConsoleParameters(TaskParameters):
    """Parameters of `console`."""

    host: str = parameter("127.0.0.1", "Address to listen on; 0.0.0.0: all, with the token.")
    port: int = parameter(8765, "Port of the page; if it is taken, another one.", bounds=(0, 65535))
    token: str = parameter("", "Token in the address; empty: a random one, or none on 127.0.0.1.")
    run_dir: str = parameter("runs/latest", "Run folder, for the learning curve and the list of the log.")


@dataclass(frozen=True)
class SceneParameters(TaskParameters):
    """Parameters of `scene`."""

    rate_hz: float = parameter(5.0, "Rate of the markers.", "Hz", (0.5, 20.0))
    trail_s: float = parameter(10.0, "Duration of the displayed trajectory of the hand.", "s", (0.0, 600.0))


@dataclass(frozen=True)
class TeleopKeyboardParameters:
    """Parameters of `teleop_keyboard`."""

    speed_m_s: float = parameter(0.1, "Initial speed of the hand.", "m/s", (0.01, 0.3))


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
    """The Markdown table of a node's parameters, for docs/nodes."""
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


P = TypeVar("P")


class Declared(Generic[P]):
    """The parameters of a node; ``values`` is always the valid, present set.

    Parameters
    ----------
    node : Node
    kind : type
        A dataclass of `tdm_ros.nodes.parameters`.

    Raises
    ------
    ValueError
        If an initial value has another type or is out of range.
    """

    def __init__(self, node: Node, kind: type[P]) -> None:
        self._owner = node.get_name()
        self._specs = {spec.name: spec for spec in fields(kind)}  # type: ignore[arg-type]
        values = {name: self._declare(node, name, spec) for name, spec in self._specs.items()}
        self.values: P = kind(**values)
        node.add_on_set_parameters_callback(self._on_set)

    def _declare(self, node: Node, name: str, spec: Any) -> Any:
        try:
            value = node.declare_parameter(name, spec.default, _descriptor(spec)).value
        except ParameterException as error:  # out of range: rclpy's own sentence says which value and bounds
            raise ValueError(f"{self._owner}.{name}: {error}") from None
        return check(self._owner, name, spec, value)

    def _on_set(self, parameters: list[Parameter]) -> SetParametersResult:
        changes = {}
        for given in parameters:
            spec = self._specs.get(given.name)
            if spec is None:  # somebody else's, for example use_sim_time
                continue
            try:
                changes[given.name] = check(self._owner, given.name, spec, given.value)
            except ValueError as error:
                return SetParametersResult(successful=False, reason=str(error))
        self.values = replace(self.values, **changes)  # type: ignore[type-var]
        return SetParametersResult(successful=True)


def _descriptor(spec: Any) -> ParameterDescriptor:
    bounds, choices, unit = (spec.metadata[key] for key in ("bounds", "choices", "unit"))
    descriptor = ParameterDescriptor(
        description=spec.metadata["description"] + (f" [{unit}]" if unit else ""),
        additional_constraints=f"one of {', '.join(choices)}" if choices else "",
        read_only=spec.metadata["read_only"],
        dynamic_typing=True,  # `check` settles the type: `name:=3` is an integer where 3.0 is meant
    )
    if bounds and isinstance(spec.default, float):
        descriptor.floating_point_range = [FloatingPointRange(from_value=float(bounds[0]), to_value=float(bounds[1]))]
    elif bounds:
        descriptor.integer_range = [IntegerRange(from_value=int(bounds[0]), to_value=int(bounds[1]), step=1)]
    return descriptor
