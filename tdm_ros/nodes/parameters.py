"""The parameters of every node: one frozen dataclass each, for declaration, checks and docs/nodes."""

from __future__ import annotations

import itertools
import math
import re
import sys
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from typing import Any, Generic, TypeVar

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor, SetParametersResult
from rclpy.exceptions import ParameterException
from rclpy.node import Node
from rclpy.parameter import Parameter

from tdm_ros.bringup.table import names_for
from tdm_ros.control.live_task import TASKS, LiveTask, live_task
from tdm_ros.robots.arm import ACTUATIONS
from tdm_ros.robots.description import Robot, load_robot
from tdm_ros.tasks import SCENES, TaskSpec
from tdm_ros.tasks.scenes import boxes_of_numbers

P = TypeVar("P")

PLANNERS = ("direct", "graph", "cem", "mppi", "gradient")
"""Names of planning methods; direct, and those of `planning.OPTIMISERS`."""
UNLIMITED = math.inf  # value of a maximum that does not apply; `.inf` in YAML
DRIVERS = ("mujoco", "gazebo", "ros2_control", "intera", "bridged")
Value = bool | int | float | str | tuple[float, ...]
NOUN = {bool: "true or false", int: "a whole number", float: "a number", str: "text", tuple: "an array of numbers"}
FOREIGN = re.compile(r"use_sim_time|start_type_description_service|qos_overrides\..*")
"""Parameters that rclpy declares itself."""


def parameter(
    default: Value,
    description: str,
    unit: str = "",
    bounds: tuple[float, float] | None = None,
    choices: tuple[str, ...] = (),
    read_only: bool = True,
    unlimited: bool = False,
    check: Callable[[Any], object] | None = None,
) -> Any:
    """Define one parameter: a dataclass field with unit, bounds (inclusive) and description.

    With ``unlimited``, infinity is a value, too. ``check`` raises a ValueError for a value that is invalid.
    """
    metadata = dict(description=description, unit=unit, bounds=bounds, choices=choices)
    return field(default=default, metadata=metadata | dict(read_only=read_only, unlimited=unlimited, check=check))


def corner(description: str) -> Any:
    return parameter((), description, "m", check=vector)


def maximum(description: str, unit: str, bounds: tuple[float, float], default: float = UNLIMITED) -> Any:
    return parameter(default, description, unit, bounds, unlimited=True)


def vector(value: tuple[float, ...]) -> None:
    """Raise a ValueError if an array is neither empty nor x, y, z, all finite."""
    if (value and len(value) != 3) or not all(map(math.isfinite, value)):
        raise ValueError(f"expected three finite numbers [x, y, z], got {list(value)}")


def not_empty(value: str) -> None:
    if not value:
        raise ValueError("expected a text that is not empty")


def specs_of(kind: type[Any], prefix: str = "") -> dict[str, Any]:
    """Fields of all parameters of a dataclass by their full names; those of a nested dataclass follow a dot."""
    found: dict[str, Any] = {}
    for spec in fields(kind):
        if isinstance(spec.default_factory, type):
            found |= specs_of(spec.default_factory, f"{prefix}{spec.name}.")
        else:
            found[prefix + spec.name] = spec
    return found


def build(kind: type[P], values: Mapping[str, Value], prefix: str = "") -> P:
    """Make a dataclass of parameters from values by full name; the default where there is none."""
    given: dict[str, Any] = {}
    for spec in fields(kind):  # type: ignore[arg-type]
        name = prefix + spec.name
        if isinstance(spec.default_factory, type):
            given[spec.name] = build(spec.default_factory, values, f"{name}.")
        elif name in values:
            given[spec.name] = values[name]
    return kind(**given)


