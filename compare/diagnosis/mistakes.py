"""The mistakes that people make in a backward pass, each as a changed pullback of one operand."""

import itertools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from compare.diagnosis.backward import Edge, Rule
from compare.diagnosis.tape import Equation

__all__ = [
    "LAST_MISTAKES",
    "MISTAKES",
    "Mistake",
    "display_name",
    "is_activation",
    "is_broadcast",
    "is_elementwise",
    "is_factor",
    "other_input",
    "sum_broadcast",
    "without_factor",
]


class Mistake(NamedTuple):
    """A mistake that fits some operands: its name, where it fits, what it does there."""

    slug: Callable[[Edge], str]
    fits: Callable[[Edge], bool]
    rule: Rule
    story: Callable[[Edge], str]


# Functions of one array, entry by entry; of others (max, select) one operand may vary.
_ELEMENTWISE = frozenset(
    "abs acos acosh asin asinh atan atanh cbrt cos cosh erf erf_inv erfc exp exp2 expm1 "
    "integer_pow lgamma digamma log log1p logistic max min pow rsqrt sin sinh sqrt square tan tanh "
    "clamp select_n".split()
)
_ACTIVATIONS = frozenset("tanh logistic erf max min clamp select_n".split())
# Of the library's whole functions these are none, though they map entry by entry.
_NO_ACTIVATIONS = _ELEMENTWISE - _ACTIVATIONS | {"where", "add", "subtract", "multiply", "divide"}
_SOFTMAX = frozenset({"softmax", "log_softmax"})


def is_elementwise(edge: Edge) -> bool:
    """Whether an equation is a function of the operand, entry by entry."""
    if edge.output.shape != edge.value.shape or edge.output.ndim == 0:
        return False
    if edge.equation.whole:
        # Of a whole function the pullback of ones is its slope only if entries do not mix.
        return edge.equation.name not in _SOFTMAX and np.allclose(
            edge.d_input, edge.d_output * edge.slope(edge.value), rtol=1e-12, atol=0
        )
    return edge.equation.name in _ELEMENTWISE


def _is_softmax(edge: Edge) -> bool:
    return edge.equation.whole and edge.equation.name in _SOFTMAX and edge.value.ndim > 1


def is_activation(edge: Edge) -> bool:
    """Whether an equation is an activation of the operand."""
    whole = edge.equation.whole and edge.equation.name not in _NO_ACTIVATIONS
    known = whole or edge.equation.name in _ACTIVATIONS
    return known and is_elementwise(edge)


_WORDS = {
    "dot_general": "matrix product", "conv_general_dilated": "convolution", "reduce_sum": "sum",
    "reduce_max": "maximum", "reduce_min": "minimum", "max": "maximum", "min": "minimum",
    "add": "addition", "sub": "subtraction", "mul": "multiplication", "div": "division",
    "neg": "negation", "integer_pow": "power", "pow": "power", "logistic": "sigmoid",
    "broadcast_in_dim": "broadcast", "select_n": "where", "gather": "look-up", "squeeze": "slice",
    "dynamic_slice": "slice", "convert_element_type": "conversion", "rem": "remainder",
    **dict.fromkeys(("eq", "ne", "lt", "le", "gt", "ge"), "comparison"),
    # The operators of Python, as its syntax tree has them.
    "MatMult": "matrix product", "Pow": "power", "FloorDiv": "whole division", "Mod": "remainder",
    "BitAnd": "and", "BitOr": "or", "BitXor": "exclusive or", "Invert": "not",
    **dict.fromkeys(("Eq", "NotEq", "Lt", "LtE", "Gt", "GtE"), "comparison"),
    "item": "look-up", "set_item": "assignment",
}  # fmt: skip
"""What people call the primitives of JAX and the operators of Python."""


def display_name(equation: Equation) -> str:
    """What people call an equation: `sigmoid` for the primitive `logistic`."""
    return _WORDS.get(equation.name, equation.name)


def _of(text: str) -> Callable[[Edge], str]:
    """A story with the equation's name in it."""
    return lambda edge: text.format(display_name(edge.equation))


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 0.5 * (1 + np.tanh(0.5 * x))


