"""The tasks that push a puck: a script that knows the arm brings the puck to its target, in the time there is."""

from __future__ import annotations

import copy
import sys
from itertools import pairwise

import gymnasium as gym
import numpy as np
import pytest
from numpy.typing import ArrayLike, NDArray

from tdm_ros.envs import TASKS
from tdm_ros.envs.around_env import APART_M, SawyerAroundEnv, SawyerPushAroundEnv, ring_goal
from tdm_ros.envs.goal_env import make_goal_env
from tdm_ros.envs.manipulation import LINKS_M, PusherEnv
from tdm_ros.envs.sawyer_push_env import POINTING_DOWN, SawyerPushEnv, posture
from tdm_ros.robots.geometry import HAND_HEIGHT_M
from tdm_ros.robots.kinematics import forward
from tdm_ros.robots.sawyer import NEUTRAL_RAD, Q_LOWER_RAD, Q_UPPER_RAD
from tdm_ros.tasks import SAWYER_REACH, SCENES, prompt, prompt_from_behind
from tdm_ros.tasks.seeds import reset_seed
from tdm_ros.training.evaluation import evaluate

Array = NDArray[np.float64]


def direction(angle_rad: float) -> Array:
    return np.array([np.cos(angle_rad), np.sin(angle_rad)])


def turn(angle_rad: float) -> float:
    """The same angle within half a turn of zero."""
    return float((angle_rad + np.pi) % (2 * np.pi) - np.pi)


class ForkScript:
    """Put the fork beside the puck, take it in, and carry it clockwise round the shoulder to the target."""

    def __init__(self, env: PusherEnv) -> None:
        self.env = env
        self.beside = self.inside = False

    def posture(self, hand_m: ArrayLike, heading: float, shoulder: float) -> Array:
        """Joint angles for a place and a heading of the fork, the shoulder near ``shoulder``."""
        upper, fore, reach = LINKS_M
        wrist = np.asarray(hand_m) - reach * direction(heading)
        far = np.clip(np.linalg.norm(wrist), 0.33, upper + fore - 1e-3)
        elbow = -np.arccos(np.clip((far**2 - upper**2 - fore**2) / (2 * upper * fore), -1, 1))
        bearing = np.arctan2(wrist[1], wrist[0]) - np.arctan2(fore * np.sin(elbow), upper + fore * np.cos(elbow))
        first = shoulder + turn(bearing - shoulder)
        return np.array([first, elbow, turn(heading - first - elbow)])

    def carry(self, puck: Array, hand: Array, heading: float, shoulder: float) -> Array:
        goal = self.env._goal[2:].astype(float)
        here, there = np.arctan2(puck[1], puck[0]), np.arctan2(goal[1], goal[0])
        here, there = here - 2 * np.pi * (here > 0.3), there - 2 * np.pi * (there > 0)
        step = np.clip(there - here, -0.6, 0.6)
        share = abs(step) / max(abs(there - here), 1e-6)
        far = (1 - share) * np.linalg.norm(puck) + share * np.linalg.norm(goal)
        way = far * direction(here + step) - puck
        facing = float(np.arctan2(way[1], way[0])) if np.linalg.norm(way) > 0.1 else heading
        return self.posture(hand + way, facing, shoulder)

    def __call__(self) -> Array:
        data = self.env.data
        puck, hand = data.qpos[3:].copy(), data.site_xpos[self.env._hand, :2].copy()
        heading, shoulder = float(data.qpos[:3].sum()), float(data.qpos[0])
        side = float(np.arctan2(puck[1], puck[0])) - np.pi / 2
        start = puck - 0.36 * direction(side)
        self.beside |= bool(np.linalg.norm(hand - start) < 0.1 and abs(turn(heading - side)) < 0.25)
        self.inside |= self.beside and bool(np.linalg.norm(puck - hand) < 0.11)
        if self.inside:
            wanted = self.carry(puck, hand, heading, shoulder)
        else:
            wanted = self.posture(puck if self.beside else start, side, shoulder if self.beside else 0.3)
        return np.clip((20 * (wanted - data.qpos[:3]) - 1.2 * data.qvel[:3]) / 3.0, -1, 1).astype(np.float32)


def test_pusher_targets_are_reached_by_a_script() -> None:
    env = gym.make(TASKS["pusher"]).unwrapped
    assert isinstance(env, PusherEnv)
    final = []
    for seed in range(20):
        env.reset(seed=seed)
        script = ForkScript(env)
        for _ in range(100):
            info = env.step(script())[4]
        final.append(info["distance"])
    assert np.mean(np.array(final) < 0.1) >= 0.85


