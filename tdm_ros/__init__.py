"""Temporal Difference Models for robot arms, over ROS 2."""

import importlib
from pkgutil import extend_path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tdm_ros.tasks import Channels, TaskSpec
    from tdm_ros.tdm.config import TdmConfig
    from tdm_ros.training.library import TDM

# The source tree and the colcon install, which contains the generated messages, are one package.
__path__ = extend_path(__path__, __name__)

__version__ = "0.1.0"
__all__ = ["TDM", "Channels", "TaskSpec", "TdmConfig"]

_HOMES = {
    "TDM": "tdm_ros.training.library",
    "Channels": "tdm_ros.tasks",
    "TaskSpec": "tdm_ros.tasks",
    "TdmConfig": "tdm_ros.tdm.config",
}


def __getattr__(name: str) -> Any:
    # Imported on first use: a node that runs a policy does not need torch, `tdm_ros --help` does not need numpy.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(__all__)}")
    return getattr(importlib.import_module(_HOMES[name]), name)