_SOFTPLUS = "softplus's σ(x)"
# What people write for f′, of the input x and the output y of their activation.
_DERIVATIVES: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "sigmoid's y (1 − y)": lambda x, y: y * (1 - y),
    "sigmoid's σ(x) (1 − σ(x))": lambda x, y: _sigmoid(x) * (1 - _sigmoid(x)),
    "tanh's 1 − y²": lambda x, y: 1 - y**2,
    "tanh's 1 − tanh² x": lambda x, y: 1 - np.tanh(x) ** 2,
    "relu's [x > 0]": lambda x, y: 1.0 * (x > 0),
    "relu's [y > 0]": lambda x, y: 1.0 * (y > 0),
    "leaky relu's (0.01 below zero)": lambda x, y: np.where(x > 0, 1, 0.01),
    "leaky relu's (0.1 below zero)": lambda x, y: np.where(x > 0, 1, 0.1),
    "leaky relu's (0.2 below zero)": lambda x, y: np.where(x > 0, 1, 0.2),
    "elu's (eˣ below zero)": lambda x, y: np.where(x > 0, 1, np.exp(np.minimum(x, 0))),
    _SOFTPLUS: lambda x, y: _sigmoid(x),
    "silu's": lambda x, y: _sigmoid(x) * (1 + x * (1 - _sigmoid(x))),
    "swish's without its second term": lambda x, y: _sigmoid(x) + y,
}
_NO_DERIVATIVES: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "the output": lambda x, y: y,
    "the input": lambda x, y: x,
}


def _wrong_activations() -> Iterator[Mistake]:
    for name, slope in _NO_DERIVATIVES.items():
        yield Mistake(
            slug=lambda edge: "wrong_derivative", fits=is_activation, **_with_slope(name, slope)
        )
    for name, slope in _DERIVATIVES.items():
        yield Mistake(
            slug=lambda edge: "wrong_activation",
            # σ is the slope of softplus, and the output of the sigmoid.
            fits=lambda edge, name=name: (
                is_activation(edge)
                and not (name == _SOFTPLUS and display_name(edge.equation) == "sigmoid")
            ),
            **_with_slope(name, slope),
        )