def check(owner: str, name: str, spec: Any, value: Any) -> Value:
    """Return ``value`` as the type of the parameter ``spec``; a ValueError names what is expected instead."""
    kind = type(spec.default)
    if kind is float and type(value) is int:
        value = float(value)
    numbers = () if value is None else value
    several = isinstance(numbers, Iterable) and not isinstance(numbers, str)
    if kind is tuple and several and all(type(number) in (int, float) for number in numbers):
        value = tuple(map(float, numbers))
    if type(value) is not kind:
        remedy = ""
        if kind is str:
            remedy = f""": write it in quotes, {name}: "..." in a file, -p '{name}:="..."' in a shell"""
        elif kind is tuple:
            remedy = f": write {name}: {list(spec.default) or [0.0, 0.5, 1.0]}"
        raise ValueError(f"{owner}.{name} must be {NOUN[kind]}, got {value!r}{remedy}")
    bounds, choices, unit = (spec.metadata[key] for key in ("bounds", "choices", "unit"))
    unlimited = spec.metadata["unlimited"]
    if bounds and not (bounds[0] <= value <= bounds[1] or (unlimited and value == UNLIMITED)):
        span = f"[{bounds[0]:g}, {bounds[1]:g}] {unit}".strip() + " or .inf (unlimited)" * unlimited
        raise ValueError(f"{owner}.{name} must be in {span}, got {value}")
    if choices and value not in choices:
        raise ValueError(f"{owner}.{name} must be one of {', '.join(choices)}, got {value!r}")
    if further := spec.metadata["check"]:
        try:
            further(value)
        except ValueError as error:
            raise ValueError(f"{owner}.{name}: {error}") from None
    return value


@dataclass(frozen=True)
class NodeParameters:
    """Parameters of every node."""

    autostart: bool = parameter(True, "Configure and activate itself; false: wait for a lifecycle manager.")
    frame_prefix: str = parameter("auto", "Prefix of the names of the arm's frames; auto: the namespace and a slash.")


@dataclass(frozen=True)
class TaskParameters(NodeParameters):
    """Parameters of every node that knows the task."""

    robot: str = parameter("sawyer", "Description of the arm: its name (docs/robots), or the path of a .yaml file.")
    task: str = parameter("reach", "Task: reach a point with the hand, or push an object to a point.", choices=TASKS)
    actuation: str = parameter("velocity", "Actuation of the joints.", choices=tuple(ACTUATIONS))

    def described(self) -> tuple[Robot, LiveTask, TaskSpec]:
        """Robot and task of these parameters; a ValueError says what is wrong with them."""
        robot = load_robot(self.robot)
        live = live_task(robot, self.actuation, self.task)
        return robot, live, live.spec


@dataclass(frozen=True)
class Ros1Parameters:
    master_uri: str = parameter("http://localhost:11311", "URI of the robot's ROS 1 master.")
    host_ip: str = parameter("auto", "Address of this machine in that network; auto: its host name.", check=not_empty)


@dataclass(frozen=True)
class WorkerParameters:
    """Worker process of an arm with a ROS 1 interface, or of Gazebo."""

    command: str = parameter("/usr/bin/python3", "Command of a ROS 1 Python for the worker of intera_interface.")
    python_path: str = parameter("", "Folders of intera_interface and its messages for the worker, : between them.")
    arguments: str = parameter("", "Additional arguments of the worker, such as --allow-torque.")
    address: str = parameter("none", "HOST:PORT of a running worker; none: the node starts one.", check=not_empty)
    secret_file: str = parameter("", "File with the secret of the running worker (--secret-file).")


@dataclass(frozen=True)
class HandBoxParameters:
    low_m: tuple[float, ...] = corner("Lower corner of the box of the hand, by default of the robot's.")
    high_m: tuple[float, ...] = corner("Upper corner of the box of the hand, by default of the robot's.")


@dataclass(frozen=True)
class LinkBoxParameters:
    enabled: bool = parameter(False, "Keep elbow and links in a box.")
    low_m: tuple[float, ...] = corner("Lower corner of that box.")
    high_m: tuple[float, ...] = corner("Upper corner of that box.")


@dataclass(frozen=True)
class SelfCollisionParameters:
    enabled: bool = parameter(False, "Check the distance between parts of the arm.")
    clearance_m: float = parameter(0.02, "Minimum distance between parts of the arm.", "m", (0.001, 0.5))


