"""Table of a system, `config/<system>.system.yaml`: its arguments and nodes, for launch file and runner alike.

Its keys are fields of `SystemTable`, `Argument` and `NodeEntry`. Sections of files with parameters are read here, too.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from tdm_ros.safe_yaml import read_yaml

Value = float | int | str | bool

SUFFIX = ".system.yaml"
PACKAGE = "tdm_ros"
NAMESPACE = "arm"  # prefix of the namespaces of several arms: arm1, arm2, ...
COUNTED = ("seed", "port")  # arguments that are n - 1 larger for arm n, so that no two arms have the same
STOP_S = 2.2  # default time between SIGTERM and SIGKILL of a node [s]
WORDS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


class TableError(ValueError):
    """Invalid table or argument; the text has the reason and the remedy."""


@dataclass(frozen=True)
class Argument:
    """Argument of a system, given as `name:=value`, of the type of its default."""

    name: str
    default: Value
    description: str  # with the unit
    choices: tuple[Value, ...] = ()  # empty: any value of the type
    minimum: float = -math.inf
    maximum: float = math.inf
    unlimited: bool = False  # inf is a value, too

    @property
    def kind(self) -> type:
        """Type of the argument's values."""
        return type(self.default)

    def parse(self, text: str) -> Value:
        """Convert text to a value; a TableError says what is expected instead."""
        try:
            value = (
                WORDS[text.lower()]
                if self.kind is bool
                else self.kind(text.replace(".inf", "inf") if self.unlimited else text)
            )
        except (KeyError, ValueError):
            raise TableError(f"{self.name} must be {_NOUN[self.kind]}, got {text!r}") from None
        if self.choices and value not in self.choices:
            raise TableError(f"{self.name} must be one of {', '.join(map(str, self.choices))}; got {text!r}")
        if self.unlimited and value == math.inf:
            return value
        if self.kind in (int, float) and not (math.isfinite(value) and self.minimum <= value <= self.maximum):
            most = f" and <= {self.maximum:g}" if math.isfinite(self.maximum) else ""
            most += ", or inf (unlimited)" if self.unlimited else ""
            raise TableError(f"{self.name} must be a finite number >= {self.minimum:g}{most}, got {text}")
        return value


@dataclass(frozen=True)
class NodeEntry:
    """Node of a system."""

    name: str
    executable: str  # program in lib/<package> of the install prefix
    required: bool = False  # its end ends the system, or its arm; another node is restarted
    parameters: tuple[str, ...] = ()  # arguments of the system that are parameters of the node
    package: str = PACKAGE
    when: str = ""  # boolean argument that starts the node; then the system continues if it dies too often
    per_arm: bool = False  # each arm has one; the arguments `arms` and `first` are their number and the first one's
    priority: str = ""  # argument with the real-time priority of the node
    stop_s: float = STOP_S  # time between SIGTERM and SIGKILL, in which the node writes its files [s]
    remaps: Mapping[str, str] = field(default_factory=dict)  # new names of topics
    number: int = 0  # of its arm; 0: none

    def priority_of(self, values: Mapping[str, Value]) -> int:
        """Real-time priority; 0: the normal scheduler."""
        return int(values[self.priority]) if self.priority else 0

    @property
    def namespace(self) -> str:
        """Namespace below that of the system; empty: that of the system."""
        return f"{NAMESPACE}{self.number}" if self.number else ""

    @property
    def full_name(self) -> str:
        """Name with the namespace, such as arm1/policy."""
        return "/".join(filter(None, (self.namespace, self.name)))


@dataclass(frozen=True)
class Variant:
    """Changes for one value of an argument."""

    argument: str
    value: Value
    params_file: Path | None  # parameters of the nodes, which override those of the system
    defaults: Mapping[str, Value]  # by argument


@dataclass(frozen=True)
class Include:
    """Launch file of the package that the launch file of the system includes; the runner cannot."""

    launch_file: str
    when: Mapping[str, Value]  # values of arguments with which it is included
    arguments: tuple[str, ...] = ()  # arguments that are passed on


