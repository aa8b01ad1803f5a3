"""Weights of a small policy for `sawyer_reach` that learned a little."""

from __future__ import annotations

from test_live_learning import transition

from tdm_ros.tasks import SAWYER_REACH
from tdm_ros.tdm.config import TdmConfig
from tdm_ros.training.learner import Learner

TASK = SAWYER_REACH["velocity"]


def _learned() -> bytes:
    learner = Learner(TASK, TdmConfig(hidden_size=16, batch_size=8, learning_starts=20, initial_gradient_steps=10), 0)
    for cycle in range(1, 40):
        one = transition(cycle)
        learner.add(one.step, one.last)
    learner.update(2)
    return learner.actor_bytes()


WEIGHTS = _learned()
