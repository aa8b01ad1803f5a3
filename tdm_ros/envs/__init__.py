"""Simulated tasks. Importing this registers `tdm_ros/SawyerReach-v0` and the others with Gymnasium."""

import gymnasium as gym

from tdm_ros import tasks
from tdm_ros.tasks import SAWYER_REACH, TaskSpec
from tdm_ros.tasks.pushing import EPISODE_STEPS

_ENVIRONMENTS: dict[str, tuple[str, TaskSpec]] = {
    "sawyer_reach": ("reach_env:ReachEnv", SAWYER_REACH["velocity"]),
    "sawyer_reach_torque": ("reach_env:ReachEnv", SAWYER_REACH["torque"]),
    "sawyer_reach_torque_low_damping": ("reach_env:ReachEnv", SAWYER_REACH["torque_low_damping"]),
    "sawyer_around": ("around_env:SawyerAroundEnv", tasks.SAWYER_AROUND),
    "sawyer_push": ("sawyer_push_env:SawyerPushEnv", tasks.SAWYER_PUSH),
    "sawyer_push_around": ("around_env:SawyerPushAroundEnv", tasks.SAWYER_PUSH_AROUND),
    "reacher": ("manipulation:ReacherEnv", tasks.REACHER),
    "pusher": ("manipulation:PusherEnv", tasks.PUSHER),
    "fetch_push": ("fetch_env:FetchPushEnv", tasks.FETCH_PUSH),
    "maze": ("maze_env:MazeEnv", tasks.MAZE),
    "cheetah": ("locomotion:CheetahEnv", tasks.CHEETAH),
    "ant_position": ("locomotion:AntPositionEnv", tasks.ANT_POSITION),
    "ant_position_velocity": ("locomotion:AntPositionVelocityEnv", tasks.ANT_POSITION_VELOCITY),
}

TASKS: dict[str, str] = {name: f"tdm_ros/{name.title().replace('_', '')}-v0" for name in _ENVIRONMENTS}
"""Gymnasium ids of the tasks of this package, by name."""

for _name, (_class, _task) in _ENVIRONMENTS.items():
    _actuation = _name.partition("sawyer_reach_")[2]
    gym.register(
        id=TASKS[_name],
        entry_point=f"tdm_ros.envs.{_class}",
        max_episode_steps=_task.episode_steps,
        kwargs={"actuation": _actuation} if _actuation else {},
    )

PUSH = "tdm_ros/Push-v0"
"""Gymnasium id of pushing with any robot, whose keyword ``robot`` is that of `PushEnv`."""
gym.register(PUSH, "tdm_ros.envs.push_env:PushEnv", max_episode_steps=EPISODE_STEPS)