def test_pusher_puck_moves_only_when_pushed_and_then_stops() -> None:
    env = gym.make(TASKS["pusher"]).unwrapped
    before = env.reset(seed=0)[0]["achieved_goal"][2:]
    for _ in range(20):
        after = env.step(np.zeros(3, np.float32))[0]["achieved_goal"][2:]
    np.testing.assert_allclose(after, before, atol=1e-6)
    env.data.qvel[3] = 1.0
    for _ in range(10):
        after = env.step(np.zeros(3, np.float32))[0]["achieved_goal"][2:]
    assert 0.02 < after[0] - before[0] < 0.1
    assert abs(env.data.qvel[3]) < 0.01


def test_pusher_is_judged_by_the_puck() -> None:
    env = gym.make(TASKS["pusher"]).unwrapped
    targets = np.array([(env.reset(seed=seed), env.evaluation_goal[2:])[1] for seed in range(50)])
    assert (np.linalg.norm(targets, axis=1) < 1.3).all() and (targets[:, 0] <= 0).all()
    assert env.task.distance([9, 9, 0.3, 0.4], [0, 0, 0, 0]) == 0.5


@pytest.mark.parametrize("name", ["pusher", "sawyer_push"])
def test_pushing_asks_the_hand_to_the_puck_and_then_the_puck_to_the_target(name: str) -> None:
    env = gym.make(TASKS[name]).unwrapped
    seen, _ = env.reset(seed=0)
    target = env.evaluation_goal[2:]
    np.testing.assert_array_equal(seen["desired_goal"], np.tile(seen["achieved_goal"][2:], 2))
    env.data.qpos[-2:] = seen["achieved_goal"][:2] + np.array([0.03, 0.0])
    seen = env._observe()
    np.testing.assert_array_equal(seen["desired_goal"], [*seen["achieved_goal"][2:], *target])


@pytest.mark.parametrize("stays", [True, False])
def test_ask_lets_the_puck_lie_until_it_is_held(stays: bool) -> None:
    np.testing.assert_allclose(prompt([0, 0, 0.5, 0], [2, 3], 0.6, stays), [0.5, 0, 2, 3])
    np.testing.assert_allclose(prompt([0, 0, 0.5, 0], [2, 3], 0.4, stays), [0.5, 0, *([0.5, 0] if stays else [2, 3])])


@pytest.mark.parametrize("name", ["pusher", "sawyer_push"])
def test_pushing_is_judged_by_the_target_whatever_is_asked_for_on_the_way(name: str) -> None:
    """A policy that does nothing never holds the puck and does what it is asked; it is as far off as the puck lies."""
    env, task = make_goal_env(name)
    result = evaluate(lambda now: np.zeros(task.action.size, np.float32), env, task, 2, 0)
    for episode, distance in enumerate(result.final_distance):
        seen, _ = env.reset(seed=reset_seed("evaluate", 0, episode))
        apart = np.linalg.norm(seen["achieved_goal"][2:] - env.unwrapped.evaluation_goal[2:])
        assert distance == pytest.approx(apart, abs=0.05) and distance > 0.05


def test_pusher_starts_lie_where_the_papers_do() -> None:
    env = gym.make(TASKS["pusher"]).unwrapped
    pucks = np.array([env.reset(seed=seed)[0]["achieved_goal"][2:] for seed in range(200)])
    assert (pucks >= (0.3, -0.8)).all() and (pucks <= (0.8, -0.3)).all()
    assert np.ptp(pucks, axis=0).min() > 0.45


def push_ahead(seen: dict[str, NDArray[np.float32]]) -> NDArray[np.float32]:
    """Bring the puck into the fork's opening, then carry it to the target; the hand never goes back."""
    hand, puck = np.split(seen["achieved_goal"].astype(float), 2)
    ahead, aside = puck - hand
    if abs(aside) < 0.03 and -0.04 < ahead < 0.035:
        velocity = 5 * (seen["desired_goal"][2:] - puck)
        velocity[0] = max(velocity[0], 0.0)
        velocity /= max(np.abs(velocity).max() / 0.3, 1.0)
    else:
        lined_up = abs(aside) <= 0.01 or ahead >= 0.12
        velocity = np.array([0.2 if lined_up else -0.1 * (ahead < 0.115), 6 * aside])
    return np.clip(velocity / 0.3, -1, 1).astype(np.float32)


def test_sawyer_push_targets_are_reached_by_a_script_with_the_hand_level() -> None:
    env = gym.make(TASKS["sawyer_push"]).unwrapped
    final = []
    for seed in range(12):
        seen, _ = env.reset(seed=seed)
        for _ in range(64):
            seen, *_, info = env.step(push_ahead(seen))
            assert abs(seen["observation"][16] - HAND_HEIGHT_M) < 0.004
        final.append(info["distance"])
    assert np.mean(np.array(final) < 0.02) >= 0.9


