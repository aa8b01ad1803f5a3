"""The simulated Sawyer. Importing this registers `tdm_ros/SawyerReach...-v0` with Gymnasium."""

import gymnasium as gym

_ENVIRONMENTS = {
    "SawyerReach": "velocity",
    "SawyerReachTorque": "torque",
    "SawyerReachTorqueLowDamping": "torque_low_damping",
}

for _name, _actuation in _ENVIRONMENTS.items():
    gym.register(
        id=f"tdm_ros/{_name}-v0",
        entry_point="tdm_ros.sim.reach_env:SawyerReachEnv",
        max_episode_steps=50,
        kwargs={"actuation": _actuation},
    )
