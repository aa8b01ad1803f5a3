"""Declares a parameter dataclass on a node, and keeps it up to date while the node runs."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any, Generic, TypeVar

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor, SetParametersResult
from rclpy.exceptions import ParameterException
from rclpy.node import Node
from rclpy.parameter import Parameter

from tdm_ros.nodes.parameters import check

P = TypeVar("P")


class Declared(Generic[P]):
    """The parameters of a node; ``values`` is always the valid, present set.

    Parameters
    ----------
    node : Node
    kind : type
        A dataclass of `tdm_ros.nodes.parameters`.

    Raises
    ------
    ValueError
        If an initial value has another type or is out of range.
    """

    def __init__(self, node: Node, kind: type[P]) -> None:
        self._owner = node.get_name()
        self._specs = {spec.name: spec for spec in fields(kind)}  # type: ignore[arg-type]
        values = {name: self._declare(node, name, spec) for name, spec in self._specs.items()}
        self.values: P = kind(**values)
        node.add_on_set_parameters_callback(self._on_set)

    def _declare(self, node: Node, name: str, spec: Any) -> Any:
        try:
            value = node.declare_parameter(name, spec.default, _descriptor(spec)).value
        except ParameterException as error:  # out of range: rclpy's own sentence says which value and bounds
            raise ValueError(f"{self._owner}.{name}: {error}") from None
        return check(self._owner, name, spec, value)

    def _on_set(self, parameters: list[Parameter]) -> SetParametersResult:
        changes = {}
        for given in parameters:
            spec = self._specs.get(given.name)
            if spec is None:  # somebody else's, for example use_sim_time
                continue
            try:
                changes[given.name] = check(self._owner, given.name, spec, given.value)
            except ValueError as error:
                return SetParametersResult(successful=False, reason=str(error))
        self.values = replace(self.values, **changes)  # type: ignore[type-var]
        return SetParametersResult(successful=True)


def _descriptor(spec: Any) -> ParameterDescriptor:
    bounds, choices, unit = (spec.metadata[key] for key in ("bounds", "choices", "unit"))
    descriptor = ParameterDescriptor(
        description=spec.metadata["description"] + (f" [{unit}]" if unit else ""),
        additional_constraints=f"one of {', '.join(choices)}" if choices else "",
        read_only=spec.metadata["read_only"],
        dynamic_typing=True,  # `check` settles the type: `name:=3` is an integer where 3.0 is meant
    )
    if bounds and isinstance(spec.default, float):
        descriptor.floating_point_range = [FloatingPointRange(from_value=float(bounds[0]), to_value=float(bounds[1]))]
    elif bounds:
        descriptor.integer_range = [IntegerRange(from_value=int(bounds[0]), to_value=int(bounds[1]), step=1)]
    return descriptor
