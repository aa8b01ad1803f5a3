"""Configuration of the learner, one frozen dataclass, which is part of every checkpoint; names of earlier versions."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from numbers import Integral, Real
from typing import Any, Literal, get_args, get_type_hints

from tdm_ros.replay.relabel import GoalMix
from tdm_ros.tdm.actor import LAST_SEGMENT_PARTS, HorizonSchedule

Critic = Literal["residual", "structured", "unstructured"]
Backbone = Literal["td3", "ddpg", "sac"]
ActionNoise = Literal["gaussian", "ou"]


@dataclass(frozen=True)
class TdmConfig:
    """Settings of `TdmAgent` and `Learner`. Distances are multiples of the task's goal scale unless a unit is given.

    Parameters
    ----------
    critic : "residual", "structured" or "unstructured"
        Output of a critic: the displacement from the present point to the predicted one; the predicted point itself
        (the paper's structured form, Q = -|f - g|); or the distance.
    vector_distance : bool
        Whether the distance is learned per goal dimension, or as one number (the Euclidean norm).
    backbone : "td3", "ddpg" or "sac"
        Twin critics and a deterministic actor; a single critic; or twin critics and a stochastic actor with a target
        entropy of minus one per action (the entropy is part of the actor's loss only: a critic predicts a distance).
    one_step_model : bool
        Whether the motion of one step is learned by regression, affine in the action, without a goal. Its closed-form
        action is used where no further step is left; longer horizons start from its prediction, and the actor corrects
        its action. It requires a residual critic.
    relative_goal : bool
        Whether the networks receive the goal minus the achieved goal, or the goal itself.
    scale_by_reachable_distance : bool
        Whether displacements and distances are divided by the distance that is reachable in the remaining time, as
        measured in the random phase.
    layer_norm : bool
        Whether hidden layers are normalised.
    hidden_size : int
        Width of both hidden layers.
    batch_size : int
        Transitions per update.
    learning_rate : float
        Adam step size of the critics.
    actor_learning_rate_factor : float
        Step size of the actor, as a multiple of ``learning_rate``.
    final_learning_rate_factor : float
        Learning rate at ``total_timesteps``, as a fraction of the initial one; it decreases linearly.
    polyak : float
        Rate of the soft update of the target networks (the paper's soft tau).
    target_update_interval : int
        Environment steps between two hard updates of the target networks, which replace the soft ones; 0: none.
    actor_ema : float
        Rate of the exponential moving average of the actor that acts; 1: the learned actor itself.
    huber_loss : bool
        Whether the critics' loss is linear for errors above one.
    loss_scale : float
        Factor of the distances in the critics' loss.
    action_penalty : float
        Weight of the penalty on squared actions, relative to the mean gradient of the distance over the actions. It
        decreases with the predicted distance, so that the arm rests at the goal.
    target_policy_noise : float
        Standard deviation of the noise on the target policy's actions, clipped to 2.5 times that (TD3's smoothing)
        [action units].
    policy_delay : int
        Critic updates per update of actor and target networks (TD3's delay).
    near_scale : float
        Width of the tanh of the second difference input.
    gradient_steps : int
        Gradient updates per environment step.
    learning_starts : int
        Environment steps with random actions before the first update; they determine the normalisation.
    initial_gradient_steps : int
        Gradient updates at ``learning_starts``.
    total_timesteps : int
        Environment steps over which learning rate and exploration decrease; 0: both are constant.
    action_noise_std : float
        Standard deviation of the exploration noise [action units].
    action_noise : "gaussian" or "ou"
        Independent noise, with a uniform action now and then, or an Ornstein-Uhlenbeck process.
    horizon_schedule : "segments", "fine_segments", "hold" or "cycle"
        How ``steps_left`` is set while acting. "segments": the episode is divided into the fewest equal segments that
        have at most one step more than the longest horizon, and ``steps_left`` counts down in each; without a known end
        of the episode, the horizon is selected by its predicted distance (`HorizonSelector`). "fine_segments": the
        same, with the last segment divided into three. "hold": it counts down once and stays at 0. "cycle": it counts
        down repeatedly (the paper).
    operator_fraction : float
        Fraction of each batch, in [0, 0.5], that is drawn from the operator's transitions, if there are any; the rest
        is drawn from all transitions.
    goals : GoalMix
        Distribution of the goals in hindsight.
    """

    critic: Critic = "residual"
    vector_distance: bool = True
    backbone: Backbone = "td3"
    one_step_model: bool = True
    relative_goal: bool = True
    scale_by_reachable_distance: bool = True
    layer_norm: bool = True
    hidden_size: int = 128
    batch_size: int = 128
    learning_rate: float = 1e-3
    actor_learning_rate_factor: float = 1.0
    final_learning_rate_factor: float = 0.2
    polyak: float = 0.01
    target_update_interval: int = 0
    actor_ema: float = 0.002
    huber_loss: bool = False
    loss_scale: float = 5.0
    action_penalty: float = 0.5
    target_policy_noise: float = 0.0
    policy_delay: int = 1
    near_scale: float = 0.15
    gradient_steps: int = 5
    learning_starts: int = 100
    initial_gradient_steps: int = 300
    total_timesteps: int = 0
    action_noise_std: float = 0.2
    action_noise: ActionNoise = "gaussian"
    horizon_schedule: HorizonSchedule = "segments"
    operator_fraction: float = 0.25
    goals: GoalMix = field(default_factory=GoalMix)

    def __new__(cls, *arguments: Any, **settings: Any) -> TdmConfig:
        """Reject names of earlier versions with the present name, and unknown ones."""
        reject_unknown_names(settings, cls.__dataclass_fields__)
        return super().__new__(cls)

    def __post_init__(self) -> None:
        for name, kind in get_type_hints(type(self)).items():
            value, choices = getattr(self, name), get_args(kind)
            if choices and value not in choices:
                raise ValueError(f"TdmConfig.{name} must be one of {', '.join(choices)}, got {value!r}")
            if kind is bool and not isinstance(value, bool):
                raise ValueError(f"TdmConfig.{name} must be true or false, got {value!r}")
            if kind is GoalMix and not isinstance(value, GoalMix):
                raise ValueError(f"TdmConfig.goals must be a GoalMix, got {value!r}")
            if kind in (int, float):
                object.__setattr__(self, name, _number(name, value, kind))
        for names, fits, expected in _BOUNDS:
            for name in names.split():
                if not fits(getattr(self, name)):
                    raise ValueError(f"TdmConfig.{name} must be {expected}, got {getattr(self, name)!r}")
        if self.one_step_model and self.critic != "residual":
            raise ValueError(
                f'TdmConfig.one_step_model needs critic "residual", got "{self.critic}": set one_step_model=False, too'
            )
        if self.critic == "unstructured" and self.horizon_schedule in LAST_SEGMENT_PARTS:
            raise ValueError(
                f'TdmConfig.horizon_schedule "{self.horizon_schedule}" needs a critic that predicts a point: '
                "residual or structured"
            )

    @property
    def critics(self) -> int:
        """Number of critics."""
        return 1 if self.backbone == "ddpg" else 2

    def progress(self, steps: int) -> float:
        """Fraction of ``total_timesteps`` that ``steps`` environment steps are, in [0, 1]; 0 without that number."""
        return min(1.0, steps / self.total_timesteps) if self.total_timesteps else 0.0

    def to_json(self) -> dict[str, Any]:
        """Plain data for a checkpoint."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> TdmConfig:
        """Rebuild from `to_json` data.

        Raises
        ------
        ValueError
            If a field is unknown or out of range.
        """
        try:
            return cls(**{**data, "goals": GoalMix(**data["goals"])})
        except (KeyError, TypeError) as error:
            raise ValueError(f"not a learner configuration: {error}") from error

    @classmethod
    def preset(cls, name: str) -> TdmConfig:
        """The settings called ``name``: "default", or "paper" (docs/algorithm.md lists its differences from the paper).

        Raises
        ------
        ValueError
            If the name is unknown.
        """
        if name not in PRESETS:
            raise ValueError(f"preset must be one of {', '.join(PRESETS)}, got {name!r}")
        return cls(**PRESETS[name])


def _number(name: str, value: Any, kind: type) -> int | float:
    """A setting as int or float. Raises ValueError if it is neither, not finite, or a fraction in place of an int."""
    abstract, expected = (Integral, "whole") if kind is int else (Real, "finite")
    if isinstance(value, bool) or not isinstance(value, abstract) or not math.isfinite(value):
        raise ValueError(f"TdmConfig.{name} must be a {expected} number, got {value!r}")
    return kind(value)


_BOUNDS: tuple[tuple[str, Any, str], ...] = (
    ("hidden_size batch_size gradient_steps learning_starts policy_delay", lambda value: value >= 1, ">= 1"),
    ("learning_rate actor_learning_rate_factor loss_scale near_scale", lambda value: value > 0, "positive"),
    ("polyak actor_ema final_learning_rate_factor", lambda value: 0 < value <= 1, "in (0, 1]"),
    (
        "total_timesteps action_noise_std action_penalty initial_gradient_steps target_policy_noise "
        "target_update_interval",
        lambda value: value >= 0,
        ">= 0",
    ),
    ("operator_fraction", lambda value: 0 <= value <= 0.5, "in [0, 0.5]"),
)
"""Fields, test and description of their bounds."""

PRESETS: dict[str, dict[str, Any]] = {
    "default": {},
    "paper": dict(
        critic="structured",
        backbone="ddpg",
        one_step_model=False,
        relative_goal=False,
        scale_by_reachable_distance=False,
        layer_norm=False,
        hidden_size=300,
        actor_learning_rate_factor=0.1,
        final_learning_rate_factor=1.0,
        polyak=0.001,
        actor_ema=1.0,
        huber_loss=True,
        loss_scale=10.0,
        action_penalty=0.0,
        gradient_steps=25,
        learning_starts=1000,
        initial_gradient_steps=0,
        action_noise_std=0.1,
        action_noise="ou",
        horizon_schedule="cycle",
        goals=GoalMix(future=0.75, buffer=0.0, box=0.0, near=0.0, rollout=0.25, span=0),
    ),
}

# Names of earlier checkpoint schemas and of today: files with old names are read, old keywords are rejected.
RENAMED_SETTINGS = {
    "vector": "vector_distance",
    "difference": "relative_goal",
    "reach": "scale_by_reachable_distance",
    "hidden": "hidden_size",
    "actor_rate": "actor_learning_rate_factor",
    "final_learning_rate": "final_learning_rate_factor",
    "copy_every": "target_update_interval",
    "average": "actor_ema",
    "huber": "huber_loss",
    "effort": "action_penalty",
    "target_noise": "target_policy_noise",
    "actor_every": "policy_delay",
    "updates_per_step": "gradient_steps",
    "random_steps": "learning_starts",
    "catch_up_updates": "initial_gradient_steps",
    "total_steps": "total_timesteps",
    "noise": "action_noise_std",
    "walk": "action_noise",
    "running": "horizon_schedule",
    "human_share": "operator_fraction",
}
"""Fields of `TdmConfig`."""
REMOVED_SETTINGS = {
    "race": "the default has no selection of modes any more",
    "mode_selection": "the default has no selection of modes any more",
}
"""Former fields of `TdmConfig`, with what replaces them."""
RENAMED_VALUES = {"align": "segments", "fine": "fine_segments"}
"""Horizon schedules, and modes of acting."""
RENAMED_INDEX = {"race": "mode_selection", "recorded": "recorded_transitions", "waived": "skipped_updates"}
"""Entries of checkpoint.json."""
RENAMED_MODES = {"acts": "selected"}
"""Entries of its part on the modes of acting, of which one was selected."""
RENAMED_TENSORS = {
    "actor.running": "actor.horizon_schedule",
    "features.reaches": "features.reachable_distances",
    "features.difference": "features.relative_goal",
    "learned.average_actor": "learned.actor_ema",
}
"""Tensors, also below a prefix."""


OTHER_LIBRARIES = {
    "gamma": "a TDM has no discount: its horizon limits the time",
    "tau": "did you mean polyak?",
    "buffer_size": "the replay buffer holds the last million transitions",
    "policy_kwargs": "did you mean hidden_size?",
    "train_freq": "did you mean gradient_steps?",
    "verbose": "learn(progress_bar=True) shows the progress",
    "tensorboard_log": "learn takes a TensorBoardLogger as callback",
}
"""Names that other libraries have, with the hint in the message."""


def setting_hint(name: str, others: Iterable[str] = ()) -> str:
    """Hint in parentheses for a name that is neither a field of `TdmConfig` nor in ``others``; "" without one."""
    known = [each.name for each in fields(TdmConfig)]
    if name in RENAMED_SETTINGS:
        return f" (did you mean {RENAMED_SETTINGS[name]}?)"
    if name in known or name in OTHER_LIBRARIES:
        return f" ({OTHER_LIBRARIES.get(name, 'it is a setting')})"
    close = difflib.get_close_matches(name, [*known, *others], n=1)
    return f" (did you mean {close[0]}?)" if close else ""


def reject_unknown_names(settings: Mapping[str, Any], known: Mapping[str, Any]) -> None:
    """Raise TypeError if a keyword is not in ``known``, with its new name, its replacement, or a similar one."""
    old = [f"{name} is now called {RENAMED_SETTINGS[name]}" for name in settings if name in RENAMED_SETTINGS]
    old += [f"{name} was removed: {REMOVED_SETTINGS[name]}" for name in settings if name in REMOVED_SETTINGS]
    if old:
        raise TypeError(f"TdmConfig: {', '.join(old)}")
    for name in settings:
        if name not in known:
            raise TypeError(f"TdmConfig has no setting {name!r}{setting_hint(name)}")


def renamed_index(index: dict[str, Any]) -> dict[str, Any]:
    """Content of a checkpoint.json of schema 4 with the names of schema 5; a damaged one raises as `present_index`."""
    index = {"mode_selection": None, "recorded_transitions": 0, "skipped_updates": 0} | _renamed(index, RENAMED_INDEX)
    index["config"] = _renamed_values(_renamed(index["config"], RENAMED_SETTINGS), "horizon_schedule")
    if modes := index["mode_selection"]:
        index["mode_selection"] = _renamed_values(_renamed(modes, RENAMED_MODES), "selected")
    return index


def present_index(index: dict[str, Any]) -> dict[str, Any]:
    """The content of a checkpoint.json of schema 5 as one of schema 6: the mode of acting that was selected remains.

    Raises AttributeError, LookupError or TypeError if it is damaged.
    """
    config = {key: value for key, value in index["config"].items() if key not in REMOVED_SETTINGS}
    modes = index["mode_selection"] or {"selected": "", "updates": index["updates"]}
    index = index | {"config": config | {"one_step_model": False}}
    if modes["selected"] == "one_step":  # a model of its own, with its own number of updates
        skipped = index["skipped_updates"] + index["updates"] - modes["updates"]
        task = index["task"] | {"horizon": 0}
        index |= {"task": task, "updates": modes["updates"], "skipped_updates": skipped}
    elif modes["selected"]:
        index["config"]["horizon_schedule"] = modes["selected"]
    return index


def renamed_tensor(name: str) -> str:
    """The present name of a tensor of schema 4."""
    for old, new in RENAMED_TENSORS.items():
        if name.endswith(old):
            return name.removesuffix(old) + new
    return name


def _renamed_values(content: dict[str, Any], key: str) -> dict[str, Any]:
    return content | ({key: RENAMED_VALUES.get(content[key], content[key])} if key in content else {})


def _renamed(content: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    return {names.get(key, key): value for key, value in content.items()}
