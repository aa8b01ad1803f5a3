"""Pushing with any described arm: its contract, its sizes, and that a script brings the object to its targets."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from numpy.typing import NDArray

from benchmarks.far_side import begin, is_ahead
from tdm_ros.control.push_motion import push_action, push_command, push_posture, push_velocity, tip_jacobian
from tdm_ros.envs.controlled_arm import ControlledArm
from tdm_ros.envs.goal_env import make_goal_env
from tdm_ros.envs.push_env import PushEnv
from tdm_ros.envs.simulated_object import SimulatedObject
from tdm_ros.robots.description import load_robot
from tdm_ros.robots.kinematics import forward
from tdm_ros.robots.limiter import Limits
from tdm_ros.tasks.pushing import EPISODE_STEPS, observe_push, present_push_goal, push_setup, push_task, tip_of

ROBOTS = ("gen3", "panda", "sawyer", "so101", "ur5e", "xarm7")
each_robot = pytest.mark.parametrize("name", ROBOTS)


def towards(seen: dict[str, NDArray[np.float32]], env: PushEnv) -> NDArray[np.float32]:
    """Action straight to the tip's present goal, at full speed until 5 cm before it."""
    gap_m = seen["desired_goal"][:3] - seen["achieved_goal"][:3]
    action = 6.0 * gap_m / env.setup.speed_m_s
    return np.asarray(action / max(1.0, float(np.abs(action).max())), np.float32)


def played(env: PushEnv, seen: dict[str, NDArray[np.float32]], steps: int = EPISODE_STEPS) -> float:
    """Distance of the object from its target after the script's episode [m]."""
    for _ in range(steps):
        seen, _, terminated, truncated, info = env.step(towards(seen, env))
        assert not terminated and not truncated
    return float(info["distance"])


@pytest.mark.parametrize("name", ["sawyer", "panda", "so101"])
def test_push_by_script_ends_within_2_cm_in_one_episode(name: str) -> None:
    env = PushEnv(name)
    final = [played(env, env.reset(seed=seed)[0]) for seed in range(6)]
    assert max(final) < 0.02


def test_push_target_between_tip_and_object_is_reached_from_the_far_side() -> None:
    env = PushEnv("panda")
    env.reset(seed=0)
    env.data.qpos[:7] = push_posture((0.35, 0.0, 0.03), env.robot)
    env.data.qpos[7:] = 0.5, 0.0
    goal = (0.4, 0.0, 0.03, 0.4, 0.0)
    seen, _ = env.reset(options={"goal": goal, "continued": True})
    assert played(env, seen) < 0.02


def test_push_benchmark_of_the_far_side_starts_between_object_and_target_and_the_script_succeeds() -> None:
    env, finals = PushEnv("panda"), []
    for seed in range(4):
        seen = begin(env, seed)
        tip, object_m, target = seen["achieved_goal"][:2], seen["achieved_goal"][3:], env.evaluation_goal[3:]
        ahead, to_tip = target - object_m, tip - object_m
        assert float(ahead @ to_tip) > 0.95 * float(np.linalg.norm(ahead) * np.linalg.norm(to_tip))
        assert np.linalg.norm(to_tip) == pytest.approx(env.setup.approach.behind_m, abs=0.01)
        finals.append(played(env, seen))
    assert max(finals) < 0.02


def test_push_tip_is_ahead_of_the_object_on_its_side_of_the_target_alone() -> None:
    target = np.array((0.6, 0.1))
    assert is_ahead(np.array((0.55, 0.0, 0.03, 0.5, 0.0)), target)
    assert not is_ahead(np.array((0.45, 0.0, 0.03, 0.5, 0.0)), target)


def test_push_continued_begins_where_the_last_episode_ended() -> None:
    env = PushEnv("panda", continued=True)
    seen, final = env.reset(seed=0)[0], []
    for _ in range(4):
        final.append(played(env, seen))
        before, joints, goal = env.data.qpos[7:].copy(), env.data.qpos[:7].copy(), env.evaluation_goal
        seen, info = env.reset()
        np.testing.assert_array_equal(env.data.qpos[7:], before)
        np.testing.assert_array_equal(env.data.qpos[:7], joints)
        assert (env.evaluation_goal != goal).any() and info["distance"] > env.task.success
    assert max(final) < 0.02


