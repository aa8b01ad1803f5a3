"""Messages as anybody may publish them: well typed, and otherwise anything. For hypothesis."""

from __future__ import annotations

import array
import copy
import re
from collections import defaultdict
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np
from hypothesis import strategies as st

INTEGERS = {f"{sign}int{bits}": (sign, bits) for sign in ("", "u") for bits in (8, 16, 32, 64)}
SIZES = st.sampled_from([0, 1, 2, 3, 7, 14, 17, 18, 100])
FLOATS = [0.0, -0.0, 1.0, -1.0, 0.4, np.nan, np.inf, -np.inf, 1e-45, 1e6, -1e6, 3e38, -3e38]
DOUBLES = [*FLOATS, 1e300, -1e300, 5e-324]
LARGEST = float(np.float32(3.4e38))
CODES = {
    "b": "int8",
    "B": "uint8",
    "h": "int16",
    "H": "uint16",
    "i": "int32",
    "I": "uint32",
    "q": "int64",
    "Q": "uint64",
}


def anything(kind: type[Any], texts: tuple[str, ...] = ()) -> st.SearchStrategy[Any]:
    """Messages of a type, each field of which is anything that the type allows; ``texts`` come often."""
    return st.builds(
        lambda **fields: kind(**fields),
        **{name: _field(text, texts) for name, text in kind.get_fields_and_field_types().items()},
    )


def changed(template: Any, texts: tuple[str, ...] = ()) -> st.SearchStrategy[Any]:
    """A good message of which up to three parts, at any depth, are anything; or all numbers below a part are one."""
    paths: defaultdict[tuple[str, ...], list[_Path]] = defaultdict(list)
    for path in _paths(template):  # each name counts once, however many elements a list has
        paths[tuple(name for name in path.names if isinstance(name, str))].append(path)
    names = st.sampled_from(sorted(paths))
    one = names.flatmap(lambda name: st.sampled_from(paths[name]))
    part = one.flatmap(lambda path: st.tuples(st.just([path]), _field(path.kind, texts)))
    numbers = st.tuples(names.map(paths.get), st.sampled_from(DOUBLES).map(_AllNumbers))
    return st.lists(part | numbers, max_size=3).map(lambda changes: _with(template, changes))


class _Path(NamedTuple):
    """Names and positions that lead to a part of a message, and the text of its type."""

    names: tuple[Any, ...]
    kind: str


class _AllNumbers(NamedTuple):
    """Stands for: every number with a fraction below is this one."""

    value: float


def _paths(message: Any, before: tuple[Any, ...] = ()) -> list[_Path]:
    found = []
    for name, text in message.get_fields_and_field_types().items():
        value = getattr(message, name)
        found.append(_Path((*before, name), text))
        if hasattr(value, "get_fields_and_field_types"):
            found += _paths(value, (*before, name))
        elif isinstance(value, list) and value and hasattr(value[0], "get_fields_and_field_types"):
            for number, element in enumerate(value):
                found += _paths(element, (*before, name, number))
    return found


def _with(template: Any, changes: list[tuple[list[_Path], Any]]) -> Any:
    message = copy.deepcopy(template)
    for path, value in ((path.names, value) for paths, value in changes for path in paths):
        owner = message
        try:
            for name in path[:-1]:
                owner = owner[name] if isinstance(name, int) else getattr(owner, name)
        except IndexError:  # another change made the list shorter
            continue
        if isinstance(value, _AllNumbers):
            _set_numbers(owner, path[-1], value.value)
        else:
            setattr(owner, path[-1], value)
    return message


def _set_numbers(owner: Any, name: str, value: float) -> None:
    part, kind = getattr(owner, name), owner.get_fields_and_field_types()[name]
    small = float(np.clip(value, -LARGEST, LARGEST)) if np.isfinite(value) else value
    if kind in ("float", "double"):
        setattr(owner, name, small if kind == "float" else value)
    elif isinstance(part, array.array) and part.typecode in "fd":
        setattr(owner, name, array.array(part.typecode, [small if part.typecode == "f" else value] * len(part)))
    for element in part if isinstance(part, list) else [part]:
        if hasattr(element, "get_fields_and_field_types"):
            for below in element.get_fields_and_field_types():
                _set_numbers(element, below, value)


def _field(text: str, texts: tuple[str, ...]) -> st.SearchStrategy[Any]:
    """Values of a field, by the text of its type as messages give it, such as ``sequence<double>``."""
    if found := re.fullmatch(r"sequence<([\w/]+)(?:, \d+)?>", text):
        return _sequence(found[1], texts)
    if found := re.fullmatch(r"([\w/]+)\[(\d+)\]", text):
        size = int(found[2])
        return st.lists(_field(found[1], texts), min_size=size, max_size=size).map(
            lambda values: np.array(values, {"float": "f4", "double": "f8"}.get(found[1], found[1]))
        )
    if text in ("float", "double"):
        usual = st.floats(-LARGEST, LARGEST, width=32) if text == "float" else st.floats()
        return st.sampled_from(FLOATS if text == "float" else DOUBLES) | usual
    if text == "boolean":
        return st.booleans()
    if text == "octet":
        return st.binary(min_size=1, max_size=1)
    if text in INTEGERS:
        sign, bits = INTEGERS[text]
        low, high = (0, 2**bits - 1) if sign else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
        return st.sampled_from([low, high, 0, 1, min(77, high)]) | st.integers(low, high)
    if text.startswith("string"):
        usual = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
        return st.sampled_from([*texts, "", "x" * 100_000, "9" * 5000, "nan", "\x1b[2J\n"]) | usual
    package, _, name = text.partition("/")
    return anything(getattr(import_module(f"{package}.msg"), name.rpartition("/")[2]), texts)


def _sequence(text: str, texts: tuple[str, ...]) -> st.SearchStrategy[Any]:
    code = next((code for code, name in CODES.items() if name == text), {"float": "f", "double": "d"}.get(text))
    element = _field(text, texts)
    if code is None:
        return SIZES.flatmap(lambda size: st.lists(element, min_size=min(size, 3), max_size=min(size, 3)))
    same = st.tuples(SIZES, element).map(lambda pair: array.array(code, [pair[1]] * pair[0]))
    return same | SIZES.flatmap(lambda n: st.lists(element, min_size=min(n, 18), max_size=min(n, 18))).map(
        lambda values: array.array(code, values)
    )
