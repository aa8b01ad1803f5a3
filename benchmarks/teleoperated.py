"""`sawyer_push` with a person beside it: the arm's own arbitration, and a script that drives it as a person would."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tdm_ros.control.arm_control import ArmControl, ArmTiming
from tdm_ros.control.arm_io import CommandCheck, JointOrder, ReceivedCommand
from tdm_ros.control.timeline import Announcement, Source, State
from tdm_ros.envs.sawyer_push_env import SPEED_M_S, SawyerPushEnv, level, steer
from tdm_ros.replay import Step
from tdm_ros.robots.arm import ACTUATIONS
from tdm_ros.robots.arm_cycle import ArmCycle
from tdm_ros.robots.limiter import Limiter
from tdm_ros.robots.sawyer import JOINT_NAMES, NEUTRAL_RAD
from tdm_ros.tasks.seeds import reset_seed
from tdm_ros.training.evaluation import PolicyInput, rollout

VELOCITY = ACTUATIONS["velocity"]
CHECK = CommandCheck(JointOrder(JOINT_NAMES), mode=0)
EPISODE = Announcement(State.RUNNING, episode=1, length=10**9, goal=np.zeros(3, np.float32))
PERIOD_S = 0.05
THERE_M, STAY = 0.02, 4
"""A demonstration ends when the puck has been this near to the target for so many steps."""
PATIENCE, GAIN_M = 10, 0.01
"""The operator takes control when so many steps have brought nothing this much nearer ..."""
HELP, SHARE = 16, 0.2
"""... for so many steps, and not for more than this part of all steps."""


class TeleoperatedPush(SawyerPushEnv):
    """`SawyerPushEnv` whose commands go through `ArmControl`; without a person it moves bit for bit like that.

    ``twist``, (6,) or None, is the operator's command for the next step, and ``by_operator`` whether the operator made
    the last one.
    """

    def __init__(self, **keywords: Any) -> None:
        super().__init__(**keywords)
        self._home = ArmCycle(self.sim, Limiter(VELOCITY), VELOCITY)
        self.twist: NDArray[np.float64] | None = None
        self.by_operator = False

    def _start(self, rng: np.random.Generator) -> None:
        super()._start(rng)
        self.twist, self.by_operator, self._now_s = None, False, 0.0
        self._control = ArmControl((self.cycle, self._home), CHECK, ArmTiming(), NEUTRAL_RAD, self._now_s)

    def _act(self, action: NDArray[np.floating[Any]]) -> None:
        control, q = self._control, self.sim.reading().q_rad
        control.announce(EPISODE, self._now_s)
        control.receive_engaged(self.twist is not None, self._now_s)
        control.receive_twist(np.zeros(6) if self.twist is None else self.twist, self._now_s)
        wanted = steer(q, SPEED_M_S * np.asarray(action, np.float64))
        asked = ReceivedCommand(control.cycle, 1, 0, int(Source.POLICY), 0.0, JOINT_NAMES, wanted)
        if problem := control.receive(asked, self._now_s):
            raise RuntimeError(f"the arm rejected a command: {problem}")
        self._now_s += PERIOD_S
        report = control.tick(self._now_s)
        executed, self.by_operator = report.executed, report.source == Source.HUMAN
        if not np.allclose(executed.action, VELOCITY.to_action(wanted), atol=1e-6):
            action = self._equivalent_action(executed.action, q)
        self._info = {"executed_action": action, "limited": executed.limited, "limiter": executed.layer}


def push(hand_m: ArrayLike, puck_m: ArrayLike, target_m: ArrayLike) -> NDArray[np.float64]:
    """Velocity of the hand, (2,) [m/s]: the puck into the fork, then to the target; the hand never goes back."""
    hand, puck = np.asarray(hand_m, np.float64), np.asarray(puck_m, np.float64)
    ahead, aside = puck - hand
    if abs(aside) < 0.03 and -0.04 < ahead < 0.035:
        velocity = 5 * (np.asarray(target_m, np.float64) - puck)
        velocity[0] = max(velocity[0], 0.0)
        return velocity / max(np.abs(velocity).max() / SPEED_M_S, 1.0)
    lined_up = abs(aside) <= 0.01 or ahead >= 0.12
    return np.array([0.2 if lined_up else -0.1 * (ahead < 0.115), 6 * aside])


class Operator:
    """Plays the person: drives all the time, or watches and takes over when nothing comes of what the policy does.

    Parameters
    ----------
    env : TeleoperatedPush
    """

    def __init__(self, env: TeleoperatedPush) -> None:
        self.env = env
        self.steps = self.helped = 0
        self.begin()

    def begin(self) -> None:
        """A new attempt begins."""
        self._best_m, self._idle, self._left = np.inf, 0, 0

    def drive(self, now: PolicyInput) -> None:
        """Ask for what brings the puck to the target."""
        hand, puck = np.split(now.achieved.astype(np.float64), 2)
        q_rad = self.env.sim.reading().q_rad
        self.env.twist = level(q_rad, push(hand, puck, self.env.evaluation_goal[2:]))

    def watch(self, now: PolicyInput) -> None:
        """Take over, go on, or let the policy go on."""
        self.steps += 1
        hand, puck = np.split(now.achieved.astype(np.float64), 2)
        to_go_m = float(np.linalg.norm(puck - self.env.evaluation_goal[2:]))
        left_m = to_go_m + float(np.linalg.norm(hand - puck))
        self._idle = 0 if left_m < self._best_m - GAIN_M else self._idle + 1
        self._best_m = self._best_m if self._idle else left_m
        stuck = self._idle >= PATIENCE and to_go_m > THERE_M
        if stuck and not self._left and self.helped < SHARE * self.steps:
            self._left = HELP
        self.env.twist = None
        if self._left:
            self._left, self._idle, self._best_m = self._left - 1, 0, left_m
            self.helped += 1
            self.drive(now)


def demonstrations(env: TeleoperatedPush, seed: int, count: int) -> Iterator[tuple[Step, bool]]:
    """Steps of ``count`` demonstrations, and whether each was the last of its own."""
    operator = Operator(env)

    def hold(now: PolicyInput) -> NDArray[np.float32]:
        operator.drive(now)
        return np.zeros(env.task.action.size, np.float32)  # what the policy asks for does not matter

    for number in range(count):
        there = 0
        for step, last in rollout(env, env.task, hold, reset_seed("train", 10**6 + seed, number)):
            there = there + 1 if env.task.distance(step.next_achieved, env.evaluation_goal) < THERE_M else 0
            yield step, last or there == STAY
            if there == STAY:
                break
