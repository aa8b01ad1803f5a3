"""Simulated tasks. Importing this registers `tdm_ros/SawyerReach-v0` and the others with Gymnasium."""

import gymnasium as gym

from tdm_ros.tasks import (
    ANT_POSITION,
    ANT_POSITION_VELOCITY,
    CHEETAH,
    MAZE,
    PUSHER,
    REACHER,
    SAWYER_AROUND,
    SAWYER_PUSH,
    SAWYER_PUSH_AROUND,
    SAWYER_REACH,
    TaskSpec,
)

_ENVIRONMENTS: dict[str, tuple[str, str, TaskSpec, dict[str, str]]] = {
    "sawyer_reach": ("SawyerReach", "sawyer_reach_env:SawyerReachEnv", SAWYER_REACH["velocity"], {}),
    "sawyer_reach_torque": (
        "SawyerReachTorque",
        "sawyer_reach_env:SawyerReachEnv",
        SAWYER_REACH["torque"],
        {"actuation": "torque"},
    ),
    "sawyer_reach_torque_low_damping": (
        "SawyerReachTorqueLowDamping",
        "sawyer_reach_env:SawyerReachEnv",
        SAWYER_REACH["torque_low_damping"],
        {"actuation": "torque_low_damping"},
    ),
    "sawyer_around": ("SawyerAround", "around_env:SawyerAroundEnv", SAWYER_AROUND, {}),
    "sawyer_push": ("SawyerPush", "sawyer_push_env:SawyerPushEnv", SAWYER_PUSH, {}),
    "sawyer_push_around": ("SawyerPushAround", "around_env:SawyerPushAroundEnv", SAWYER_PUSH_AROUND, {}),
    "reacher": ("Reacher", "manipulation:ReacherEnv", REACHER, {}),
    "pusher": ("Pusher", "manipulation:PusherEnv", PUSHER, {}),
    "maze": ("Maze", "maze_env:MazeEnv", MAZE, {}),
    "cheetah": ("Cheetah", "locomotion:CheetahEnv", CHEETAH, {}),
    "ant_position": ("AntPosition", "locomotion:AntPositionEnv", ANT_POSITION, {}),
    "ant_position_velocity": (
        "AntPositionVelocity",
        "locomotion:AntPositionVelocityEnv",
        ANT_POSITION_VELOCITY,
        {},
    ),
}

TASKS: dict[str, str] = {name: f"tdm_ros/{entry[0]}-v0" for name, entry in _ENVIRONMENTS.items()}
"""Names of our own tasks, and the environments behind them."""

for _title, _entry, _task, _kwargs in _ENVIRONMENTS.values():
    gym.register(
        id=f"tdm_ros/{_title}-v0",
        entry_point=f"tdm_ros.envs.{_entry}",
        max_episode_steps=_task.episode_steps,
        kwargs=_kwargs,
    )
