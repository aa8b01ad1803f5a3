"""The library: learn, act, save, load; callbacks; what it says to wrong input."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tasks_for_tests import POINT, PointEnv, make_point

from tdm_ros import TDM, TdmConfig
from tdm_ros.envs.wrappers import Noise
from tdm_ros.training.callbacks import Callback, Checkpoints, CsvLogger, ProgressBar, TensorBoardLogger
from tdm_ros.training.metrics import EpisodeRow, MetricsFile, read_metrics

SMALL = TdmConfig(hidden_size=16, batch_size=32, learning_starts=60, initial_gradient_steps=40, gradient_steps=1)
NAME = "tasks_for_tests:make_point"
SEEN = {"observation": [0.1, 1.0], "achieved_goal": [0.1], "desired_goal": [0.5]}


@pytest.fixture(scope="module")
def learned() -> TDM:
    return TDM(NAME, TdmConfig(hidden_size=32, batch_size=64, learning_starts=100, gradient_steps=2)).learn(800)


def weights(agent: TDM) -> bytes:
    return agent.learner.actor_bytes()


def test_import_of_the_package_imports_neither_torch_nor_numpy():
    script = (
        "import sys, tdm_ros, tdm_ros.tdm.actor; assert 'torch' not in sys.modules; from tdm_ros import TDM; "
        "assert 'torch' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True, cwd=Path(__file__).parent.parent)


def test_package_attribute_unknown_says_which_there_are():
    with pytest.raises(ImportError, match="TDN"):
        exec("from tdm_ros import TDN")


def test_learned_agent_reaches_its_goals_in_the_units_of_the_environment_that_it_was_given(learned):
    env = make_point()
    agent = TDM((env, learned.task))
    agent.learner = learned.learner
    finals = []
    for seed in range(10):
        seen, _ = env.reset(seed=1000 + seed)
        for step in range(20):
            seen, *_ = env.step(agent.predict(seen, steps_left=max(10 - step, 0)))
        finals.append(abs(seen["achieved_goal"] - seen["desired_goal"])[0])
    assert np.median(finals) < 0.05
    assert agent.predict(SEEN) == pytest.approx(0.1 * learned.predict(SEEN))


def test_learning_with_a_description_brings_the_actions_to_one(learned):
    agent = TDM((make_point(), learned.task), SMALL).learn(20)
    assert agent.env.action_space.high == 1
    moved = agent.learner.store.column("next_achieved", np.arange(20)) - agent.learner.store.column(
        "achieved", np.arange(20)
    )
    assert np.abs(moved).max() <= 0.1 + 1e-6


def test_predict_of_a_batch_equals_one_by_one(learned):
    batch = {key: np.array([value, value]) for key, value in SEEN.items()}
    both = learned.predict(batch, goal=[[0.2], [-0.4]], steps_left=[3, 0])
    assert both.shape == (2, 1)
    assert both[0] == learned.predict(SEEN, goal=[0.2], steps_left=3)
    assert both[1] == learned.predict(SEEN, goal=[-0.4], steps_left=0)
    assert learned.predict(SEEN, goal=[[0.2], [-0.4]]).shape == (2, 1)


def test_predict_leaves_the_goal_to_the_observation(learned):
    assert learned.predict(SEEN) == learned.predict(SEEN, goal=[0.5])
    assert learned.predict(SEEN) != learned.predict(SEEN, goal=[-0.5])


@pytest.mark.parametrize(
    ("seen", "goal", "message"),
    [
        (SEEN, [0.1, 0.2], r"goal must have shape \(1,\) or \(B, 1\) for goal_0, got \(2,\)"),
        (SEEN | {"observation": [0.1]}, None, r"observation must have shape \(2,\) .*got \(1,\)"),
        (SEEN, [np.nan], "goal must be finite, got"),
        ({"observation": [0.1, 1.0]}, None, "lacks achieved_goal, desired_goal"),
        (SEEN | {"observation": np.ones((3, 2))}, np.ones((2, 1)), "batches of one size"),
    ],
)
def test_predict_of_what_does_not_fit_gives_the_reason(learned, seen, goal, message):
    with pytest.raises(ValueError, match=message):
        learned.predict(seen, goal)


def test_predict_before_learning_names_the_remedy():
    with pytest.raises(RuntimeError, match=r"no update was made after 0 steps: call learn\(\) with more than 60 steps"):
        TDM(NAME, SMALL).predict(SEEN)


def test_saved_agent_is_the_same_and_continues_identically(learned, tmp_path):
    first = TDM(make_point(), SMALL, seed=4).learn(100)
    again = TDM.load(first.save(tmp_path), make_point())
    assert (again.steps, again.updates) == (100, first.updates)
    assert weights(again) == weights(first)
    assert weights(again.learn(60)) == weights(first.learn(60))
    assert again.steps == 160


def test_two_agents_with_one_seed_are_equal_bit_for_bit_and_another_seed_differs():
    one, two, other = (weights(TDM(NAME, SMALL, seed).learn(120)) for seed in (3, 3, 4))
    assert one == two != other


def test_validation_does_not_disturb_learning():
    assert weights(TDM(NAME, SMALL).learn(120)) == weights(TDM(NAME, SMALL).learn(120, validate_every=50))


def test_schedule_ends_with_the_last_call_unless_the_settings_say_otherwise():
    agent = TDM(NAME, SMALL).learn(80).learn(40)
    assert agent.learner.config.total_timesteps == 120 and agent.learner.progress == 1.0
    fixed = TDM(NAME, TdmConfig(learning_starts=60, total_timesteps=400)).learn(40)
    assert fixed.learner.progress == pytest.approx(0.1)


def test_environment_object_validates_only_with_one_of_its_own():
    with pytest.raises(ValueError, match="give TDM a test_env"):
        TDM(make_point(), SMALL).learn(20, validate_every=10)
    TDM(make_point(), SMALL, test_env=make_point()).learn(20, validate_every=10)


class Note(Callback):
    """Notes what it is told, and stops after a number of steps or episodes."""

    def __init__(self, steps: int = 10**9, episodes: int = 10**9) -> None:
        self.steps, self.episodes, self.told = steps, episodes, []

    def on_start(self, agent):
        self.told.append("start")

    def on_step(self, agent):
        self.told.append("step")
        return self.told.count("step") < self.steps

    def on_episode(self, agent, row):
        self.told.append(row.mode)
        return self.told.count("train") < self.episodes

    def on_validation(self, agent, rows):
        self.told.append(len(rows))

    def on_end(self, agent):
        self.told.append("end")


def test_callback_is_called_for_steps_episodes_and_validations_in_order():
    note = Note()
    TDM(NAME, SMALL).learn(120, [note], validate_every=100)
    assert note.told[0] == "start" and note.told[-1] == "end"
    assert note.told.count("step") == 120 and note.told.count("train") == 6
    assert note.told[1 + 100 + 4] == 20, "a validation of 20 episodes, within the fifth training episode"


def test_callback_that_returns_false_stops_at_once_or_after_the_episode():
    at_step, at_episode = Note(steps=33), Note(episodes=2)
    assert TDM(NAME, SMALL).learn(1000, at_step).steps == 33
    agent = TDM(NAME, SMALL).learn(1000, callback=at_episode)
    assert agent.steps == 40 and at_episode.told[-1] == "end"
    assert agent.learn(20).steps == 60, "it can go on"


def test_callback_is_closed_after_an_error():
    note = Note()
    agent = TDM(NAME, SMALL)
    agent.env.step = None
    with pytest.raises(TypeError):
        agent.learn(10, [note])
    assert note.told == ["start", "end"]


def test_callbacks_of_a_run_leave_what_the_console_program_reads(tmp_path, capsys):
    agent = TDM(NAME, SMALL)
    callbacks = [ProgressBar(), CsvLogger(tmp_path), TensorBoardLogger(tmp_path / "board"), Checkpoints(tmp_path, 50)]
    agent.learn(130, callbacks, validate_every=100)
    rows = list(read_metrics(tmp_path))
    assert [row.mode for row in rows].count("validate") == 20
    assert [row.step for row in rows if row.mode == "train"] == [20, 40, 60, 80, 100, 120, 130]
    assert list((tmp_path / "board").iterdir())
    assert TDM.load(tmp_path).steps == 120, "the last end of an episode 50 steps after the one before"
    assert "130/130" in capsys.readouterr().err


def test_metrics_later_than_the_checkpoint_are_dropped_with_a_torn_line(tmp_path):
    file = MetricsFile(tmp_path)
    rows = [EpisodeRow(1.0, step, step // 20, "train", 0.1 / 3, 0, "time_limit", "0.1") for step in (20, 40, 60)]
    for row in rows:
        file.append(row)
    file.close()
    with (tmp_path / "metrics.csv").open("a") as torn:
        torn.write("4.0,80,4,tra")
    MetricsFile(tmp_path, 40).append(rows[2])
    assert list(read_metrics(tmp_path)) == rows
    assert (tmp_path / "metrics.csv").read_text().count("\n") == 4


def test_load_with_an_environment_of_other_sizes_names_both(learned, tmp_path):
    learned.save(tmp_path)
    with pytest.raises(ValueError, match=r"with observations of 2 numbers, task sawyer_reach_velocity has 17; give"):
        TDM.load(tmp_path, "sawyer_reach")
    with pytest.raises(ValueError, match=r"environment is point:.*different name, .*; give the environment"):
        TDM.load(tmp_path, (PointEnv(), POINT))


def test_load_of_an_agent_of_an_environment_object_asks_for_it(tmp_path):
    TDM(make_point(), SMALL).learn(20).save(tmp_path)
    with pytest.raises(
        ValueError, match=r"in an environment object of task PointEnv: pass it, TDM\.load\(\.\.\., env=\.\.\.\)"
    ):
        TDM.load(tmp_path)


def test_agent_with_noise_is_loaded_with_it_and_continues_identically(tmp_path):
    noise = Noise(action=0.2, observation=0.1)
    first = TDM(NAME, SMALL, noise=noise).learn(100)
    again = TDM.load(first.save(tmp_path))
    assert again.noise == noise
    assert weights(again.learn(60)) == weights(first.learn(60)) != weights(TDM(NAME, SMALL).learn(100).learn(60))


def test_documented_lines_run_as_they_stand(tmp_path, monkeypatch, capsys):
    text = (Path(__file__).parent.parent / "docs" / "library.md").read_text()
    code = "\n".join(re.findall(r"```python\n(.*?)```", text, re.DOTALL))
    for shown, small in (
        ('"sawyer_reach"', f'"{NAME}"'),
        ("seed=0)", "seed=0, config=small)"),
        ("5000", "200"),
        ("1000", "40"),
        ("[0.6, 0.2, 0.3]", "[0.6]"),
    ):
        assert shown in code
        code = code.replace(shown, small)
    monkeypatch.chdir(tmp_path)
    exec(code, {"small": SMALL})
    assert {"checkpoint", "calibration.png", "metrics.csv"} <= {path.name for path in Path("runs/mine").iterdir()}
    assert "Reachability" in capsys.readouterr().out
