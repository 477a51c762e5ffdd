"""The point at which a person's functions are checked: as the file gives it, or drawn at random."""

import inspect
import re
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from compare.own.conventions import Pair
from compare.own.module import OwnFileError

__all__ = ["Shape", "drawn", "given", "shapes"]


class Shape(NamedTuple):
    """The shape of an array; `below` for integers from 0 to below it, None for normal numbers."""

    sizes: tuple[int, ...]
    below: int | None


def given(module: ModuleType, file: str, pair: Pair) -> tuple[Any, ...]:
    """Calls `NAME_inputs()`, or `inputs()`, which returns the tuple of arguments.

    What is no tuple is the only argument.

    Raises:
        OwnFileError: there is neither.
        Exception: whatever the function raises.
    """
    names = [*([f"{pair.name}_inputs"] if pair.name else []), "inputs"]
    for name in names:
        fn = getattr(module, name, None)
        if callable(fn):
            point = fn()
            return point if isinstance(point, tuple) else (point,)
    wanted = " or ".join(f"{name}()" for name in names)
    arguments = _parameters(pair.functions[0])
    returned = f"({', '.join(arguments)})" if len(arguments) > 1 else "".join(arguments)
    example = ",".join(f"{name}=5x3" for name in arguments)
    raise OwnFileError(
        f"{file}: no point to check at: define {wanted} that returns {returned}, or give "
        f'shapes, such as --shapes "{example}"'
    )


def shapes(text: str) -> dict[str, Shape]:
    """Reads shapes by name: `w=3x2,x=5x3`; `s=scalar`; `labels=5:10` for integers below 10.

    Raises:
        ValueError: it is something else.
    """
    found: dict[str, Shape] = {}
    for word in text.split(","):
        match = re.fullmatch(r"\s*(\w+)=(scalar|\d+(?:[x×]\d+)*)(?::([1-9]\d*))?\s*", word)
        if match is None:
            raise ValueError(
                f"{word.strip()!r} is no shape; write w=3x2,x=5x3, s=scalar, or labels=5:10 for "
                "integers below 10"
            )
        name, sizes, below = match.groups()
        each = () if sizes == "scalar" else tuple(int(n) for n in re.split("[x×]", sizes))
        found[name] = Shape(each, None if below is None else int(below))
    return found


def drawn(pair: Pair, of: Mapping[str, Shape], seed: int) -> tuple[Any, ...]:
    """Draws a random point for the functions' arguments, by name.

    A name that no argument has is one of the parameters, the first argument of a candidate.

    Raises:
        ValueError: an argument has no shape, or a name belongs nowhere.
    """
    rng = np.random.default_rng(seed)
    arrays = {name: _array(rng, shape) for name, shape in of.items()}
    first, *others = names = _parameters(pair.functions[0]) or [""]
    if pair.kind == "gradients" and first not in arrays:
        tree = {name: x for name, x in arrays.items() if name not in others}
        if not tree:
            raise ValueError(f"no shape for {first}: give one, or one for each of its arrays")
        arrays = {first: tree, **{name: x for name, x in arrays.items() if name in others}}
    unknown = [name for name in arrays if name not in names]
    missing = [name for name in names if name not in arrays]
    if unknown or missing:
        what = f"no shape for {missing[0]}" if missing else f"{unknown[0]} is no argument"
        raise ValueError(f"{what}; the arguments are {', '.join(names)}")
    return tuple(arrays[name] for name in names)


def _array(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    if shape.below is not None:
        return rng.integers(shape.below, size=shape.sizes)
    return np.asarray(rng.standard_normal(shape.sizes))


def _parameters(fn: Callable[..., Any]) -> list[str]:
    """The names of the positional parameters that must be given."""
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    try:
        parameters = inspect.signature(fn).parameters.values()
    except (TypeError, ValueError):
        return []
    return [p.name for p in parameters if p.kind in positional and p.default is p.empty]
