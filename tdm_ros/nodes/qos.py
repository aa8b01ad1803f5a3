"""Every QoS profile of the system, each with its reason."""

from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy


def _reliable(depth: int, latched: bool = False) -> QoSProfile:
    durability = DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE
    return QoSProfile(depth=depth, reliability=ReliabilityPolicy.RELIABLE, durability=durability)


def _best_effort(depth: int) -> QoSProfile:
    return QoSProfile(depth=depth, reliability=ReliabilityPolicy.BEST_EFFORT, durability=DurabilityPolicy.VOLATILE)


STATE = _reliable(5)
"""arm_state at its subscribers: reliable, a lost state is a lost cycle; short, old states have no use."""

STATE_HISTORY = _reliable(1000)
"""arm_state at its publisher and at the collector: 50 s of states outlast any stall."""

COMMAND = _reliable(1)
"""command: only the newest counts."""

LATCHED = _reliable(1, latched=True)
"""episode, subgoal, policy_weights, robot_description: who subscribes late, or again, gets the newest at once."""

EPISODE = _reliable(10, latched=True)
"""episode at its subscribers: the running one and the one announced ahead must both arrive."""

TRANSITION = _reliable(1000)
"""transition: outlasts the trainer's import of torch and its reading of the log (50 s)."""

JOINT_STATES = _reliable(10)
"""joint_states: as robot_state_publisher and RViz expect it."""

GOAL = _reliable(1)
"""goal: the newest counts."""

TELEOP = _reliable(1)
"""deadman, teleop/twist, teleop/engaged: only the present position of the control counts."""

EVENT = _reliable(10)
"""teleop/event: each press of a button counts."""

EXTERNAL = _best_effort(10)
"""deadman, goal, teleop/*: their second subscription, beside a reliable one that loses nothing of reliable publishers:
it matches best-effort publishers, too (joystick drivers, web bridges, micro-ROS). Each message counts once."""

MARKER = _reliable(100)
"""goal_marker: as RViz's interactive markers expect it."""

DIAGNOSTICS = _reliable(10)
"""/diagnostics: the usual profile of diagnostic tools."""

FRAMES = _reliable(100)
"""/tf: the profile of tf2's broadcasters and listeners."""

STATIC_FRAMES = _reliable(100, latched=True)
"""/tf_static: each publisher sends all its frames in one latched message; the depth is for several publishers."""


def offered(profile: QoSProfile) -> str:
    """Return a profile as rosbag2 writes it beside a recorded topic; durations are infinite."""
    return f"""\
- history: keep_last
  depth: {profile.depth}
  reliability: reliable
  durability: {"transient_local" if profile.durability == DurabilityPolicy.TRANSIENT_LOCAL else "volatile"}
  deadline: {{sec: 9223372036, nsec: 854775807}}
  lifespan: {{sec: 9223372036, nsec: 854775807}}
  liveliness: automatic
  liveliness_lease_duration: {{sec: 9223372036, nsec: 854775807}}
  avoid_ros_namespace_conventions: false
"""
