"""Subgoals for distant goals: problem, optimisers, graph, schedule. Independent of torch, ROS and the simulator."""

from tdm_ros.planning.execution import Pursuer, PursuitSettings, Segment, Target
from tdm_ros.planning.geometric import StraightLines
from tdm_ros.planning.keep_out import KeepOut
from tdm_ros.planning.model import Model, ReachModel
from tdm_ros.planning.objective import FORMULATIONS, Objective
from tdm_ros.planning.plan import Plan, Status
from tdm_ros.planning.planner import OPTIMISERS, PlannerSettings, SubgoalPlanner
from tdm_ros.planning.problem import Problem
from tdm_ros.planning.space import GoalSpace
from tdm_ros.planning.states import SeenStates

__all__ = [
    "FORMULATIONS",
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
    "Segment",
    "Status",
    "StraightLines",
    "SubgoalPlanner",
    "Target",
]
