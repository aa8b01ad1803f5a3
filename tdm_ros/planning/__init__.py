"""Subgoal planning: problem, optimisers, graph search, execution. Independent of torch, ROS and the simulator."""

from tdm_ros.planning.model import Model, ReachModel
from tdm_ros.planning.plan import Plan, Pursuer, PursuitSettings, Status
from tdm_ros.planning.planner import OPTIMISERS, PlannerSettings, SubgoalPlanner
from tdm_ros.planning.problem import Objective, Problem
from tdm_ros.planning.space import GoalSpace, KeepOut
from tdm_ros.planning.states import SeenStates

__all__ = [
    "OPTIMISERS",
    "GoalSpace",
    "KeepOut",
    "Model",
    "Objective",
    "Plan",
    "PlannerSettings",
    "Problem",
    "Pursuer",
    "PursuitSettings",
    "ReachModel",
    "SeenStates",
    "Status",
    "SubgoalPlanner",
]
