"""Settings of the learner, one frozen dataclass; a checkpoint carries them."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

from tdm_ros.replay.relabel import GoalMix
from tdm_ros.tdm.actor import PARTS, Running

Critic = Literal["residual", "structured", "unstructured"]
Backbone = Literal["td3", "ddpg", "sac"]
Walk = Literal["gaussian", "ou"]


@dataclass(frozen=True)
class TdmConfig:
    """Settings of `TdmAgent` and `Learner`. Distances are in parts of the task's goal scale unless a unit is given.

    Parameters
    ----------
    critic : "residual", "structured" or "unstructured"
        What a critic predicts: the motion from here to the point that will be reached; that point itself (the paper's
        structured form, Q = -|f - g|); or the distance, without any structure.
    vector : bool
        Whether the distance is learned per goal dimension, or as one number (the Euclidean norm).
    backbone : "td3", "ddpg" or "sac"
        Twin critics and a deterministic actor; a single critic; or twin critics and a stochastic actor whose entropy
        is held at minus one an action (the entropy shapes the actor only: a critic stays a distance).
    difference : bool
        Whether the networks see goal minus achieved, or the goal itself.
    reach : bool
        Whether motions and distances are measured in what is within reach in the time that is left, as the random
        phase has shown it.
    layer_norm : bool
        Whether hidden layers are normalised.
    hidden : int
        Width of both hidden layers.
    batch_size : int
        Transitions an update.
    learning_rate : float
        Adam step size of the critics, and of the actor times ``actor_rate``.
    actor_rate : float
        Step size of the actor, as a part of that of the critics.
    final_learning_rate : float
        Part of ``learning_rate`` that is left when ``total_steps`` are reached.
    polyak : float
        Part of the way that target networks move towards the learned ones in each update (the paper's soft tau).
    copy_every : int
        Instead of that, copy the learned networks into the target ones every so many environment steps; 0: never.
    average : float
        Polyak rate of the averaged actor, the one that acts; 1: the learned actor itself.
    huber : bool
        Whether the critics' squared errors grow linearly beyond one.
    loss_scale : float
        Distances are multiplied by it before they are squared.
    effort : float
        Pull of the actor's actions towards zero, as a part of the mean slope of the distance over the actions; it
        fades with the distance that is expected. An arm that arrives rests: joints that do not matter to the goal
        would else wander.
    target_noise : float
        Noise on the target policy's actions, clipped to 2.5 times that (TD3's smoothing) [action units].
    actor_every : int
        Critic updates for each actor update (TD3's delay).
    near_scale : float
        Width of the second, saturating difference input.
    updates_per_step : int
        Gradient updates for each environment step.
    random_steps : int
        Steps of random actions before learning; their statistics normalise the observations from then on.
    catch_up_updates : int
        Updates at the moment when learning begins.
    total_steps : int
        Length of the schedule of learning rate and exploration [steps]; 0: both stay as they are.
    noise : float
        Standard deviation of the exploration noise [action units].
    walk : "gaussian" or "ou"
        Independent noise and now and then a uniform action, or an Ornstein-Uhlenbeck process.
    running : "align", "fine", "hold" or "cycle"
        The horizon while acting. An episode is gone in equal parts, as few as the horizon allows, and it runs down in
        each; or, where no end is known, it is the one that promises most (`Pursuit`). Or the same with a fine end: the
        last part is gone in three again. Or it runs down once and is held at 0. Or it runs down and begins again (the
        paper).
    human_share : float
        Fraction of each batch, in [0, 0.5], that is drawn from the operator's transitions, if there are any; the rest
        is drawn from all transitions.
    race : bool
        Whether equal parts, a fine end and a one-step model that learns beside, from the same experience, are raced in
        training, so that what ends nearest acts (`training.mode_selection`). Not where the horizon is 0, nor where
        ``running`` names another way, nor in a live system, where an episode is what a person asks for.
    goals : GoalMix
    """

    critic: Critic = "residual"
    vector: bool = True
    backbone: Backbone = "td3"
    difference: bool = True
    reach: bool = True
    layer_norm: bool = True
    hidden: int = 128
    batch_size: int = 128
    learning_rate: float = 1e-3
    actor_rate: float = 1.0
    final_learning_rate: float = 0.2
    polyak: float = 0.01
    copy_every: int = 0
    average: float = 0.002
    huber: bool = False
    loss_scale: float = 5.0
    effort: float = 0.5
    target_noise: float = 0.0
    actor_every: int = 1
    near_scale: float = 0.15
    updates_per_step: int = 5
    random_steps: int = 300
    catch_up_updates: int = 750
    total_steps: int = 0
    noise: float = 0.2
    walk: Walk = "gaussian"
    running: Running = "align"
    human_share: float = 0.25
    race: bool = True
    goals: GoalMix = field(default_factory=GoalMix)

    def __post_init__(self) -> None:
        for name, allowed in (("critic", Critic), ("backbone", Backbone), ("running", Running), ("walk", Walk)):
            if getattr(self, name) not in get_args(allowed):
                choices = ", ".join(get_args(allowed))
                raise ValueError(f"TdmConfig.{name} must be one of {choices}, got {getattr(self, name)!r}")
        for name in ("vector", "difference", "reach", "layer_norm", "huber", "race"):
            if not isinstance(getattr(self, name), bool):
                raise ValueError(f"TdmConfig.{name} must be true or false, got {getattr(self, name)!r}")
        for name in ("hidden", "batch_size", "updates_per_step", "random_steps", "actor_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"TdmConfig.{name} must be >= 1, got {getattr(self, name)}")
        for name in ("learning_rate", "actor_rate", "loss_scale", "near_scale"):
            if getattr(self, name) <= 0:
                raise ValueError(f"TdmConfig.{name} must be positive, got {getattr(self, name)}")
        for name in ("polyak", "average", "final_learning_rate"):
            if not 0 < getattr(self, name) <= 1:
                raise ValueError(f"TdmConfig.{name} must be in (0, 1], got {getattr(self, name)}")
        for name in ("total_steps", "noise", "effort", "catch_up_updates", "target_noise", "copy_every"):
            if getattr(self, name) < 0:
                raise ValueError(f"TdmConfig.{name} must be >= 0, got {getattr(self, name)}")
        if not 0 <= self.human_share <= 0.5:
            raise ValueError(f"TdmConfig.human_share must be in [0, 0.5], got {self.human_share}")
        if self.critic == "unstructured" and self.running in PARTS:
            raise ValueError(
                f'TdmConfig.running "{self.running}" needs a critic that predicts a point: residual or structured'
            )

    @property
    def critics(self) -> int:
        """How many critics learn."""
        return 1 if self.backbone == "ddpg" else 2

    def progress(self, steps: int) -> float:
        """Part of the schedule that is over after ``steps`` environment steps, in [0, 1]."""
        return min(1.0, steps / self.total_steps) if self.total_steps else 0.0

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
        """The settings known as ``name``: "default", or "paper" (docs/algorithm.md lists what differs from it).

        Raises
        ------
        ValueError
            If there is none of that name.
        """
        if name not in PRESETS:
            raise ValueError(f"preset must be one of {', '.join(PRESETS)}, got {name!r}")
        return cls(**PRESETS[name])


PRESETS: dict[str, dict[str, Any]] = {
    "default": {},
    "paper": dict(
        critic="structured",
        backbone="ddpg",
        difference=False,
        reach=False,
        layer_norm=False,
        hidden=300,
        actor_rate=0.1,
        final_learning_rate=1.0,
        polyak=0.001,
        average=1.0,
        huber=True,
        loss_scale=10.0,
        effort=0.0,
        updates_per_step=25,
        random_steps=1000,
        catch_up_updates=0,
        noise=0.1,
        walk="ou",
        running="cycle",
        race=False,
        goals=GoalMix(future=0.75, buffer=0.0, box=0.0, near=0.0, rollout=0.25, span=0),
    ),
}
