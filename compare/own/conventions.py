"""Finds what a file has to be checked, by the names of its functions."""

import difflib
import inspect
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any, NamedTuple

import jax

from compare.own.module import OwnFileError

__all__ = ["LeftOut", "Pair", "found", "left_out", "named"]

_LOSS_AND_GRAD, _LOSS, _FWD, _BWD = "loss_and_grad", "loss", "_fwd", "_bwd"
_LOOKED_FOR = (
    "NAME_loss_and_grad with NAME_loss, a jax.custom_vjp NAME with NAME_inputs, and NAME_bwd with "
    "NAME_fwd"
)


class Pair(NamedTuple):
    """What is held against each other.

    Attributes:
        kind: `gradients`, of a candidate and a loss; or `rule`, a decorated function, or one with
            two halves.
        name: what the functions' names begin with, or the name itself; "" for `loss_and_grad`.
        functions: (candidate, loss), (rule,) or (fwd, bwd).
        title: what is compared, in words.
    """

    kind: str
    name: str
    functions: tuple[Callable[..., Any], ...]
    title: str


class LeftOut(NamedTuple):
    """A function whose name promises a check, and that has none.

    Attributes:
        name: its own.
        advice: what there is not, and what to add.
        is_candidate: whether it is a candidate for sure; any other may be a part of one.
    """

    name: str
    advice: str
    is_candidate: bool


def found(module: ModuleType, file: str) -> list[Pair]:
    """Finds every pair that the names tell, in the order of the file.

    Args:
        module: the file, loaded.
        file: its name, for the message.

    Raises:
        OwnFileError: there is none; the message has what was looked for, and what is there.
    """
    names = _functions(module)
    pairs = {name: pair for name in names if (pair := _by_name(module, name)) is not None}
    covered = [fn for pair in pairs.values() for fn in pair.functions]
    for name in names:
        fn = getattr(module, name)
        known = any(fn is own or getattr(fn, "bwd", None) is own for own in covered)
        if _has_rule(fn) and _function(module, f"{name}_inputs") and not known:
            pairs[name] = _decorated(name, fn)
    if pairs:
        return [pairs[name] for name in names if name in pairs]
    there = f"the functions there are {', '.join(names)}" if names else "no function is there"
    rules = [f"{file}:{name}" for name in names if _has_rule(getattr(module, name))]
    alone = f"or name one that has a rule: {', '.join(rules)}; " if rules else ""
    raise OwnFileError(
        f"{file}: nothing to check: looked for {_LOOKED_FOR}; {there}; {alone}or name two of them: "
        f"{file}:CANDIDATE {file}:LOSS"
    )


def _by_name(module: ModuleType, name: str) -> Pair | None:
    """Returns the pair that a candidate, or a backward pass, is half of."""
    fn = getattr(module, name)
    if _is_candidate(name):
        stem = name.removesuffix(_LOSS_AND_GRAD)
        loss = _function(module, f"{stem}{_LOSS}")
        return loss and _gradients(stem.rstrip("_"), fn, name, loss, f"{stem}{_LOSS}")
    if name.endswith(_BWD):
        stem = name.removesuffix(_BWD)
        fwd = _function(module, f"{stem}{_FWD}")
        if fwd is None:
            return None
        decorated = _that_takes_more(module, fn)
        if decorated is not None:
            with_point = _function(module, f"{decorated}_inputs")
            own = _decorated(decorated, getattr(module, decorated))
            return own if with_point else own._replace(name=stem)
        return Pair("rule", stem, (fwd, fn), f"{name} against jax.vjp of {stem}{_FWD}")
    return None


def left_out(module: ModuleType, file: str, pairs: Sequence[Pair]) -> list[LeftOut]:
    """Lists the functions that lack what they would be checked with, in the order of the file.

    The halves of a decorated function are told with it.

    Args:
        module: the file, loaded.
        file: its name, for the advice.
        pairs: what is checked.
    """
    functions = {name: getattr(module, name) for name in _functions(module)}
    checked = {id(fn) for pair in pairs for fn in pair.functions}
    halves = {id(half) for fn in functions.values() if _has_rule(fn) for half in _halves(fn)}
    lacking = []
    for name, fn in functions.items():
        if id(fn) in checked | halves or {id(half) for half in _halves(fn)} & checked:
            continue
        if _is_candidate(name):
            loss = name.removesuffix(_LOSS_AND_GRAD) + _LOSS
            advice = f"there is no {loss}; define it, or name a loss: {file}:{name} {file}:LOSS"
            lacking.append(LeftOut(name, advice, is_candidate=True))
        elif _has_rule(fn):
            advice = f"there is no {name}_inputs(); define it, or name it: {file}:{name}"
            lacking.append(LeftOut(name, advice, is_candidate=False))
        elif name.endswith((_FWD, _BWD)):
            other = f"{_stem(name)}{_BWD if name.endswith(_FWD) else _FWD}"
            lacking.append(LeftOut(name, f"there is no {other}; define it", is_candidate=False))
    return lacking