@dataclass(frozen=True)
class LimitParameters:
    """Limits of every command; `robots.limits.Limits` checks them together."""

    hand_box: HandBoxParameters = field(default_factory=HandBoxParameters)
    link_box: LinkBoxParameters = field(default_factory=LinkBoxParameters)
    self_collision: SelfCollisionParameters = field(default_factory=SelfCollisionParameters)
    joint_margin_rad: float = parameter(0.05, "Distance kept from each joint limit.", "rad", (0.0, 0.5))
    velocity_scale: float = parameter(1.0, "Maximum joint velocity, relative to the vendor's.", "1", (0.01, 1.0))
    acceleration_scale: float = maximum("Maximum increase of joint speed, relative to the vendor's.", "1", (0.001, 1.0))
    hand_speed_m_s: float = maximum("Maximum speed of the hand.", "m/s", (0.001, 5.0))
    min_singular_value_m: float = parameter(0.0, "Minimum singular value of the hand's Jacobian.", "m/rad", (0.0, 1.0))
    state_age_s: float = maximum("Maximum age of the joint state that a command is checked with.", "s", (0.001, 1.0))
    command_delay_s: float = parameter(0.0, "Maximum delay of a command; needs a longer look_ahead_s.", "s", (0.0, 1.0))
    look_ahead_s: float = parameter(0.15, "Look-ahead time of the limiter.", "s", (0.05, 2.0))


@dataclass(frozen=True)
class SlowStartParameters:
    ramp_s: float = parameter(0.0, "Speed ramp after a start and after a change of control.", "s", (0.0, 10.0))
    duration_s: float = parameter(0.0, "Duration of the first motion after a start.", "s", (0.0, 3600.0))
    velocity_scale: float = parameter(1.0, "Maximum fraction of the speed in the first motion.", "1", (0.01, 1.0))


@dataclass(frozen=True)
class DeadmanParameters:
    required: bool = parameter(False, "Move only while `deadman` is true.")
    source: str = parameter("deadman", "Name of the only node that may publish `deadman`.")
    timeout_s: float = parameter(0.2, "Silence after which the deadman counts as released.", "s", (0.05, 1.0))


@dataclass(frozen=True)
class TeleopParameters:
    timeout_s: float = parameter(0.15, "Silence after which the device is not followed.", "s", (0.05, 0.15))
    threshold_m_s: float = parameter(
        0.005,
        "A faster twist takes control even if not engaged; rotation counts as 0.3 m per rad.",
        "m/s",
        (0.001, 0.1),
    )
    max_speed_m_s: float = parameter(
        0.3, "Maximum speed of the hand; faster twists are scaled down.", "m/s", (0.11, 1.0)
    )
    ramp_s: float = parameter(0.3, "Minimum duration of the speed ramp after teleoperation.", "s", (0.0, 10.0))


@dataclass(frozen=True)
class FaultParameters:
    latched: bool = parameter(False, "Enter FAULT when a command is late, missing or rejected.")


@dataclass(frozen=True)
class HomeParameters:
    lift_m: float = parameter(0.0, "Height by which the hand is raised first on the drive home.", "m", (0.0, 0.5))


@dataclass(frozen=True)
class RateParameters:
    """Rate of commands that arrive within their cycle."""

    warn_hz: float = parameter(18.0, "Rate of timely commands below which a warning is given.", "Hz", (0.0, 20.0))
    stop_hz: float = parameter(0.0, "Rate of timely commands below which the arm enters FAULT.", "Hz", (0.0, 20.0))


@dataclass(frozen=True)
class Ros2ControlParameters:
    """Controller of an arm behind ros2_control; auto and 0: as in the robot file, or usual for the command."""

    command: str = parameter("auto", "Kind of its commands.", choices=("auto", "velocity", "position", "trajectory"))
    controller: str = parameter("auto", "Name of the controller.", check=not_empty)
    command_topic: str = parameter("auto", "Topic of its commands.", check=not_empty)
    joint_states: str = parameter("auto", "Topic of the joint states.", check=not_empty)
    rate_hz: float = parameter(0.0, "Rate of commands, 20 or more.", "Hz", (0.0, 100.0))
    lead_s: float = parameter(0.0, "Time by which positions are ahead of the measured ones.", "s", (0.0, 0.1))
    enabled_topic: str = parameter("auto", "std_msgs/Bool, true: the robot may move; none: no topic.", check=not_empty)
    estop_topic: str = parameter("auto", "std_msgs/Bool, true: the e-stop is pressed; none.", check=not_empty)
    diagnostics_topic: str = parameter("auto", "Diagnostics whose errors are faults of the arm; none.", check=not_empty)
    diagnostics_name: str = parameter("auto", "Begin of the names of those diagnostics; none: all.", check=not_empty)
    controller_manager: str = parameter("auto", "Name of the controller manager.", check=not_empty)

    def given(self) -> dict[str, str | float]:
        """Values that differ from the robot file."""
        values = {name: value for name, value in vars(self).items() if value not in ("auto", 0.0)}
        return {name: "" if value == "none" else value for name, value in values.items()}