@dataclass(frozen=True)
class SystemTable:
    """System: its arguments, its nodes, and the file with their other parameters."""

    name: str
    description: str
    arguments: Mapping[str, Argument]
    nodes: Sequence[NodeEntry]
    params_file: Path
    variants: Sequence[Variant] = ()
    includes: Sequence[Include] = ()

    def params_files(self, values: Mapping[str, Value]) -> list[Path]:
        """Files with parameters of the nodes; later ones override earlier ones, the argument ``params`` all."""
        chosen = [v.params_file for v in self.variants if v.params_file and values[v.argument] == v.value]
        files = [self.params_file, *chosen]
        if given := values.get("params"):
            own = Path(str(given)).expanduser()
            if not own.is_file():
                raise TableError(f"params must be a file with parameters of nodes, there is none at {own}")
            files.append(own.resolve())
        return files

    def started(self, values: Mapping[str, Value]) -> list[NodeEntry]:
        """Nodes that run with these values: those that all arms share, then those of each arm."""
        nodes = [node for node in self.nodes if not node.when or values[node.when]]
        shared, each = ([node for node in nodes if node.per_arm is per_arm] for per_arm in (False, True))
        if not each:
            return shared
        first, arms = int(values["first"]), int(values["arms"])
        return shared + [replace(node, number=number) for number in range(first, first + arms) for node in each]

    def given(self, node: NodeEntry, values: Mapping[str, Value]) -> dict[str, Value]:
        """Parameters of a node that is `started`; each arm has its own seed, port and folder."""
        given = {name: values[name] for name in node.parameters}
        if values.get("use_sim_time"):
            given["use_sim_time"] = True
        if node.number:
            given |= {name: int(given[name]) + node.number - 1 for name in COUNTED if name in given}
            if "run_dir" in given:
                given["run_dir"] = str(Path(str(given["run_dir"])) / node.namespace)
        return given

    def namespace(self, values: Mapping[str, Value], parent: str = "") -> str:
        """Absolute namespace of the system below a ``parent``; "" for the root."""
        return "".join(
            f"/{part}" for text in (parent, str(values.get("namespace", ""))) for part in text.split("/") if part
        )

    def remaps(self, node: NodeEntry, values: Mapping[str, Value], parent: str = "") -> dict[str, str]:
        """Topics that a node has elsewhere; absolute names are those below the namespace of the system."""
        space = self.namespace(values, parent)
        return {name: f"{space}{topic}" if topic.startswith("/") else topic for name, topic in node.remaps.items()}

    def included(self, values: Mapping[str, Value]) -> list[Include]:
        """Launch files that are included with these values."""
        return [part for part in self.includes if all(values[name] == value for name, value in part.when.items())]

    def values(self, given: Sequence[str]) -> dict[str, Value]:
        """Return the value of every argument, some of them from texts `name:=value`; a TableError has the remedy."""
        values: dict[str, Value] = {}
        for text in given:
            name, assigned, value = text.partition(":=")
            if not assigned:
                raise TableError(f"arguments are written name:=value, got {text!r}")
            if name not in self.arguments:
                raise TableError(
                    f"{self.name} has no argument {name!r}; it has {', '.join(self.arguments)} "
                    f"(described by tdm_ros up {self.name} --show-args)"
                )
            values[name] = self.arguments[name].parse(value)
        return self.completed(values)

    def completed(self, given: Mapping[str, Value]) -> dict[str, Value]:
        """Add the defaults of the other arguments."""
        defaults = {name: argument.default for name, argument in self.arguments.items()}
        chosen = defaults | dict(given)
        for variant in self.variants:  # one may choose a value that a later one has changes for
            if chosen[variant.argument] == variant.value:
                defaults |= variant.defaults
                chosen = defaults | dict(given)
        return chosen


