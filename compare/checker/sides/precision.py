"""In which precision the side under test computes, whatever precision it is asked for."""

import contextlib
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from compare.checker.sides.evaluation import Evaluation, Point, Result, Sides
from compare.checker.sides.float64 import float64_on_cpu, is_float64_on_cpu
from compare.checker.sides.narrowing import Narrowing, is_representable, narrowing
from compare.checker.sides.side import Arrays, Side, failure, has_float64
from compare.escapes import first_line
from compare.trees import cast, is_inexact

__all__ = ["alone_in_float64", "asked_in_float64", "manual_in_float64"]


@contextlib.contextmanager
def asked_in_float64(side: Side, arrays: Arrays, evaluation: Evaluation) -> Iterator[None]:
    """Says so where a side fails at these arrays for being in float64 alone.

    Raises:
        ValueError: it fails in float64, and does not in float32.
    """
    try:
        yield
    except Exception as error:
        if not has_float64(arrays) or not _runs_in_float32(side, arrays, evaluation):
            raise
        name = "the loss" if side.loss is not None else "the candidate"
        raise ValueError(
            f"pass dtype='float32': {name} cannot be run in float64 ({failure(error)}; {_TO_DO})"
        ) from error


def _runs_in_float32(side: Side, arrays: Arrays, evaluation: Evaluation) -> bool:
    with jax.enable_x64(False), contextlib.suppress(Exception):
        evaluation.run(side, [cast(x, np.float32) for x in arrays])
        return True
    return False


def manual_in_float64(sides: Sides, own: Point) -> tuple[Sides, Point, Narrowing | None]:
    """Runs both sides in float64 on the CPU, as far as manual can.

    Args:
        sides: how to run both.
        own: what they return in the dtype asked for.

    Returns:
        The sides, which from now on run manual in the one type it can run in; the point in
        float64; and the narrower type that manual computes in, or None.
    """
    arrays = [cast(x, np.float64) for x in own.arrays]
    evaluation = sides.evaluation
    if is_float64_on_cpu(own.arrays):
        exact = own
    else:
        refusal = evaluation.refusal(sides.autodiff, arrays)
        autodiff = _reference(sides, arrays, refusal)
        if refusal:
            dtype = _coarsest(own.arrays)
            exact = Point(arrays, own.manual, autodiff, own.value_name, own.left_out)
            return sides._replace(manual_dtype=dtype), exact, _with_the_loss(dtype, refusal)
        try:
            manual = evaluation.run(sides.manual, arrays, on_cpu=True)
        except Exception as error:  # It ran in the dtype asked for, so it is float64 that fails.
            dtype = _coarsest(own.arrays)
            exact = Point(arrays, own.manual, autodiff, own.value_name, own.left_out)
            narrow = Narrowing(dtype, "", _cannot_run(error))
            return sides._replace(manual_dtype=dtype), exact, narrow
        exact = Point(arrays, manual, autodiff, own.value_name, own.left_out)
    return sides, exact, _traced(sides, arrays) or _seen(exact)


def alone_in_float64(
    sides: Sides, manual: Result, arrays: Arrays, wide: Arrays
) -> tuple[Result, Narrowing | None, Sides]:
    """Does what `manual_in_float64` does, without the other side.

    Args:
        sides: how to run manual.
        manual: what it returned in the dtype asked for.
        arrays: the point in that dtype.
        wide: the point in float64.

    Returns:
        What it returns in float64, as far as it can; the narrower type that it computes in, or
        None; and the sides, which run manual in the one type it can run in.
    """
    refusal = sides.evaluation.refusal(sides.autodiff, wide)
    if refusal:
        dtype = _coarsest(arrays)
        return manual, _with_the_loss(dtype, refusal), sides._replace(manual_dtype=dtype)
    try:
        found = sides.evaluation.run(sides.manual, wide, on_cpu=True)
    except Exception as error:  # It ran in the dtype asked for, so it is float64 that fails.
        dtype = _coarsest(arrays)
        return manual, Narrowing(dtype, "", _cannot_run(error)), sides._replace(manual_dtype=dtype)
    return found, _traced(sides, wide), sides


def _reference(sides: Sides, arrays: Arrays, refusal: str) -> Result:
    """What the side that differentiates returns in float64.

    Raises:
        ValueError: its loss refuses float64, and nothing can stand for it.
    """
    try:
        return sides.evaluation.run(sides.autodiff, arrays, on_cpu=True, wait=False)
    except Exception as error:
        if not refusal:
            raise
        raise ValueError(
            f"the loss is run in float64, as the reference, and cannot be ({refusal}; {_TO_DO}); "
            "or give another reference"
        ) from error


def _with_the_loss(dtype: Any, refusal: str) -> Narrowing:
    """That manual is asked in the type whose constants the loss has."""
    why = f"is run in {dtype}: the loss cannot be traced in float64"
    return Narrowing(dtype, "", f"{why} ({refusal}; {_TO_DO})")


_TO_DO = "name an input's own type there, as in x.dtype"


def _cannot_run(error: Exception) -> str:
    return f"cannot run in float64 ({first_line(error)[:80]})"


def _traced(sides: Sides, arrays: Arrays) -> Narrowing | None:
    """A narrower type in what manual is traced to, if it can be traced."""
    try:
        if sides.evaluation.jit:
            return sides.evaluation.program(sides.manual, arrays, on_cpu=True).narrowing
        with float64_on_cpu():
            own = jax.device_put(arrays)
            return narrowing(sides.manual.trace(own, sides.evaluation.layout).jaxpr)
    except Exception:  # NumPy, a Python `if`: the numbers have to tell.
        return None


def _seen(exact: Point) -> Narrowing | None:
    """A narrower type that all of manual's numbers are of, and autodiff's are not."""
    manual, autodiff = (
        [leaf for (kind, _), leaf in exact.leaves(side).items() if kind == "grad"]
        for side in ("manual", "autodiff")
    )
    for dtype in (jnp.bfloat16, jnp.float16, jnp.float32):
        if is_representable(manual, dtype) and not is_representable(autodiff, dtype):
            return Narrowing(np.dtype(dtype), "")
    return None


def _coarsest(arrays: Arrays) -> Any:
    types = {x.real.dtype for x in arrays if is_inexact(x)}
    return max(types, key=lambda dtype: float(jnp.finfo(dtype).eps), default=np.dtype(np.float32))