@pytest.mark.parametrize("hand_m", [(0.40, -0.10), (0.45, 0.10), (0.80, 0.25), (0.80, -0.25), (0.60, 0.0)])
def test_sawyer_push_posture_points_down_at_every_place_of_the_task(hand_m: tuple[float, float]) -> None:
    q = posture(hand_m)
    pose = forward(q)
    np.testing.assert_allclose(pose.position_m, (*hand_m, HAND_HEIGHT_M), atol=1e-3)
    np.testing.assert_allclose(pose.rotation, POINTING_DOWN, atol=5e-3)
    assert (q > Q_LOWER_RAD).all() and (q < Q_UPPER_RAD).all()


def test_sawyer_push_action_is_the_velocity_of_the_hand() -> None:
    env = gym.make(TASKS["sawyer_push"]).unwrapped
    before = env.reset(seed=0)[0]["achieved_goal"][:2]
    action = np.array([0.0, -1.0], np.float32)
    for _ in range(4):
        seen, *_, info = env.step(action)
        np.testing.assert_array_equal(info["executed_action"], action)
    np.testing.assert_allclose(seen["achieved_goal"][:2] - before, [0.0, -0.06], atol=0.01)


def test_sawyer_push_at_the_edge_of_the_box_reports_what_was_executed() -> None:
    env = gym.make(TASKS["sawyer_push"]).unwrapped
    env.reset(seed=0)
    limited = []
    for _ in range(60):
        *_, info = env.step(np.array([0.0, 1.0], np.float32))
        if "box" in info["limiter"]:
            limited.append(info["executed_action"][1])
    assert limited and min(limited) < 0.5
    assert isinstance(env, SawyerPushEnv) and env.sim.reading().hand_m[1] < 0.61


# Tasks whose straight way is barred: what bars it, and that there is another way


def around() -> SawyerAroundEnv:
    made = gym.make(TASKS["sawyer_around"]).unwrapped
    assert isinstance(made, SawyerAroundEnv)
    return made


def pushing(beyond: bool) -> SawyerPushAroundEnv:
    made = gym.make(TASKS["sawyer_push_around"]).unwrapped
    assert isinstance(made, SawyerPushAroundEnv)
    made.beyond = beyond
    return made


def test_around_starts_and_goals_lie_all_round_the_robot_and_in_the_box() -> None:
    env, angles = around(), []
    for seed in range(60):
        seen, _ = env.reset(seed=seed)
        goal = seen["desired_goal"]
        assert (goal >= np.float32(env.task.goal.low)).all() and (goal <= np.float32(env.task.goal.high)).all()
        angles.append([np.arctan2(p[2], p[1]) for p in (seen["achieved_goal"], goal)])
    filled = [np.histogram(column, bins=8, range=(-np.pi, np.pi))[0] for column in np.transpose(angles)]
    assert (np.array(filled) > 0).all()


def test_around_the_hand_can_go_behind_the_robot_until_the_joint_stops() -> None:
    env = around()
    env.reset(seed=0, options={"q_rad": np.array([2.7, *NEUTRAL_RAD[1:]])})
    turn = np.zeros(7, np.float32)
    turn[0] = 1.0
    for _ in range(30):
        seen, *_, info = env.step(turn)
    assert "joint limit" in info["limiter"]
    assert seen["observation"][0] == pytest.approx(Q_UPPER_RAD[0] - 0.05, abs=0.02)
    assert seen["achieved_goal"][1] < -0.3 and seen["achieved_goal"][0] == seen["observation"][0]


def test_around_opposite_sides_of_the_stop_are_close_in_space_and_far_for_the_joint() -> None:
    one, other = ring_goal(2.9, 0.5, 0.3), ring_goal(-2.9, 0.5, 0.3)
    assert np.linalg.norm(one[1:] - other[1:]) < 0.3
    assert around().task.distance(one, other) == pytest.approx(np.linalg.norm(one[1:] - other[1:]))
    reached = [forward(np.array([q, *NEUTRAL_RAD[1:]])).position_m for q in (2.9, -2.9)]
    assert np.linalg.norm(reached[0] - reached[1]) < 0.3


def test_push_around_hand_starts_beyond_the_puck_if_so_wished() -> None:
    for beyond in (False, True):
        env = pushing(beyond)
        ahead = []
        for seed in range(40):
            seen, _ = env.reset(seed=seed)
            hand, puck = np.split(seen["achieved_goal"], 2)
            assert np.linalg.norm(hand - puck) > APART_M - 0.05
            ahead.append(hand[0] > puck[0] + 0.1)
        assert all(ahead) == beyond and any(ahead)