def _is_candidate(name: str) -> bool:
    return name == _LOSS_AND_GRAD or name.endswith(f"_{_LOSS_AND_GRAD}")


def _halves(fn: Any) -> list[Any]:
    return [half for half in (getattr(fn, "fwd", None), getattr(fn, "bwd", None)) if half]


def _that_takes_more(module: ModuleType, bwd: Callable[..., Any]) -> str | None:
    """The function whose rule a bwd is, if it calls its halves with more than a pair is given."""
    for name in _functions(module):
        fn = getattr(module, name)
        if isinstance(fn, jax.custom_vjp) and fn.bwd is bwd:
            return name if fn.nondiff_argnums or fn.symbolic_zeros else None
    return None


def _has_rule(fn: Any) -> bool:
    halves = callable(getattr(fn, "fwd", None)) and callable(getattr(fn, "bwd", None))
    return halves or isinstance(fn, jax.custom_vjp | jax.custom_jvp)


def _decorated(name: str, fn: Callable[..., Any]) -> Pair:
    return Pair("rule", name, (fn,), f"{name}, by its own rule, against jax.vjp of it")


def _gradients(stem: str, candidate: Any, name: str, loss: Any, of: str) -> Pair:
    return Pair("gradients", stem, (candidate, loss), f"{name} against jax.grad of {of}")


def named(module: ModuleType, file: str, name: str, loss: Callable[..., Any] | None = None) -> Pair:
    """Finds the pair of a function that was named.

    Args:
        module: the file, loaded.
        file: its name, for the message.
        name: of a candidate, a backward or forward pass, or a function with a rule of its own.
        loss: the loss that was named; None to find it by the candidate's name, or as `loss`.

    Raises:
        OwnFileError: the file has no such function, or nothing to hold it against.
    """
    fn = _function(module, name)
    if fn is None:
        names = _functions(module)
        near = difflib.get_close_matches(name, names, 1)
        there = f"did you mean {near[0]}?" if near else f"it has {', '.join(names) or 'none'}"
        raise OwnFileError(f"{file}: has no function {name}; {there}")
    if loss is not None:
        return _gradients(_stem(name), fn, name, loss, getattr(loss, "__name__", "the loss"))
    if _has_rule(fn):
        return _decorated(name, fn)
    backward = f"{name.removesuffix(_FWD)}{_BWD}" if name.endswith(_FWD) else name
    own = _by_name(module, backward) if _function(module, backward) else None
    if own is not None:
        return own
    of = _function(module, _LOSS)
    if of is not None and of is not fn:
        return _gradients(_stem(name), fn, name, of, _LOSS)
    raise OwnFileError(
        f"{file}: has nothing to hold {name} against; define {_stem(name)}_loss, or name it: "
        f"{file}:{name} {file}:LOSS"
    )


def _stem(name: str) -> str:
    """What is left of a function's name without the convention's ending."""
    return name.removesuffix(_LOSS_AND_GRAD).removesuffix(_BWD).removesuffix(_FWD).rstrip("_")


def _function(module: ModuleType, name: str) -> Callable[..., Any] | None:
    fn = getattr(module, name, None)
    return fn if callable(fn) and not isinstance(fn, type) else None


def _functions(module: ModuleType) -> list[str]:
    """The functions that the file itself defines, in its order."""
    return [
        name
        for name, value in vars(module).items()
        if _function(module, name) and not name.startswith("__") and _home(value) == module.__name__
    ]


def _home(value: Any) -> str:
    """The module that a function, whatever decorates it, was defined in."""
    inner = inspect.unwrap(getattr(value, "fun", getattr(value, "fwd", value)))
    return getattr(inner, "__module__", "")