@dataclass(frozen=True)
class ArmParameters(TaskParameters):
    driver: str = parameter(
        "mujoco",
        "What moves the arm: a simulator, ros2_control, intera_interface or its bridged topics.",
        choices=DRIVERS,
    )
    lock_step: bool = parameter(False, "Gazebo is paused and makes exactly the steps of each cycle.")
    command_timeout_s: float = parameter(
        0.1, "Time from the arrival of a command until the arm holds, and its largest age on arrival.", "s", (0.05, 0.5)
    )
    supervisor_timeout_s: float = parameter(1.0, "Silence of `supervisor` until the arm holds.", "s", (0.3, 10.0))
    limits: LimitParameters = field(default_factory=LimitParameters)
    slow_start: SlowStartParameters = field(default_factory=SlowStartParameters)
    home: HomeParameters = field(default_factory=HomeParameters)
    deadman: DeadmanParameters = field(default_factory=DeadmanParameters)
    teleop: TeleopParameters = field(default_factory=TeleopParameters)
    rate: RateParameters = field(default_factory=RateParameters)
    fault: FaultParameters = field(default_factory=FaultParameters)
    ros1: Ros1Parameters = field(default_factory=Ros1Parameters)
    worker: WorkerParameters = field(default_factory=WorkerParameters)
    ros2_control: Ros2ControlParameters = field(default_factory=Ros2ControlParameters)


@dataclass(frozen=True)
class PolicyParameters(TaskParameters):
    seed: int = parameter(0, "Seed of the exploration noise.", bounds=(0, 2**31 - 1))
    max_state_age_s: float = parameter(0.1, "Maximum age of a state that is answered.", "s", (0.02, 1.0))
    smoothing: float = parameter(
        0.0, "Fraction of the last executed action in the next one, for drives that lag behind.", bounds=(0.0, 0.9)
    )


@dataclass(frozen=True)
class KeepOutParameters:
    boxes_m: tuple[float, ...] = parameter(
        (),
        "Additional keep-out boxes: six numbers per box, its lower and its upper corner.",
        "m",
        read_only=False,
        check=boxes_of_numbers,
    )
    margin_m: float = parameter(0.04, "Distance of plans from keep-outs.", "m", (0.0, 0.5))


@dataclass(frozen=True)
class PlannerParameters(TaskParameters):
    planner: str = parameter("direct", "Planning method; direct: the goal is passed on.", choices=PLANNERS)
    scene: str = parameter("open", "Scene with its keep-outs.", choices=tuple(SCENES))
    keep_out: KeepOutParameters = field(default_factory=KeepOutParameters)
    seed: int = parameter(0, "Seed of the optimisers.", bounds=(0, 2**31 - 1))
    budget_s: float = parameter(0.2, "Time limit of a plan; after it the previous plan is kept.", "s", (0.005, 5.0))
    replan_steps: int = parameter(10, "Steps between two plans.", "steps", (1, 1000))
    max_state_age_s: float = parameter(0.1, "Maximum age of a state that is planned from.", "s", (0.02, 1.0))
    run_dir: str = parameter("runs/latest", "Folder of the run; states seen before a restart are read from its log.")
    learn_every_s: float = parameter(10.0, "Minimum time between two updates of the model.", "s", (0.5, 3600.0))


@dataclass(frozen=True)
class GoalBoxParameters:
    enabled: bool = parameter(False, "Draw goals from this box; false: from that of the task.")
    low_m: tuple[float, ...] = corner("Lower corner of the goal box.")
    high_m: tuple[float, ...] = corner("Upper corner of the goal box.")


@dataclass(frozen=True)
class EpisodeLengthParameters:
    enabled: bool = parameter(False, "Use this length; false: that of the task or the scene.")
    steps: int = parameter(100, "Length of an episode.", "cycles", (1, 10000))