def test_push_around_learns_errands_that_leave_the_puck_and_pushes() -> None:
    env = pushing(beyond=False)
    stays = 0
    for seed in range(40):
        seen, _ = env.reset(seed=seed)
        stays += bool((env.evaluation_goal[2:] == seen["achieved_goal"][2:]).all())
        asked_m = np.linalg.norm(seen["desired_goal"][2:] - seen["achieved_goal"][2:])
        assert asked_m < 1e-6, "until it is held, the puck is to stay"
    assert 10 < stays < 30


def test_push_around_straight_to_the_puck_pushes_it_off() -> None:
    env = pushing(beyond=True)
    moved = []
    for seed in range(5):
        seen, _ = env.reset(seed=seed)
        start = seen["achieved_goal"][2:].copy()
        for _ in range(30):
            gap = seen["achieved_goal"][2:] - seen["achieved_goal"][:2]
            seen = env.step(np.clip(gap / 0.015, -1, 1))[0]
        moved.append(float(np.linalg.norm(seen["achieved_goal"][2:] - start)))
    assert min(moved) > 0.05


def test_wall_bars_every_straight_line_to_its_goals() -> None:
    wall, start, task = SCENES["wall"], forward(NEUTRAL_RAD).position_m, SAWYER_REACH["velocity"]
    rng = np.random.default_rng(0)
    parts = np.linspace(0, 1, 200)[:, None]
    for goal in (wall.sample_goal(task, rng, evaluation=True) for _ in range(200)):
        assert not wall.inside(goal) and wall.inside(start + parts * (goal - start)).any()
    over = np.array([[0.45, 0.16, 0.2], [0.45, 0.16, 0.5], [0.45, -0.3, 0.5], [0.45, -0.3, 0.2]])
    assert not any(wall.inside(a + parts * (b - a)).any() for a, b in pairwise(over))


# FetchPush


def follow(seen: dict[str, NDArray[np.float32]]) -> NDArray[np.float32]:
    """Drive the hand straight to its goal, slower while it pushes; a step moves it by 3.3 cm at most."""
    achieved, goal = seen["achieved_goal"], seen["desired_goal"]
    ahead = np.clip((goal[:3] - achieved[:3]) / 0.033, -1, 1)
    return np.array([*ahead * (0.5 if (goal[3:] != achieved[3:]).any() else 1.0), 0.0], np.float32)


def test_fetch_push_is_fetch_push_and_its_rule_leads_to_the_target() -> None:
    env = gym.make(TASKS["fetch_push"]).unwrapped
    reached = []
    for seed in range(20):
        seen, _ = env.reset(seed=seed)
        for _ in range(env.task.episode_steps):
            seen, _, _, _, info = env.step(follow(seen))
        reached.append(info["is_success"])
        assert info["is_success"] == bool(env._fetch._is_success(env._seen["achieved_goal"], env._seen["desired_goal"]))
    assert np.mean(reached) >= 0.85


def test_copy_of_fetch_push_has_a_simulation_of_its_own() -> None:
    made = gym.make(TASKS["fetch_push"]).unwrapped
    other = copy.deepcopy(made)
    other.reset(seed=0)
    other.step(np.ones(4, np.float32))
    assert other.data is other._fetch.data is not made.data


@pytest.mark.parametrize(
    ("hand", "goal"),
    [
        ((0.93, 0.0, 0.42), (1.15, 0.0, 0.42, 1.2, 0.0)),
        ((0.93, 0.0, 0.5), (0.93, 0.0, 0.42, 1.0, 0.0)),
        ((1.05, 0.0, 0.42), (1.05, 0.0, 0.5, 1.0, 0.0)),
        ((1.05, 0.0, 0.5), (0.93, 0.0, 0.5, 1.0, 0.0)),
        ((1.2, 0.3, 0.42), (0.93, 0.0, 0.5, 1.0, 0.0)),
    ],
    ids=["behind: push", "over it: down", "in the way: up", "up: over", "far: over"],
)
def test_rule_of_stages_leads_around_the_object(hand: tuple[float, ...], goal: tuple[float, ...]) -> None:
    wanted = prompt_from_behind(hand, (1.0, 0.0, 0.42), (1.2, 0.0))
    np.testing.assert_allclose(wanted, goal, atol=1e-6)
    np.testing.assert_allclose(prompt_from_behind(hand, (1.0, 0.0, 0.42), (1.2, 0.0), False)[3:], (1.2, 0.0), atol=1e-6)


def test_fetch_push_without_gymnasium_robotics_names_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gymnasium_robotics", None)
    with pytest.raises(ValueError, match="pip install gymnasium-robotics"):
        make_goal_env("fetch_push")