def load_table(path: Path) -> SystemTable:
    """Read the table of a system; a TableError names a key that is unknown or missing."""
    try:
        content = _content(path)
        arguments = {name: Argument(name, **_tuple(entry, "choices")) for name, entry in content["arguments"].items()}
        nodes = tuple(NodeEntry(name, **_tuple(entry, "parameters")) for name, entry in content["nodes"].items())
        includes = content.get("includes", {})
        table = SystemTable(
            name=path.name.removesuffix(SUFFIX),
            description=content["description"],
            arguments=arguments,
            nodes=nodes,
            params_file=path.parent / content["params_file"],
            variants=tuple(_variants(content.get("variants", {}), path.parent)),
            includes=tuple(Include(name, **_tuple(entry, "arguments")) for name, entry in includes.items()),
        )
    except (AttributeError, LookupError, OSError, RecursionError, TypeError, ValueError, yaml.YAMLError) as error:
        raise TableError(f"{path} is not the table of a system: {error}") from error
    taken = [name for node in nodes for name in (*node.parameters, *filter(None, [node.when, node.priority]))]
    for use, names in (
        ("nodes take", taken),
        ("includes name", [name for part in table.includes for name in (*part.when, *part.arguments)]),
        ("nodes of each arm take", ["arms", "first"] if any(node.per_arm for node in nodes) else []),
        ("variants name", [name for v in table.variants for name in (v.argument, *v.defaults)]),
    ):
        unknown = sorted(set(names) - set(arguments))
        if unknown:
            raise TableError(f"{path}: {use} {', '.join(unknown)}, which is no argument of the system")
    return table


def _content(path: Path) -> Any:
    """Content of a table; that of the table named by ``based_on`` is completed and overridden, and null removes."""
    content = read_yaml(path.read_bytes())
    base = content.pop("based_on", None)
    return _merged(_content(path.parent / base), content) if base else content


def _merged(base: Any, over: Any) -> Any:
    if not (isinstance(base, dict) and isinstance(over, dict)):
        return over
    merged = base | {key: _merged(base.get(key), value) for key, value in over.items()}
    return {key: value for key, value in merged.items() if value is not None}


def as_ros_text(value: Value) -> str:
    """Text of a value that `--ros-args -p name:=<text>` reads with the same type."""
    if value == math.inf:
        return ".inf"
    return repr(value) if type(value) is float else json.dumps(value)


def sections_of(params_file: Path | str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each section of a file with parameters: pattern of node names, such as /**/arm, and values by full name."""

    def walk(content: Any, pattern: str) -> Iterator[tuple[str, dict[str, Any]]]:
        for key, below in content.items() if isinstance(content, dict) else ():
            if key == "ros__parameters":
                yield pattern or "/", flat(below)
            else:
                yield from walk(below, f"{pattern}/{str(key).strip('/')}")

    yield from walk(read_yaml(Path(params_file).read_bytes()), "")


def matches(pattern: str, full_name: str) -> bool:
    """Whether the pattern of a section applies to a node with that fully qualified name."""
    tokens = {"**": "(/[^/]+)*", "*": "/[^/]+"}
    expression = "".join(tokens.get(token, f"/{re.escape(token)}") for token in pattern.strip("/").split("/"))
    return re.fullmatch(expression, full_name) is not None


def names_for(full_name: str, params_files: Iterable[Path | str]) -> tuple[set[str], set[str]]:
    """Names of the parameters that files have for a node, and those of them that every node gets (`/**`)."""
    shared, own = set[str](), set[str]()
    for path in params_files:
        for pattern, values in sections_of(path):
            if matches(pattern, full_name):
                (shared if pattern.endswith("*") else own).update(values)
    return shared | own, shared - own


def flat(content: Any, prefix: str = "") -> dict[str, Any]:
    """Values of nested mappings by full name, with dots, as ROS has them."""
    found: dict[str, Any] = {}
    for key, below in content.items() if isinstance(content, dict) else ():
        found |= flat(below, f"{prefix}{key}.") if isinstance(below, dict) else {f"{prefix}{key}": below}
    return found


def _tuple(entry: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Fields of an entry, with a list as a tuple."""
    return {**entry, name: tuple(entry.get(name, ()))}


def _variants(content: Mapping[str, Mapping[Value, Mapping[str, Any]]], folder: Path) -> Iterator[Variant]:
    for argument, entries in content.items():
        for value, entry in entries.items():
            fields = {"defaults": {}, **entry}
            own = fields.pop("params_file", None)
            yield Variant(argument, value, own and folder / own, **fields)


_NOUN = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}