def test_push_continued_object_out_of_its_box_is_put_back() -> None:
    env = PushEnv("panda", continued=True)
    env.reset(seed=0)
    env.data.qpos[7:] = 0.9, 0.5
    env.reset()
    assert (env.data.qpos[7:] >= env.setup.object_low_m).all() and (env.data.qpos[7:] <= env.setup.object_high_m).all()


def test_push_fresh_start_is_the_default_and_the_same_for_a_seed() -> None:
    env = PushEnv("ur5e")
    first = env.reset(seed=3)[0]
    for _ in range(5):
        env.step(np.ones(3, np.float32))
    again = env.reset(seed=3)[0]
    for key, value in first.items():
        np.testing.assert_array_equal(value, again[key])


@each_robot
def test_push_gymnasium_checker_has_no_complaint(name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message=".*infinity|.*infinite")
        check_env(PushEnv(name), skip_render_check=True)


@each_robot
def test_push_starts_and_targets_lie_in_their_boxes(name: str) -> None:
    env = PushEnv(name)
    low, high = np.array(env.task.goal.low), np.array(env.task.goal.high)
    for seed in range(20):
        seen, info = env.reset(seed=seed)
        achieved, goal = seen["achieved_goal"], env.evaluation_goal
        assert (achieved >= low - 3e-3).all() and (achieved <= high + 3e-3).all()
        assert (goal >= low - 1e-6).all() and (goal <= high + 1e-6).all()
        assert info["distance"] > env.task.success
        assert env.data.ncon == 0 and env.setup.movable(achieved[3:])


@each_robot
def test_push_tip_reaches_its_box_with_the_tool_almost_vertical(name: str) -> None:
    robot, setup = load_robot(name), push_setup(load_robot(name))
    most_deg = 40.0 if name == "so101" else 20.0  # its wrist cannot bend further
    for x in (setup.tip_low_m[0], setup.tip_high_m[0]):
        for y in (setup.tip_low_m[1], 0.0, setup.tip_high_m[1]):
            for z in (setup.tip_low_m[2], setup.tip_high_m[2]):
                q = push_posture((x, y, z), robot)
                hand = forward(q, robot)
                np.testing.assert_allclose(tip_of(hand, setup), (x, y, z), atol=3e-3)
                assert np.degrees(np.arccos(-hand.rotation[2, 2])) < most_deg
                assert (q > robot.lower_rad).all() and (q < robot.upper_rad).all()


@each_robot
def test_push_velocity_moves_the_tip_as_commanded_and_turns_the_tool_down(name: str) -> None:
    robot = load_robot(name)
    q = robot.home_rad + 0.05
    wanted = np.array([0.05, -0.04, 0.03])
    linear, angular = tip_jacobian(q, robot)
    joints = push_velocity(q, wanted, robot)
    np.testing.assert_allclose(linear @ joints, wanted, atol=2e-3)
    axis = forward(q, robot).rotation[:, 2]
    assert (np.cross(angular @ joints, axis) @ np.array([0.0, 0.0, -1.0])) > 0


def test_push_action_is_the_inverse_of_the_command() -> None:
    robot = load_robot("panda")
    q, action = robot.home_rad, np.array([0.5, -0.3, 0.0])
    tip = np.array([0.45, 0.0, 0.08])
    np.testing.assert_allclose(push_action(q, push_command(q, action, tip, robot), robot), action, atol=0.01)


@pytest.mark.parametrize(("z", "sign"), [(0.03, 1), (0.2, -1)])
def test_push_command_keeps_the_tip_in_its_box(z: float, sign: int) -> None:
    robot = load_robot("panda")
    tip = np.array([0.45, 0.0, z])
    down = push_command(robot.home_rad, (0.0, 0.0, -sign), tip, robot)
    moved = tip_jacobian(robot.home_rad, robot)[0] @ down
    assert moved[2] * sign >= -1e-3


