"""Every QoS profile of the system, each with its reason."""

from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy


def _reliable(depth: int, latched: bool = False) -> QoSProfile:
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=depth,
        reliability=ReliabilityPolicy.RELIABLE,
        durability=DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE,
    )


STATE = _reliable(5)
"""arm_state, for who acts on it: reliable, a lost state is a lost cycle; short, old ones are useless."""

STATE_HISTORY = _reliable(1000)
"""arm_state at its publisher and at the collector: 50 s of states outlast any stall."""

COMMAND = _reliable(1)
"""command: only the newest counts."""

LATCHED = _reliable(1, latched=True)
"""episode, subgoal, policy_weights: who starts late, or again, gets the newest at once."""

EPISODE = _reliable(10, latched=True)
"""episode at its readers: the one that runs and the one announced ahead must both arrive."""

TRANSITION = _reliable(1000)
"""transition: outlasts the trainer's import of torch and its reading of the log (50 s)."""

JOINT_STATES = _reliable(10)
"""joint_states: what robot_state_publisher and rviz expect."""

GOAL = _reliable(1)
"""goal from a person: the last word counts."""

TELEOP = _reliable(1)
"""teleop/twist, teleop/engaged: only where the stick is now counts."""

EVENT = _reliable(10)
"""teleop/event: each press of a button counts."""

MARKER = _reliable(100)
"""goal_marker: what RViz's interactive markers expect."""

DIAGNOSTICS = _reliable(10)
"""/diagnostics: the usual profile of diagnostic tools."""


def offered(profile: QoSProfile) -> str:
    """A profile as rosbag2 writes it beside a recorded topic; durations are infinite."""
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
