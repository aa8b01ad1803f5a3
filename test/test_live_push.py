"""Pushing in the live system: arrays and commands are those of the environment; an object that cannot be trusted."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from control_for_tests import ControlBench

from tdm_ros.control.arm_io import ArmSample
from tdm_ros.control.arm_modes import ArmMode
from tdm_ros.control.live_task import LivePush, LiveTask, live_task
from tdm_ros.control.object_pose import SETTLE_S, STALE_S, ObjectPose
from tdm_ros.control.timeline import Announcement, Source, State
from tdm_ros.data.pairing import TransitionBuilder
from tdm_ros.envs.push_env import PushEnv
from tdm_ros.robots.arm import actuations
from tdm_ros.robots.description import load_robot
from tdm_ros.tdm.decision import Exploration, PolicyController

ROBOTS = ("sawyer", "ur5e", "so101")


def sample_of(env: PushEnv, cycle: int, action: np.ndarray) -> ArmSample:
    now = env.sim.reading()
    return ArmSample(
        cycle=cycle,
        stamp_ns=cycle * 50_000_000,
        episode=0,
        q_rad=now.q_rad,
        qd_rad_s=now.qd_rad_s,
        hand_m=now.hand_m,
        action=action,
        source=int(Source.HUMAN),
        run="r",
        object_m=env.sim.object_m(),
    )


@pytest.mark.parametrize("name", ROBOTS)
def test_observation_goal_and_command_are_those_of_the_environment(name: str) -> None:
    robot, env = load_robot(name), PushEnv(name)
    task = live_task(robot, "velocity", "push")
    assert isinstance(task, LivePush) and task.spec == env.task
    rng = np.random.default_rng(0)
    seen, _ = env.reset(seed=2)
    scale = actuations(robot)["velocity"].scale
    for cycle in range(1, 30):
        sample = sample_of(env, cycle, np.zeros(len(scale), np.float32))
        np.testing.assert_allclose(task.observe(sample), seen["observation"], atol=1e-5)
        np.testing.assert_allclose(task.achieved(sample), seen["achieved_goal"], atol=1e-5)
        goal = env.evaluation_goal
        np.testing.assert_allclose(task.present(task.achieved(sample), goal), seen["desired_goal"], atol=1e-5)
        action = rng.uniform(-1, 1, 3).astype(np.float32)
        expected = env.cycle.limiter.apply(task.command(action, sample), env.cycle.reading()).command
        seen, _, _, _, info = env.step(action)
        if not info["limited"]:
            after = sample_of(env, cycle + 1, (expected / scale).astype(np.float32))
            np.testing.assert_allclose(task.action(sample, after), info["executed_action"], atol=1e-3)


def test_transition_has_the_action_of_the_tip_and_what_was_asked_for() -> None:
    env, task = PushEnv("sawyer"), live_task(load_robot("sawyer"), "velocity", "push")
    env.reset(seed=1)
    goal = task.goal_of((0.6, 0.1, 0.0))
    announced = Announcement(State.RUNNING, episode=1, start_cycle=1, length=80, goal=goal, reason="")
    pairing = TransitionBuilder({1: announced}.get, task)
    samples = [sample_of(env, cycle, np.full(7, 0.1, np.float32)) for cycle in (1, 2, 3)]
    made = [pairing.add(replace(sample, episode=1, source=int(Source.POLICY))) for sample in samples]
    step = made[-1].step
    np.testing.assert_array_equal(step.desired, goal)  # the target, not the present goal on the way to it
    assert step.action.shape == (3,) and step.achieved.shape == (5,) == step.desired.shape
    task.spec.observation.checked(step.observation, "observation")


def test_state_without_the_object_is_neither_answered_nor_recorded() -> None:
    env, task = PushEnv("sawyer"), live_task(load_robot("sawyer"), "velocity", "push")
    env.reset(seed=1)
    seen = replace(sample_of(env, 1, np.zeros(7, np.float32)), episode=1, source=int(Source.POLICY))
    blind = replace(seen, cycle=2, object_m=np.zeros(0))
    assert not task.problem(seen) and "position of the object is unknown" in task.problem(blind)
    assert np.isnan(task.achieved(blind)[3:]).all(), "nothing is made up in its place"
    controller = PolicyController(task, Exploration(3, np.random.default_rng(0)))
    goal = task.goal_of((0.6, 0, 0))
    announced = Announcement(State.RUNNING, episode=1, start_cycle=1, length=80, goal=goal, reason="")
    controller.set_episode(announced)
    assert controller.decide(seen)[0] is not None
    assert controller.decide(blind) == (None, "the position of the object is unknown")
    pairing = TransitionBuilder({1: announced}.get, task)
    chain = [seen, blind, replace(seen, cycle=3), replace(seen, cycle=4)]
    assert [pairing.add(sample) for sample in chain] == [None] * 4 and pairing.orphans == 2
    assert pairing.flush().cycle == 3  # type: ignore[union-attr]


def test_policy_and_drive_home_wait_for_the_object_and_the_operator_moves_the_arm() -> None:
    bench, why = ControlBench(), "no pose of the object was received"
    bench.tell(State.RUNNING, 1, bench.control.cycle)
    assert not bench.command() and not bench.tick().hold_reason
    bench.control.safeguards.unattended = why
    bench.tick()
    assert bench.control.mode is ArmMode.HELD and bench.command() == why
    assert bench.speed() < 0.05
    begin = bench.hand()
    for _ in range(10):
        assert not bench.control.receive_twist([0, 0.1, 0, 0, 0, 0], bench.now_s + 0.001)
        bench.heartbeat()
        bench.tick()
    assert bench.control.mode is ArmMode.TELEOP and bench.hand()[1] - begin[1] > 0.02
    bench.control.receive_twist(np.zeros(6), bench.now_s + 0.001)
    bench.tell(State.RESETTING, 0, bench.control.cycle)
    for _ in range(3):
        bench.heartbeat()
        bench.tick()
    assert bench.control.mode is ArmMode.HELD and why in bench.tick().hold_reason


def test_point_stands_for_a_goal_of_the_object() -> None:
    push, reach = (live_task(load_robot("panda"), "velocity", name) for name in ("push", "reach"))
    goal = push.goal_of((0.4, 0.1, 0.5))
    assert goal.shape == (5,) and goal[3:].tolist() == pytest.approx([0.4, 0.1])
    assert push.point_of(goal)[:2].tolist() == pytest.approx([0.4, 0.1])
    assert type(reach) is LiveTask and reach.point_of(reach.goal_of((1, 2, 3))).tolist() == [1, 2, 3]
    with pytest.raises(ValueError, match="task push takes actuation velocity"):
        live_task(load_robot("panda"), "torque", "push")


class TestObject:
    def pose(self) -> tuple[ObjectPose, np.ndarray]:
        setup = live_task(load_robot("ur5e"), "velocity", "push").setup  # type: ignore[attr-defined]
        return ObjectPose(setup), np.append((setup.object_low_m + setup.object_high_m) / 2, 0.0)

    def test_missing_then_fresh_then_stale(self) -> None:
        pose, middle = self.pose()
        assert "no pose of the object was received: publish it on object_pose" in pose.problem(0.0)
        assert not pose.receive(middle, 1.0) and not pose.problem(1.0 + STALE_S)
        assert "0.3 s old" in pose.problem(1.0 + STALE_S + 0.05)

    @pytest.mark.parametrize("point", [(np.nan, 0, 0), (0, 0), (np.inf, 0, 0)])
    def test_not_finite_or_no_point_is_rejected_and_the_old_one_stays(self, point: tuple[float, ...]) -> None:
        pose, middle = self.pose()
        pose.receive(middle, 1.0)
        assert "expected three finite coordinates" in pose.receive(point, 1.1)
        np.testing.assert_array_equal(pose.known_m(1.1), middle[:2])

    def test_jump_is_not_believed_for_a_while_a_push_is(self) -> None:
        pose, middle = self.pose()
        pose.receive(middle, 1.0)
        pose.receive(middle + np.array((0.02, 0, 0)), 1.05)
        assert not pose.problem(1.05)
        pose.receive(middle + np.array((-0.09, 0, 0)), 1.10)
        assert "the object jumped by 0.11 m" in pose.problem(1.10)
        for k in range(3, 13):
            pose.receive(middle + np.array((-0.09, 0, 0)), 1.0 + 0.05 * k)
        assert not pose.problem(1.10 + SETTLE_S + 0.01)

    def test_out_of_reach_asks_for_it(self) -> None:
        pose, middle = self.pose()
        pose.receive(middle + np.array((0.6, 0, 0)), 1.0)
        assert "the object is out of reach" in pose.problem(1.0) and "put it back" in pose.problem(1.0)