def test_push_executed_action_is_what_the_limiter_leaves_of_it() -> None:
    env = PushEnv("sawyer", limits=Limits(velocity_scale=0.25))
    env.reset(seed=0)
    env.data.qpos[:7] = push_posture((0.6, 0.0, 0.1), env.robot)
    tips = [env.reset(options={"continued": True})[0]["achieved_goal"][:3]]
    for _ in range(10):
        seen, *_, info = env.step(np.array([1.0, -1.0, 0.0], np.float32))
        tips.append(seen["achieved_goal"][:3])
    executed = info["executed_action"]
    assert info["limited"] and info["limiter"] == "velocity"
    assert 0.1 < executed[0] < 0.75 and -0.75 < executed[1] < -0.1
    moved_m_s = (tips[-1] - tips[-2]) * env.task.rate_hz
    np.testing.assert_allclose(env.setup.speed_m_s * executed, moved_m_s, atol=0.03)  # the servos lag


def test_push_observation_ends_with_tip_object_and_the_objects_place_from_the_tip() -> None:
    seen = observe_push([0.1, 0.2], [0.3, 0.4], [1.0, 2.0, 3.0], [1.5, 2.25])
    np.testing.assert_allclose(seen, [0.1, 0.2, 0.3, 0.4, 1.0, 2.0, 3.0, 1.5, 2.25, 0.5, 0.25])
    assert seen.dtype == np.float32


def test_push_present_goal_has_sizes_of_the_object() -> None:
    setup = push_setup(load_robot("so101"))
    behind = 0.3 - setup.approach.behind_m
    goal = present_push_goal((behind, 0.0, setup.half_height_m, 0.3, 0.0), (0.4, 0.0), setup)
    np.testing.assert_allclose(goal, (0.4 - setup.approach.contact_m, 0, setup.half_height_m, 0.4, 0), atol=1e-6)
    assert setup.approach.contact_m == pytest.approx(setup.radius_m + setup.tool_radius_m)


@pytest.mark.parametrize(("along", "height"), [(-0.05, "low"), (-0.01, "high")])
def test_push_tip_out_of_line_returns_without_rising_where_the_object_is_not_in_the_way(
    along: float, height: str
) -> None:
    setup = push_setup(load_robot("panda"))
    behind = 0.4 - setup.approach.behind_m
    goal = present_push_goal((0.4 + along, 0.06, setup.half_height_m, 0.4, 0.0), (0.5, 0.0), setup)
    if height == "low":
        np.testing.assert_allclose(goal[:3], (behind, 0.0, setup.half_height_m), atol=1e-6)
    else:
        over_m = setup.half_height_m + setup.approach.over_m
        np.testing.assert_allclose(goal[:3], (0.4 + along, 0.06, over_m), atol=1e-6)


def test_push_by_name_has_the_robots_task() -> None:
    env, task = make_goal_env("push:ur5e")
    robot = load_robot("ur5e")
    assert task == push_task(robot) and task.name == "ur5e_push_velocity" and task.frame == robot.base_frame
    assert task.angles == tuple(range(6)) and task.episode_steps == EPISODE_STEPS
    env.reset(seed=0)
    ends = [env.step(np.zeros(3, np.float32))[2:4] for _ in range(EPISODE_STEPS)]
    assert ends == [(False, False)] * (EPISODE_STEPS - 1) + [(False, True)]


def test_push_unknown_robot_rejected_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"push:sayer.*robot must be .*sawyer.* got 'sayer'"):
        make_goal_env("push:sayer")
    with pytest.raises(ValueError, match="push:ROBOT"):
        make_goal_env("push:")


def test_push_simulated_object_that_is_out_of_reach_for_two_seconds_is_put_back() -> None:
    arm, setup = ControlledArm(load_robot("ur5e"), pushes=True), push_setup(load_robot("ur5e"))
    made = SimulatedObject(arm.sim, setup, 20.0)
    assert setup.movable(made.update())
    arm.sim.place_object((3.0, 0.0))
    places = [made.update() for _ in range(42)]
    assert places[:41] == [(3.0, 0.0)] * 41 and setup.movable(places[41])