@dataclass(frozen=True)
class SupervisorParameters(TaskParameters):
    run_dir: str = parameter("runs/latest", "Folder of the run: metrics, summary, curve, log, checkpoint.")
    scene: str = parameter("open", "Scene; goals are drawn outside its keep-outs.", choices=tuple(SCENES))
    goal_box: GoalBoxParameters = field(default_factory=GoalBoxParameters)
    episode_length: EpisodeLengthParameters = field(default_factory=EpisodeLengthParameters)
    seed: int = parameter(0, "Seed of the goals; training and evaluation goals are disjoint.", bounds=(0, 2**31 - 1))
    duration_min: float = maximum("Robot time of learning.", "min", (0.001, 1e5), 3.0)
    evaluate_goals: int = parameter(40, "Number of goals of the final evaluation.", bounds=(0, 10000))
    demonstrations: int = parameter(0, "Demonstrations of the operator, before the policy moves.", bounds=(0, 1000))
    reset_every: int = parameter(10, "Episodes between two drives home.", "episodes", (1, 10**6), read_only=False)
    evaluate_reset_every: int = parameter(1, "The same during the evaluation.", "episodes", (1, 10**6))
    reset_timeout_s: float = parameter(15.0, "Time limit of a drive home, then FAULT.", "s", (1.0, 600.0))
    action_noise_std: float = parameter(
        0.2, "Initial standard deviation of the action noise; decays to 0.", "1", (0.0, 1.0), read_only=False
    )
    action_budget_s: float = parameter(20.0, "Default time budget of `reach_goal`.", "s", (0.5, 3600.0))
    auto_start: bool = parameter(True, "Start automatically; false: wait for ~/start.")
    auto_resume: bool = parameter(True, "Resume automatically after a lost node or a late command.", read_only=False)


@dataclass(frozen=True)
class CollectorParameters(TaskParameters):
    run_dir: str = parameter("runs/latest", "Run folder; the log is in its log_mcap/.")


@dataclass(frozen=True)
class TrainerParameters(TaskParameters):
    run_dir: str = parameter("runs/latest", "Run folder; the log is read, checkpoint/ is written.")
    seed: int = parameter(0, "Seed of initial weights and sampling.", bounds=(0, 2**31 - 1))
    fleet: bool = parameter(False, "Learn from the arms in all namespaces below; false: from the arm in the same one.")
    arms: int = parameter(1, "Number of arms that the learning rate schedule is for.", "arms", (1, 100))
    duration_min: float = maximum(
        "Duration of the learning rate schedule of one arm; .inf: constant.", "min", (0.001, 1e5), 3.0
    )
    compiled: bool = parameter(False, "Compile the updates with torch, for twice the rate; needs a C++ compiler.")
    publish_every_s: float = parameter(1.0, "Time between two publications of weights.", "s", (0.1, 60.0))
    checkpoint_every_s: float = parameter(10.0, "Time between two checkpoints.", "s", (1.0, 3600.0))
    drain_every_ms: float = parameter(20.0, "Maximum time between two reads of messages.", "ms", (1.0, 1000.0))
    operator_fraction: float = parameter(0.25, "Part of each batch from the operator's transitions.", "1", (0.0, 0.5))
    finish_s: float = parameter(10.0, "Time limit of the remaining updates when learning ends.", "s", (0.0, 600.0))
    map_steps: int = parameter(15, "Horizon of the reachability map.", "steps", (1, 1000))


@dataclass(frozen=True)
class TlsParameters:
    """Files with which the page is served over TLS."""

    certificate_file: str = parameter("none", "PEM certificate of the page, for https; none: http.", check=not_empty)
    key_file: str = parameter("none", "PEM key of the certificate, without a password.", check=not_empty)


@dataclass(frozen=True)
class ConsoleParameters(TaskParameters):
    host: str = parameter("127.0.0.1", "Address to listen on; 0.0.0.0: all, with the token.")
    port: int = parameter(8765, "Port of the page; if it is taken, another one.", bounds=(0, 65535))
    token: str = parameter("auto", "Token in the address; auto: a random one, or none on 127.0.0.1.", check=not_empty)
    tls: TlsParameters = field(default_factory=TlsParameters)
    run_dir: str = parameter("runs/latest", "Run folder, for the learning curve and the list of the log.")


