"""Learning on a GPU: the captured update is the CPU's but for rounding, and a run resumes to the same bytes."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from test_training import SMALL, TASK, VARIANTS, trained

from tdm_ros.envs.goal_env import make_goal_env
from tdm_ros.training.checkpoint import load_learner, save_checkpoint
from tdm_ros.training.learner import Learner

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="PyTorch finds no CUDA device")


def fresh(config, device="cuda", compiled=False):
    return Learner(make_goal_env(TASK)[1], config, 0, compiled, device)


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "compiled"])
@pytest.mark.parametrize("config", VARIANTS.values(), ids=VARIANTS)
def test_an_update_on_the_gpu_is_the_cpus_but_for_rounding(config, compiled):
    config = replace(config, initial_gradient_steps=3)
    there, here = trained(fresh(config, compiled=compiled), 60), trained(fresh(config, "cpu"), 60)
    assert there.updates == here.updates == 3
    for name, tensor in there.agent.actor_tensors().items():
        np.testing.assert_allclose(tensor, here.agent.actor_tensors()[name], rtol=1e-3, atol=1e-4, err_msg=name)
    for name, tensor in there.agent.state().items():
        np.testing.assert_allclose(tensor, here.agent.state()[name], rtol=1e-3, atol=1e-4, err_msg=name)
    assert there.losses == pytest.approx(here.losses, rel=1e-3)


def test_a_run_on_the_gpu_resumes_to_the_same_bytes(tmp_path):
    whole, half = trained(fresh(SMALL), 200), trained(fresh(SMALL), 100)
    save_checkpoint(tmp_path, half)
    resumed = trained(load_learner(tmp_path, half.task, device="cuda"), 200)
    assert resumed.updates == whole.updates
    assert resumed.actor_bytes() == whole.actor_bytes()


def test_what_was_learned_on_the_gpu_acts_and_goes_on_learning_on_the_cpu(tmp_path):
    learner = trained(fresh(SMALL), 100)
    save_checkpoint(tmp_path, learner)
    moved = load_learner(tmp_path, learner.task)
    assert moved.actor_bytes() == learner.actor_bytes()
    updates = moved.updates
    assert trained(moved, 120).updates > updates