def _with_slope(name: str, slope: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Any:
    return {
        "rule": lambda edge: edge.d_output * slope(edge.value, edge.output),
        "story": _of(f"{name} in place of the derivative of {{}}"),
    }


def sum_broadcast(d: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Sums over the axes that were broadcast from 1."""
    axes = tuple(i for i, n in enumerate(shape) if n == 1 and d.shape[i] != 1)
    return d.sum(axis=axes, keepdims=True)


def other_input(edge: Edge) -> np.ndarray:
    """The other of two operands."""
    return edge.inputs[1 - edge.operand]


def is_factor(edge: Edge) -> bool:
    """Whether the operand is multiplied, or divided, by another."""
    return edge.equation.name == "mul" or (edge.equation.name == "div" and edge.operand == 0)


def without_factor(edge: Edge) -> np.ndarray:
    """The derivative of a product with the other factor left out."""
    if edge.d_output.ndim != edge.value.ndim:
        return edge.d_output.sum() * np.ones_like(edge.value)
    return sum_broadcast(edge.d_output, edge.value.shape)


def is_broadcast(edge: Edge) -> bool:
    """Whether one entry of the operand reaches several of the output, as a bias does."""
    return (
        edge.equation.name in ("add", "sub", "mul", "broadcast_in_dim")
        and 0 < edge.value.size < edge.output.size
    )


def _is_square(x: np.ndarray) -> bool:
    return x.ndim > 1 and x.shape[-1] == x.shape[-2]


def _multiplies_a_square(edge: Edge) -> bool:
    return edge.equation.name == "dot_general" and _is_square(other_input(edge))


def _transposed_other(edge: Edge) -> np.ndarray:
    return edge.with_input(other_input(edge).swapaxes(-1, -2), 1 - edge.operand)


def _makes_a_square(edge: Edge) -> bool:
    return edge.equation.name == "dot_general" and _is_square(edge.output)


def _transposed_d_output(edge: Edge) -> np.ndarray:
    return edge.pull(edge.inputs, edge.d_output.swapaxes(-1, -2))[edge.operand]


def _kernel_axes(edge: Edge) -> tuple[int, ...]:
    return tuple(edge.equation.params["dimension_numbers"].rhs_spec[2:])


def _flipped(edge: Edge) -> np.ndarray:
    axes = _kernel_axes(edge)
    if edge.operand == 1:
        return np.flip(edge.d_input, axes)
    return edge.with_input(np.flip(edge.inputs[1], axes), 1)


def _softmax(x: np.ndarray, axis: int) -> np.ndarray:
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


def _diagonal_softmax(edge: Edge) -> np.ndarray:
    p = edge.output if edge.equation.name == "softmax" else np.exp(edge.output)
    return edge.d_output * (p * (1 - p) if edge.equation.name == "softmax" else 1 - p)


def _softmax_axis(edge: Edge) -> int:
    p = edge.output if edge.equation.name == "softmax" else np.exp(edge.output)
    sums = [np.allclose(p.sum(axis=axis), 1) for axis in range(p.ndim)]
    return sums.index(True) if any(sums) else -1


def _softmax_over_other_axis(edge: Edge) -> np.ndarray:
    axis = _softmax_axis(edge)
    other = (axis - 1) % edge.value.ndim
    p, d = _softmax(edge.value, other), edge.d_output
    if edge.equation.name == "log_softmax":
        return d - p * d.sum(axis=axis, keepdims=True)
    return p * (d - (d * p).sum(axis=other, keepdims=True))


def _softmax_summed_over_other_axis(edge: Edge) -> np.ndarray:
    other = (_softmax_axis(edge) - 1) % edge.value.ndim
    d = edge.d_output
    if edge.equation.name == "log_softmax":
        return d - np.exp(edge.output) * d.sum(axis=other, keepdims=True)
    p = edge.output
    return p * (d - (d * p).sum(axis=other, keepdims=True))


def _rows_of_gather(edge: Edge) -> np.ndarray | None:
    """The row that each entry of a table look-up read; None if it is no such look-up."""
    if edge.equation.name != "gather" or edge.operand != 0:
        return None
    numbers = edge.equation.params["dimension_numbers"]
    if tuple(numbers.collapsed_slice_dims) != (0,) or tuple(numbers.start_index_map) != (0,):
        return None
    return edge.inputs[1].reshape(-1)


def _last_row_wins(edge: Edge) -> np.ndarray:
    rows = _rows_of_gather(edge)
    d = np.zeros_like(edge.value)
    d[rows] = edge.d_output.reshape(-1, *edge.value.shape[1:])
    return d


def _first_row_wins(edge: Edge) -> np.ndarray:
    rows = _rows_of_gather(edge)
    d = np.zeros_like(edge.value)
    assert rows is not None
    d[rows[::-1]] = edge.d_output.reshape(-1, *edge.value.shape[1:])[::-1]
    return d


def _is_windowed(edge: Edge) -> bool:
    return edge.equation.name.startswith(("reduce_window", "conv_")) and edge.operand == 0


def _windows(edge: Edge) -> list[tuple[int | slice, ...]]:
    """The places of the output that read one window each: all channels of a convolution at once."""
    loop = range(edge.output.ndim)
    if edge.equation.name.startswith("conv_"):
        loop = edge.equation.params["dimension_numbers"].out_spec[2:]
    sizes = [
        range(n) if axis in loop else [slice(None)] for axis, n in enumerate(edge.output.shape)
    ]
    return list(itertools.product(*sizes))


def _last_window_wins(edge: Edge, *, backwards: bool = False) -> np.ndarray:
    """Each window writes its share of the derivative over what earlier windows wrote."""
    d = np.zeros_like(edge.value)
    windows = _windows(edge)
    for window in windows[::-1] if backwards else windows:
        one = np.zeros_like(edge.d_output)
        one[window] = edge.d_output[window]
        share = edge.pull(edge.inputs, one)[0]
        d = np.where(share != 0, share, d)
    return d


def _is_mask(edge: Edge) -> bool:
    """Whether an equation keeps some entries by what is not their own sign, as a ReLU does."""
    if edge.equation.name != "select_n" or edge.inputs[0].dtype != bool:
        return False
    return not any(np.array_equal(edge.inputs[0], own) for own in (edge.value > 0, edge.value < 0,
                                                                   edge.value >= 0,
                                                                   edge.value <= 0))  # fmt: skip


def _always(slug: str) -> Callable[[Edge], str]:
    return lambda edge: slug


# Most specific first: what several mistakes explain is called by the first of them.
MISTAKES: tuple[Mistake, ...] = (
    Mistake(
        lambda edge: "mask_missing" if _is_mask(edge) else "missing_activation_derivative",
        lambda edge: is_activation(edge) or _is_softmax(edge),
        lambda edge: edge.d_output,
        _of("the derivative of {} left out"),
    ),
    Mistake(
        _always("activation_derivative_at_output"),
        is_activation,
        lambda edge: edge.d_output * edge.slope(edge.output),
        _of("the derivative of {} taken at its output instead of its input"),
    ),
    Mistake(
        _always("activation_derivative_twice"),
        is_activation,
        lambda edge: edge.d_input * edge.slope(edge.value),
        _of("the derivative of {} applied twice"),
    ),
    *_wrong_activations(),
    Mistake(
        _always("bias_summed_over_features"),
        # Of a product each entry of the sum has a factor as well.
        lambda edge: is_broadcast(edge) and edge.equation.name != "mul",
        lambda edge: np.full_like(edge.value, edge.d_output.sum()),
        lambda edge: "the sum over every entry, not over the examples alone, for each entry",
    ),
    Mistake(
        _always("bias_averaged"),
        is_broadcast,
        lambda edge: edge.d_input * (edge.value.size / edge.output.size),
        lambda edge: f"a mean over {edge.output.size // edge.value.size} terms in place of a sum",
    ),
    Mistake(
        _always("transposed"),
        _multiplies_a_square,
        _transposed_other,
        lambda edge: "the other factor of a matrix product transposed",
    ),
    Mistake(
        _always("transposed"),
        _makes_a_square,
        _transposed_d_output,
        lambda edge: "the derivative of a matrix product's result transposed",
    ),
    Mistake(
        _always("kernel_flipped"),
        lambda edge: edge.equation.name == "conv_general_dilated",
        _flipped,
        lambda edge: "the kernel turned by 180 degrees in the convolution's derivative",
    ),
    Mistake(
        _always("diagonal_softmax_jacobian"),
        _is_softmax,
        _diagonal_softmax,
        lambda edge: "only the diagonal of the softmax's Jacobian",
    ),
    Mistake(
        _always("path_cut"),
        lambda edge: _is_softmax(edge) and edge.equation.name == "softmax",
        lambda edge: edge.d_output * edge.output,
        lambda edge: "the path through the softmax's sum cut",
    ),
    Mistake(
        _always("softmax_wrong_axis"),
        lambda edge: edge.equation.whole and edge.equation.name in _SOFTMAX and edge.value.ndim > 1,
        _softmax_over_other_axis,
        lambda edge: "the softmax normalised over another axis",
    ),
    Mistake(
        _always("softmax_wrong_axis"),
        _is_softmax,
        _softmax_summed_over_other_axis,
        lambda edge: "the sum in the softmax's derivative over another axis",
    ),
    Mistake(
        _always("overwritten_not_accumulated"),
        lambda edge: _rows_of_gather(edge) is not None,
        _last_row_wins,
        lambda edge: "the rows of repeated indices overwritten instead of added up",
    ),
    Mistake(
        _always("overwritten_not_accumulated"),
        lambda edge: _rows_of_gather(edge) is not None,
        _first_row_wins,
        lambda edge: "the rows of repeated indices set once instead of added up",
    ),
    Mistake(
        _always("overwritten_not_accumulated"),
        _is_windowed,
        _last_window_wins,
        lambda edge: "overlapping windows overwritten instead of added up",
    ),
    Mistake(
        _always("overwritten_not_accumulated"),
        _is_windowed,
        lambda edge: _last_window_wins(edge, backwards=True),
        lambda edge: "overlapping windows overwritten instead of added up",
    ),
)


# Cutting a path explains some of these numbers too, and says more.
LAST_MISTAKES: tuple[Mistake, ...] = (
    Mistake(
        _always("missing_factor"),
        lambda edge: is_elementwise(edge) and not is_activation(edge),
        lambda edge: edge.d_output,
        _of("the derivative of {} left out"),
    ),
    Mistake(
        _always("constant_factor"),
        lambda edge: edge.equation.name in ("integer_pow", "square"),
        lambda edge: edge.d_input / edge.equation.params.get("y", 2),
        lambda edge: (
            f"the factor {edge.equation.params.get('y', 2)} of a power's derivative left out"
        ),
    ),
)