@dataclass(frozen=True)
class SceneParameters(TaskParameters):
    rate_hz: float = parameter(5.0, "Rate of the markers.", "Hz", (0.5, 20.0))
    publish_tf: bool = parameter(
        True, "Publish /tf, /tf_static and robot_description; false: robot_state_publisher does."
    )
    trail_s: float = parameter(10.0, "Duration of the displayed trajectory of the hand.", "s", (0.0, 600.0))


@dataclass(frozen=True)
class TeleopKeyboardParameters(NodeParameters):
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


def check_names(node: str, given: Collection[str], shared: Collection[str] = ()) -> None:
    """Raise a ValueError if a parameter is unknown, or of a group that is configured without its `enabled`.

    ``node`` is a key of `NODES`. Those of ``given`` that are ``shared`` are for several nodes (`/**` in a file): one of
    another node is no error.
    """
    own = specs_of(NODES[node])
    others = {name for kind in NODES.values() for name in specs_of(kind)}
    for name in given:
        if name in own or FOREIGN.fullmatch(name) or (name in shared and name in others):
            continue
        close = get_close_matches(name, [*own], 1)
        hint = f"; did you mean {close[0]}?" if close else ""
        raise ValueError(f"{node} has no parameter {name}{hint} (docs/nodes/{node}.md lists them)")
    for name in given:
        switch = f"{name.rpartition('.')[0]}.enabled"
        if name in own and switch in own and switch not in given:
            raise ValueError(f"{node}.{name} is given without {switch}: set {switch}: true to apply it, or false")


class Declared(Generic[P]):
    """The parameters of a node, of a class in `NODES`; ``values`` is always the valid, present set.

    A ValueError says that one that the node is given is unknown, has another type or is out of range.
    """

    def __init__(self, node: Node, kind: type[P]) -> None:
        self._owner, self._kind, self._specs = node.get_name(), kind, specs_of(kind)
        executable = next(name for name, known in NODES.items() if known is kind)
        given = node._parameter_overrides  # rclpy has no public way to the ones that nobody declares
        files = [path for word, path in itertools.pairwise(sys.argv) if word == "--params-file"]
        _, shared = names_for(node.get_fully_qualified_name(), files)
        check_names(executable, given, shared)
        self._flat = {name: self._declare(node, name, spec) for name, spec in self._specs.items()}
        self.values: P = build(kind, self._flat)
        node.add_on_set_parameters_callback(self._on_set)

    def _declare(self, node: Node, name: str, spec: Any) -> Any:
        default = list(spec.default) if isinstance(spec.default, tuple) else spec.default
        try:
            value = node.declare_parameter(name, default, _descriptor(spec)).value
        except ParameterException as error:  # out of range: rclpy's own sentence has the value and the bounds
            raise ValueError(f"{self._owner}.{name}: {error}") from None
        return check(self._owner, name, spec, value)

    def _on_set(self, parameters: list[Parameter]) -> SetParametersResult:
        changes = {}
        for given in parameters:
            spec = self._specs.get(given.name)
            if spec is None:  # of rclpy, for example use_sim_time
                continue
            try:
                changes[given.name] = check(self._owner, given.name, spec, given.value)
            except ValueError as error:
                return SetParametersResult(successful=False, reason=str(error))
        self._flat |= changes
        self.values = build(self._kind, self._flat)
        return SetParametersResult(successful=True)


def _descriptor(spec: Any) -> ParameterDescriptor:
    bounds, choices, unit = (spec.metadata[key] for key in ("bounds", "choices", "unit"))
    descriptor = ParameterDescriptor(
        description=spec.metadata["description"] + (f" [{unit}]" if unit else ""),
        additional_constraints=f"one of {', '.join(choices)}" if choices else "",
        read_only=spec.metadata["read_only"],
        dynamic_typing=True,  # `check` decides on the type: `name:=3` is an integer where 3.0 is meant
    )
    if bounds and isinstance(spec.default, float):
        high = UNLIMITED if spec.metadata["unlimited"] else float(bounds[1])
        descriptor.floating_point_range = [FloatingPointRange(from_value=float(bounds[0]), to_value=high)]
    elif bounds:
        descriptor.integer_range = [IntegerRange(from_value=int(bounds[0]), to_value=int(bounds[1]), step=1)]
    return descriptor
