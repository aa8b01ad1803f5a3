"""Learning from recordings: which transitions count, what is rejected, and that a run can be resumed."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from recording_for_tests import PARTS, STEPS, Part, changed, messages, older_recording, recording, truncate, write_log

from tdm_ros import TDM
from tdm_ros.cli import main
from tdm_ros.control.timeline import Source
from tdm_ros.data.bag import write_bag
from tdm_ros.data.edit import Selection, merge, trim
from tdm_ros.data.export import export
from tdm_ros.data.log import read_transitions
from tdm_ros.data.pairing import chains
from tdm_ros.data.recording import DataError, Recording
from tdm_ros.data.sources import read
from tdm_ros.data.summary import check, summarise
from tdm_ros.data.table import commanded_pieces, episodes, to_table
from tdm_ros.live.learner import OnlineLearner
from tdm_ros.tasks import SAWYER_REACH
from tdm_ros.tdm.config import TdmConfig
from tdm_ros.training.experience import read_experience
from tdm_ros.training.learner import Learner

TASK = SAWYER_REACH["velocity"]
SMALL = TdmConfig(hidden_size=16, batch_size=16, learning_starts=30, initial_gradient_steps=10)
COMMANDED = 4 * STEPS - 2
LONG = tuple(Part(n, (Source.POLICY,) * 40) for n in range(1, 4))


def log(folder: Path, made: Recording | None = None) -> Path:
    write_log(folder / "log_mcap", made or recording())
    return folder


def test_experience_is_what_the_live_trainer_makes_of_the_same_log(tmp_path: Path) -> None:
    path = log(tmp_path / "run")
    found = read_experience([path], TASK)
    live = OnlineLearner(Learner(TASK, SMALL, 0))
    live.rebuild(read_transitions(path / "log_mcap", TASK.fingerprint))
    assert len(found.steps) == COMMANDED and found.problems == [] and found.repeated == 0
    offline = Learner(TASK, SMALL, 0)
    for step, last, human in found.steps:
        offline.add(step, last, human)
    kept, seen = live.learner.store.dump(), offline.store.dump()
    assert seen["human"].sum() == 5 + STEPS
    for name in ("observation", "action", "desired", "next_achieved", "human"):  # the live one still waits for its last
        np.testing.assert_array_equal(seen[name][: len(kept[name])], kept[name])
    assert [last for _, last, _ in found.steps].count(True) == 5


def test_experience_takes_each_transition_once(tmp_path: Path) -> None:
    whole = log(tmp_path / "run")
    write_bag(tmp_path / "human", trim(recording(), Selection(sources=frozenset({"human"}))))
    found = read_experience([whole, tmp_path / "human"], TASK)
    assert len(found.steps) == COMMANDED and found.repeated == 5 + STEPS
    other = read_experience([tmp_path / "human", whole], TASK)
    assert len(other.steps) == COMMANDED


def test_experience_pieces_end_where_something_is_missing(tmp_path: Path) -> None:
    content = [one for one in messages(PARTS[:1]) if one[1].get("cycle") != 109]
    content = changed(content, 8, action=[float("nan")] * 7)
    found = read_experience([log(tmp_path / "run", recording(content))], TASK)
    assert [i for i, (_, last, _) in enumerate(found.steps) if last] == [3, 7, STEPS - 3]
    assert len(found.problems) == 1 and "1 transitions cannot be used" in found.problems[0]


def test_experience_of_a_truncated_log_is_its_whole_transitions(tmp_path: Path) -> None:
    path = log(tmp_path / "run") / "log_mcap" / "0000.mcap"
    truncate(path, recording(), 25)
    found = read_experience([tmp_path / "run"], TASK)
    assert 0 < len(found.steps) < COMMANDED and found.steps[-1][1]
    assert "ends in the middle of a record" in found.problems[0]


def test_transition_with_a_changed_byte_in_its_task_costs_no_other(tmp_path: Path) -> None:
    name = TASK.fingerprint[:-1] + "?"
    made = recording(changed(messages(), 5, task=name))
    found = read_experience([log(tmp_path / "run", made)], TASK)
    assert len(found.steps) == COMMANDED - 1 and any(name in problem for problem in found.problems)
    merged, _ = merge([made, recording(messages(seed=1))], "both")
    assert len(merged.messages) == 2 * len(made.messages)
    for form, count in (("lerobot", COMMANDED - 1), ("npz", len(to_table(made)))):
        assert export(made, form, tmp_path / f"{form}.npz").transitions == count
    table = to_table(made)
    assert any("1 transitions" in sentence and "task" in sentence for sentence in check(made, table))
    assert summarise(made, table).tasks == [TASK.fingerprint]


def test_experience_of_another_task_or_without_any_is_rejected(tmp_path: Path) -> None:
    foreign = log(tmp_path / "other", recording(messages(PARTS[:1], task_name="sawyer_push")))
    with pytest.raises(DataError, match=r"recorded for task sawyer_push:.*expected sawyer_reach_velocity:"):
        read_experience([foreign], TASK)
    resets = log(tmp_path / "resets", recording(messages((Part(0, (Source.RESET,) * 9),))))
    with pytest.raises(DataError, match="to learn from"):
        read_experience([resets], TASK)


def test_learn_from_makes_its_updates_and_owes_none(tmp_path: Path) -> None:
    agent = TDM("sawyer_reach", SMALL).learn_from(log(tmp_path / "run"), updates=17)
    learner = agent.learner
    assert (agent.steps, agent.updates, learner.transitions, learner.recorded_transitions) == (
        0,
        17,
        COMMANDED,
        COMMANDED,
    )
    assert learner.updates_due() == 0 and learner.progress == 0
    agent.learn(10)
    assert (agent.steps, agent.updates) == (10, 17 + 10 * SMALL.gradient_steps)
    agent.learn_from([tmp_path / "run"], updates=0)
    assert (agent.steps, agent.updates, learner.updates_due()) == (10, 67, 0)


def test_learn_from_by_default_makes_the_updates_that_its_steps_allow(tmp_path: Path) -> None:
    reports: list[int] = []
    agent = TDM("sawyer_reach", SMALL).learn_from(log(tmp_path / "run"), progress=reports.append)
    assert agent.updates == sum(reports) == COMMANDED * SMALL.gradient_steps
    assert len(reports) > 1


def test_learn_from_takes_statistics_from_all_that_was_recorded(tmp_path: Path) -> None:
    agent = TDM("sawyer_reach", SMALL).learn_from(log(tmp_path / "run", recording(messages(LONG))), 1)
    seen = agent.learner.store.rows(np.arange(120))["observation"]
    assert agent.learner.agent is not None
    tensors = agent.learner.agent.actor_tensors()
    means = [value for value in tensors.values() if np.shape(value) == (17,)]
    assert any(np.allclose(value, seen.mean(axis=0), atol=1e-5) for value in means)


def test_learn_from_warns_of_damage_and_rejects_too_few_transitions(tmp_path: Path) -> None:
    path = log(tmp_path / "run") / "log_mcap" / "0000.mcap"
    truncate(path, recording(), 50)
    with pytest.warns(UserWarning, match="ends in the middle of a record"):
        TDM("sawyer_reach", SMALL).learn_from(tmp_path / "run", updates=1)
    with (
        warnings.catch_warnings(),
        pytest.raises(ValueError, match=r"expected at least learning_starts = 100.*give more"),
    ):
        warnings.simplefilter("ignore")
        TDM("sawyer_reach").learn_from(tmp_path / "run")
    with pytest.raises(ValueError, match=r"updates must be a whole number >= 0, got -1"):
        TDM("sawyer_reach", SMALL).learn_from(log(tmp_path / "good"), updates=-1)


def test_learn_from_is_kept_by_a_checkpoint(tmp_path: Path) -> None:
    agent = TDM("sawyer_reach", replace(SMALL, total_timesteps=60)).learn_from(log(tmp_path / "run"), updates=20)
    agent.save(tmp_path / "mine")
    loaded = TDM.load(tmp_path / "mine")
    assert (loaded.steps, loaded.learner.recorded_transitions) == (0, COMMANDED)
    for one in (agent, loaded):
        one.learn(60)
    assert agent.updates == loaded.updates == 20 + 60 * SMALL.gradient_steps
    assert agent.learner.actor_bytes() == loaded.learner.actor_bytes()


def train(out: Path, *more: object) -> int:
    settings = ["--hidden-size", "16", "--batch-size", "16", "--learning-starts", "30"]
    given = ["train", "--out", out, "--validate-every", 0, "--save-every", 50, *settings, *more]
    return main(list(map(str, given)))


def test_train_continues_and_can_be_run_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = ("--data", log(tmp_path / "run"), "--offline-steps", 25)
    assert train(tmp_path / "out", "--steps", 60, *data) == 0
    agent = TDM.load(tmp_path / "out")
    assert (agent.steps, agent.updates, agent.learner.recorded_transitions) == (60, 25 + 60 * 5, COMMANDED)
    assert f"{COMMANDED} transitions from 1 recordings, 25 updates" in capsys.readouterr().err
    assert train(tmp_path / "out", "--steps", 60, *data) == 0
    assert TDM.load(tmp_path / "out").updates == agent.updates
    assert "transitions from" not in capsys.readouterr().err
    assert train(tmp_path / "out", "--steps", 60) == 2
    assert "was trained with recordings" in capsys.readouterr().err


def test_train_from_recordings_alone(tmp_path: Path) -> None:
    assert train(tmp_path / "out", "--steps", 0, "--data", log(tmp_path / "run"), "--offline-steps", 5) == 0
    assert (TDM.load(tmp_path / "out").steps, TDM.load(tmp_path / "out").updates) == (0, 5)


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (("--steps", 0), "steps must be >= 1"),
        (("--steps", 10, "--offline-steps", 5), "no recording was given"),
        (("--steps", 10, "--data", "nowhere"), "nowhere does not exist"),
        (("--steps", 10, "--task", "reacher", "--data", "run"), "recorded for task sawyer_reach_velocity"),
    ],
)
def test_train_rejects_with_a_sentence(
    tmp_path: Path, more: tuple, sentence: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    log(tmp_path / "run")
    monkeypatch.chdir(tmp_path)
    assert train(tmp_path / "out", *more) == 2
    err = capsys.readouterr().err
    assert err.startswith("tdm_ros train: ") and sentence in err
    assert not (tmp_path / "out").exists()


# Several arms, or several versions, in one recording: each trajectory has the steps of one


PIECES = 5


def arm(number: int, older: bool = False) -> Recording:
    """What one arm recorded; the cycles, episodes and times of all are the same."""
    content = messages(PARTS, seed=number)
    named = [
        (topic, one | {"run": f"run {number}", "arm": f"arm{number}"} if "action" in one else one)
        for topic, one in content
    ]
    return older_recording(named) if older else recording(named)


def in_turns(one: Recording, other: Recording) -> Recording:
    """One message of each in turn, in one recording with the same topics."""
    return merge([one, other], "both")[0]


def on_topics(one: Recording, other: Recording) -> Recording:
    """As `ros2 bag record` has two arms: each under its namespace."""
    channels = tuple(
        replace(c, topic=f"/arm{number}{c.topic}") for number, made in enumerate((one, other)) for c in made.channels
    )
    moved = [m._replace(channel=m.channel + len(one.channels)) for m in other.messages]
    pairs = zip_longest(one.messages, moved)
    return Recording("both", channels, [m for pair in pairs for m in pair if m is not None])


def jumps(states: Sequence[Any], following: Sequence[Any]) -> int:
    return sum((a != b).any() for a, b in zip(states, following, strict=True))


JOINED = {"merged": in_turns, "two topics": on_topics}


@pytest.mark.parametrize("older", [False, True], ids=["with runs", "without runs"])
@pytest.mark.parametrize("joined", JOINED.values(), ids=JOINED.keys())
def test_two_arms_are_learned_from_as_each_alone(tmp_path: Path, joined: Any, older: bool) -> None:
    alone = [arm(number, older) for number in (1, 2)]
    write_bag(tmp_path / "both", joined(*alone))
    found = read_experience([tmp_path / "both"], TASK)
    assert len(found.steps) == 2 * COMMANDED and found.repeated == 0 and found.problems == []
    inside = [i for i, (_, last, _) in enumerate(found.steps) if not last]
    after = [found.steps[i + 1][0].observation for i in inside]
    assert jumps([found.steps[i][0].next_observation for i in inside], after) == 0
    assert sum(last for _, last, _ in found.steps) == 2 * PIECES
    expected = set()
    for number, made in enumerate(alone):
        write_bag(tmp_path / str(number), made)
        expected |= {s.observation.tobytes() for s, _, _ in read_experience([tmp_path / str(number)], TASK).steps}
    assert {s.observation.tobytes() for s, _, _ in found.steps} == expected


@pytest.mark.parametrize("older", [False, True], ids=["with runs", "without runs"])
@pytest.mark.parametrize("joined", JOINED.values(), ids=JOINED.keys())
def test_two_arms_are_exported_and_counted_as_each_alone(tmp_path: Path, joined: Any, older: bool) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    both = joined(arm(1, older), arm(2, older))
    write_bag(tmp_path / "both", both)
    back = read(tmp_path / "both")
    table = to_table(back)
    assert len(commanded_pieces(table)) == 2 * PIECES and len(episodes(table)) == 2 * 4
    assert check(back, table) == []
    found = summarise(back, table)
    assert (found.pieces, found.episodes["count"], found.gaps) == (2 * PIECES, 2 * 4, 0)
    assert export(back, "lerobot", tmp_path / "lerobot").transitions == 2 * COMMANDED
    rows = parquet.read_table(tmp_path / "lerobot/data/chunk-000/file-000.parquet").to_pydict()
    episode, state, after = (np.array(rows[name]) for name in ("episode_index", "observation.state", "next.state"))
    assert episode.tolist() == sorted(episode) and episode[-1] == 2 * PIECES - 1
    same = np.flatnonzero(np.diff(episode) == 0)
    assert jumps(after[same], state[same + 1]) == 0


def test_recording_of_two_versions_is_counted_whole(tmp_path: Path) -> None:
    both = in_turns(arm(1, older=True), arm(2))
    write_bag(tmp_path / "both", both)
    back = read(tmp_path / "both")
    found = summarise(back, to_table(back))
    assert (found.damaged, found.pieces) == (0, 2 * PIECES)


def test_chains_follow_whatever_the_order() -> None:
    rng = np.random.default_rng(0)
    items = [(arm, cycle) for arm in "abc" for cycle in (1, 2, 3, 4, 6, 7)]
    order = rng.permutation(len(items))
    mixed = [items[i] for i in order]
    found = chains(mixed, [(arm, cycle + 1) for arm, cycle in mixed])
    assert sorted([mixed[i] for i in chain] for chain in found) == sorted(
        [[(arm, c) for c in part] for arm in "abc" for part in ((1, 2, 3, 4), (6, 7))]
    )
    assert chains([], []) == [] and chains([1, 1], [2, 2]) == [[0], [1]]
