"""The mistakes that people make in a backward pass, as changes of a right one.

A `Suspect` says which pullbacks to change and how. Nothing here looks at the candidate's numbers:
`diagnosis` runs the suspects and keeps the one that gives the same.
"""

import itertools
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

import numpy as np

from compare.backward import Backward, Edge, Place, Rule
from compare.tape import Equation

__all__ = ["Suspect", "pairs", "suspects"]


class Suspect(NamedTuple):
    """One mistake at one or several places.

    Attributes:
        slug: the name of the bug.
        rules: which pullbacks change, and how.
        story: what was done wrong, to follow "jax.grad's own backward pass with ...".
    """

    slug: str
    rules: Mapping[Place, Rule]
    story: str


class _Mistake(NamedTuple):
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
_SOFTMAX = frozenset({"softmax", "log_softmax"})


def _is_elementwise(edge: Edge) -> bool:
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


def _is_activation(edge: Edge) -> bool:
    known = edge.equation.whole or edge.equation.name in _ACTIVATIONS
    return known and _is_elementwise(edge)


def _name(equation: Equation) -> str:
    return {"logistic": "sigmoid", "max": "maximum", "select_n": "where"}.get(
        equation.name, equation.name
    )


def _of(text: str) -> Callable[[Edge], str]:
    """A story with the equation's name in it."""
    return lambda edge: text.format(_name(edge.equation))


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 0.5 * (1 + np.tanh(0.5 * x))


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
    "softplus's σ(x)": lambda x, y: _sigmoid(x),
    "silu's": lambda x, y: _sigmoid(x) * (1 + x * (1 - _sigmoid(x))),
    "swish's without its second term": lambda x, y: _sigmoid(x) + y,
    "the output": lambda x, y: y,
    "the input": lambda x, y: x,
}


def _wrong_activations() -> Iterator[_Mistake]:
    for name, slope in _DERIVATIVES.items():
        yield _Mistake(
            slug=lambda edge: "wrong_activation",
            fits=_is_activation,
            rule=lambda edge, slope=slope: edge.d_output * slope(edge.value, edge.output),
            story=_of(f"{name} in place of the derivative of {{}}"),
        )


def _fit(d: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Sums over the axes that were broadcast from 1."""
    axes = tuple(i for i, n in enumerate(shape) if n == 1 and d.shape[i] != 1)
    return d.sum(axis=axes, keepdims=True)


def _other(edge: Edge) -> np.ndarray:
    return edge.inputs[1 - edge.operand]


def _is_factor(edge: Edge) -> bool:
    """Whether the operand is multiplied, or divided, by another."""
    return edge.equation.name == "mul" or (edge.equation.name == "div" and edge.operand == 0)


def _without_factor(edge: Edge) -> np.ndarray:
    if edge.d_output.ndim != edge.value.ndim:
        return edge.d_output.sum() * np.ones_like(edge.value)
    return _fit(edge.d_output, edge.value.shape)


def _is_broadcast(edge: Edge) -> bool:
    """Whether one entry of the operand reaches several of the output, as a bias does."""
    return (
        edge.equation.name in ("add", "sub", "mul", "broadcast_in_dim")
        and 0 < edge.value.size < edge.output.size
    )


def _is_square(x: np.ndarray) -> bool:
    return x.ndim > 1 and x.shape[-1] == x.shape[-2]


def _multiplies_a_square(edge: Edge) -> bool:
    return edge.equation.name == "dot_general" and _is_square(_other(edge))


def _transposed_other(edge: Edge) -> np.ndarray:
    return edge.with_input(_other(edge).swapaxes(-1, -2), 1 - edge.operand)


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


def _always(slug: str) -> Callable[[Edge], str]:
    return lambda edge: slug


# Most specific first: what several mistakes explain is called by the first of them.
_MISTAKES: tuple[_Mistake, ...] = (
    _Mistake(
        _always("missing_activation_derivative"),
        lambda edge: _is_activation(edge) or _is_softmax(edge),
        lambda edge: edge.d_output,
        _of("the derivative of {} left out"),
    ),
    _Mistake(
        _always("activation_derivative_at_output"),
        _is_activation,
        lambda edge: edge.d_output * edge.slope(edge.output),
        _of("the derivative of {} taken at its output instead of its input"),
    ),
    _Mistake(
        _always("activation_derivative_twice"),
        _is_activation,
        lambda edge: edge.d_input * edge.slope(edge.value),
        _of("the derivative of {} applied twice"),
    ),
    *_wrong_activations(),
    _Mistake(
        _always("bias_summed_over_features"),
        _is_broadcast,
        lambda edge: np.full_like(edge.value, edge.d_output.sum()),
        lambda edge: "the sum over every entry, not over the examples alone, for each entry",
    ),
    _Mistake(
        _always("bias_averaged"),
        _is_broadcast,
        lambda edge: edge.d_input * (edge.value.size / edge.output.size),
        lambda edge: f"a mean over {edge.output.size // edge.value.size} terms in place of a sum",
    ),
    _Mistake(
        _always("transposed"),
        _multiplies_a_square,
        _transposed_other,
        lambda edge: "the other factor of a matrix product transposed",
    ),
    _Mistake(
        _always("transposed"),
        _makes_a_square,
        _transposed_d_output,
        lambda edge: "the derivative of a matrix product's result transposed",
    ),
    _Mistake(
        _always("kernel_flipped"),
        lambda edge: edge.equation.name == "conv_general_dilated",
        _flipped,
        lambda edge: "the kernel turned by 180 degrees in the convolution's derivative",
    ),
    _Mistake(
        _always("diagonal_softmax_jacobian"),
        _is_softmax,
        _diagonal_softmax,
        lambda edge: "only the diagonal of the softmax's Jacobian",
    ),
    _Mistake(
        _always("softmax_wrong_axis"),
        lambda edge: edge.equation.whole and edge.equation.name in _SOFTMAX and edge.value.ndim > 1,
        _softmax_over_other_axis,
        lambda edge: "the softmax normalised over another axis",
    ),
    _Mistake(
        _always("softmax_wrong_axis"),
        _is_softmax,
        _softmax_summed_over_other_axis,
        lambda edge: "the sum in the softmax's derivative over another axis",
    ),
    _Mistake(
        _always("overwritten_not_accumulated"),
        lambda edge: _rows_of_gather(edge) is not None,
        _last_row_wins,
        lambda edge: "the rows of repeated indices overwritten instead of added up",
    ),
    _Mistake(
        _always("overwritten_not_accumulated"),
        lambda edge: _rows_of_gather(edge) is not None,
        _first_row_wins,
        lambda edge: "the rows of repeated indices set once instead of added up",
    ),
    _Mistake(
        _always("overwritten_not_accumulated"),
        _is_windowed,
        _last_window_wins,
        lambda edge: "overlapping windows overwritten instead of added up",
    ),
    _Mistake(
        _always("overwritten_not_accumulated"),
        _is_windowed,
        lambda edge: _last_window_wins(edge, backwards=True),
        lambda edge: "overlapping windows overwritten instead of added up",
    ),
)


# Cutting a path explains some of these numbers too, and says more.
_LAST_MISTAKES: tuple[_Mistake, ...] = (
    _Mistake(
        _always("missing_factor"),
        lambda edge: _is_elementwise(edge) and not _is_activation(edge),
        lambda edge: edge.d_output,
        _of("the derivative of {} left out"),
    ),
    _Mistake(
        _always("constant_factor"),
        lambda edge: edge.equation.name in ("integer_pow", "square"),
        lambda edge: edge.d_input / edge.equation.params.get("y", 2),
        lambda edge: (
            f"the factor {edge.equation.params.get('y', 2)} of a power's derivative left out"
        ),
    ),
)


def _factor_suspect(tape_places: "_Places", edge: Edge) -> tuple[str, str]:
    """What a left-out factor is called: a scale, dropout's scale, or just a factor."""
    index = tape_places.backward.tape.equations.index(edge.equation)
    constant = not tape_places.backward.tape.leaves_of[edge.equation.inputs[1 - edge.operand]]
    if constant and _other(edge).size == 1:
        if tape_places.is_mean(edge):
            return "constant_factor", f"a mean's division by {_other(edge).item():g} left out"
        near = tape_places.touches_random(index)
        number = f"the constant {_other(edge).item():.6g}"
        verb = "factor" if edge.equation.name == "mul" else "divisor"
        slug = "dropout_scale_missing" if near else "scale_omitted"
        return slug, f"the {verb} {number} left out"
    if _fewer(_other(edge), edge.value):
        return "scale_omitted", "the scale that multiplies each feature left out"
    return "missing_factor", "the other factor of a product left out"


def _fewer(scale: np.ndarray, x: np.ndarray) -> bool:
    return 0 < scale.size < x.size


class _Places:
    """Where mistakes can be made on a tape, the same line of an unrolled loop being one place."""

    def __init__(self, backward: Backward):
        self.backward = backward
        self.tape = backward.tape
        self.edges = {place: backward.edge(place) for place in backward.places()}
        self.units = self._units()
        self.random = self._random_slots()

    def _units(self) -> list[tuple[Place, ...]]:
        """Places that one line of the user's program makes: one, or one for each step of a scan."""
        position: dict[int, int] = {}
        last: tuple[int, int] | None = None
        count = 0
        for index, equation in enumerate(self.tape.equations):
            count = count + 1 if equation.step == last and equation.step else 0
            last = equation.step
            position[index] = count
        units: dict[tuple[int, ...], list[Place]] = defaultdict(list)
        for index, operand in self.edges:
            step = self.tape.equations[index].step
            key = (-1, index, operand) if step is None else (step[0], position[index], operand)
            units[key].append((index, operand))
        return [tuple(unit) for unit in units.values()]

    def _random_slots(self) -> set[int]:
        """The slots that depend on random bits and on no parameter."""
        random: set[int] = set()
        for equation in self.tape.equations:
            drawn = equation.name.startswith(("random_", "threefry")) or any(
                slot in random for slot in equation.inputs
            )
            if drawn:
                random.update(s for s in equation.outputs if not self.tape.leaves_of[s])
        return random

    def is_mean(self, edge: Edge) -> bool:
        """Whether an equation divides a sum, as the second half of a mean."""
        summed = [e for e in self.tape.equations if edge.equation.inputs[0] in e.outputs]
        return edge.equation.name == "div" and any(
            e.name in ("reduce_sum", "reduce_window_sum", "broadcast_in_dim") for e in summed
        )

    def touches_random(self, index: int) -> bool:
        """Whether an equation is next to a random mask: reads, writes or is read beside one."""
        equation = self.tape.equations[index]
        reached = set(equation.outputs) | set(equation.inputs)
        for other in self.tape.equations:
            slots = set(other.inputs) | set(other.outputs)
            if slots & reached and set(other.inputs) & self.random:
                return True
        return False

    def kinds(self) -> list[tuple[Place, ...]]:
        """All units of one kind: every bias, every tanh."""
        kinds: dict[tuple[str, bool, int, bool], list[Place]] = defaultdict(list)
        for unit in self.units:
            edge = self.edges[unit[0]]
            leaf = edge.equation.inputs[edge.operand] in self.tape.leaves.values()
            kinds[(edge.equation.name, edge.equation.whole, edge.operand, leaf)] += unit
        return [tuple(kind) for kind in kinds.values()]


def suspects(backward: Backward) -> Iterator[Suspect]:
    """Every single mistake, the likeliest names first: at one line, then at all lines of a kind."""
    places = _Places(backward)
    groups = [places.units, [k for k in places.kinds() if len(k) > 1]]
    for group in groups:
        yield from _local(places, group, _MISTAKES)
        yield from _factors(places, group)
        if group is groups[0]:
            yield from _chains(places)
            yield from _structural(places)
            yield from _cuts(places)
        yield from _signs(places, group)
        yield from _local(places, group, _LAST_MISTAKES)


def _local(
    places: _Places, groups: Iterable[tuple[Place, ...]], mistakes: tuple[_Mistake, ...]
) -> Iterator[Suspect]:
    groups = list(groups)
    for mistake in mistakes:
        for group in groups:
            fitting = [place for place in group if mistake.fits(places.edges[place])]
            if fitting:
                edge = places.edges[fitting[0]]
                rules = dict.fromkeys(fitting, mistake.rule)
                yield Suspect(mistake.slug(edge), rules, mistake.story(edge))


def _factors(places: _Places, groups: Iterable[tuple[Place, ...]]) -> Iterator[Suspect]:
    for group in groups:
        fitting = [place for place in group if _is_factor(places.edges[place])]
        if fitting:
            edge = places.edges[fitting[0]]
            slug, story = _factor_suspect(places, edge)
            yield Suspect(slug, dict.fromkeys(fitting, _without_factor), story)
            if edge.equation.inputs[1 - edge.operand] in places.random:
                rules = dict.fromkeys(fitting, lambda e: e.d_output * (_other(e) != 0))
                yield Suspect("dropout_scale_missing", rules, "the mask without its 1/keep")


def _chains(places: _Places) -> Iterator[Suspect]:
    """A product of three factors, γ c / s, is two equations: mistakes that concern both."""
    for (index, operand), edge in places.edges.items():
        (output,) = edge.equation.outputs[:1]
        readers = [(i, e) for i, e in enumerate(places.tape.equations) if output in e.inputs]
        if edge.equation.name != "mul" or len(readers) != 1 or readers[0][1].name not in (
            "mul", "div",
        ):  # fmt: skip
            continue
        top, equation = readers[0]
        last = places.tape.values[equation.inputs[1 - equation.inputs.index(output)]]
        factor = 1 / last if equation.name == "div" else last
        yield Suspect(
            "missing_factor",
            {(index, operand): lambda e, f=factor: _fit(e.d_output / f, e.value.shape)},
            "the other factors of a product left out",
        )
        scale = edge.value
        if _fewer(scale, edge.output) and scale.all():
            without: Rule = lambda e, s=scale: e.pull(e.inputs, e.d_output / s)[e.operand]  # noqa: E731
            tops = [place for place in places.edges if place[0] == top]
            rules: dict[Place, Rule] = dict.fromkeys(tops, without)
            rules[(index, operand)] = lambda e: e.d_input * e.value
            yield Suspect("scale_omitted", rules, "the scale that multiplies each feature left out")


def _signs(places: _Places, groups: Iterable[tuple[Place, ...]]) -> Iterator[Suspect]:
    for group in groups:
        name = _name(places.edges[group[0]].equation)
        rules = dict.fromkeys(group, lambda edge: -edge.d_input)
        yield Suspect("sign_flipped", rules, f"the sign flipped at {name}")


def _cut(edge: Edge) -> np.ndarray:
    return np.zeros_like(edge.d_input)


def _structural(places: _Places) -> Iterator[Suspect]:
    """Penalties, time steps, and values that are used more than once."""
    yield from _penalties(places)
    yield from _truncations(places)
    yield from _overwritten_steps(places)
    yield from _overwritten(places)


def _penalties(places: _Places) -> Iterator[Suspect]:
    leaves = set(places.tape.leaves.values())
    squares = [
        place
        for place, edge in places.edges.items()
        if edge.equation.name in ("integer_pow", "square", "mul", "abs")
        and set(edge.equation.inputs) <= leaves
    ]
    if squares:
        story = "the penalty on the weights left out"
        yield Suspect("missing_weight_decay", dict.fromkeys(squares, _cut), story)
        for place in squares:
            yield Suspect("missing_weight_decay", {place: _cut}, story)


def _truncations(places: _Places) -> Iterator[Suspect]:
    tape = places.tape
    for scan in {number for number, _, _ in tape.carries}:
        handed = {
            place: equation.step[1]
            for place in places.edges
            if (equation := tape.equations[place[0]]).name == "copy"
            and equation.step
            and equation.step[0] == scan
        }
        stacked = [p for p in places.edges if tape.equations[p[0]].name == "stack"]
        last = max(turn for number, turn, _ in tape.carries if number == scan)
        inner = [place for place, turn in handed.items() if turn < last]
        if not inner:
            continue
        story = "nothing carried back from one time step to the one before"
        yield Suspect("time_steps_truncated", dict.fromkeys(inner, _cut), story)
        for kept in range(1, last + 1):
            cut = [place for place, turn in handed.items() if turn == last - kept]
            story = f"the gradient stopped after the last {kept} of {last + 1} time steps"
            yield Suspect("time_steps_truncated", dict.fromkeys(cut, _cut), story)
            outputs = [place for place in stacked if place[1] <= last - kept]
            rules = dict.fromkeys([*cut, *outputs], _cut)
            yield Suspect("time_steps_truncated", rules, story)


def _overwritten_steps(places: _Places) -> Iterator[Suspect]:
    """Parameters used at every step of a scan, of which one step's share is kept."""
    tape, leaves = places.tape, set(places.tape.leaves.values())
    by_step: dict[int, dict[int, list[Place]]] = defaultdict(lambda: defaultdict(list))
    for place, edge in places.edges.items():
        step = edge.equation.step
        if step and edge.equation.inputs[edge.operand] in leaves:
            by_step[step[0]][step[1]].append(place)
    for steps in by_step.values():
        names = [*tape.leaves.values()]
        for chosen in [leaves, *({slot} for slot in names)]:
            for kept in (min(steps), max(steps)):
                dropped = [
                    place
                    for step, own in steps.items()
                    if step != kept
                    for place in own
                    if tape.equations[place[0]].inputs[place[1]] in chosen
                ]
                if dropped:
                    story = f"only time step {kept} kept in the sum over time steps"
                    rules = dict.fromkeys(dropped, _cut)
                    yield Suspect("overwritten_not_accumulated", rules, story)


def _uses(places: _Places) -> dict[int, list[tuple[Place, ...]]]:
    """For each slot the units that read it, where there are several."""
    uses: dict[int, list[tuple[Place, ...]]] = defaultdict(list)
    for unit in places.units:
        for place in unit:
            slot = places.tape.equations[place[0]].inputs[place[1]]
            uses[slot].append((place,))
    return {slot: own for slot, own in uses.items() if len(own) > 1}


_STATISTICS = ("reduce_", "mean", "var", "std", "square", "integer_pow", "argm", "cum")


def _is_statistic(edge: Edge) -> bool:
    return edge.equation.name.startswith(_STATISTICS)


def _overwritten(places: _Places) -> Iterator[Suspect]:
    """A value used several times, of which one use is kept; statistics are paths of their own."""
    for own in _uses(places).values():
        if any(_is_statistic(places.edges[unit[0]]) for unit in own):
            continue
        for kept in range(len(own)):
            dropped = [place for i, unit in enumerate(own) if i != kept for place in unit]
            name = _name(places.edges[own[kept][0]].equation)
            story = f"only the last of {len(own)} uses of a value kept, that by {name}"
            yield Suspect("overwritten_not_accumulated", dict.fromkeys(dropped, _cut), story)


def _cuts(places: _Places) -> Iterator[Suspect]:
    for unit in places.units:
        edge = places.edges[unit[0]]
        story = f"the path through {_name(edge.equation)} cut at operand {edge.operand}"
        yield Suspect("path_cut", dict.fromkeys(unit, _cut), story)


def pairs(backward: Backward) -> Iterator[Suspect]:
    """Two paths cut at once: the mean and the variance of a normalisation."""
    places = _Places(backward)
    statistics = [
        unit
        for unit in places.units
        if _is_broadcast(places.edges[unit[0]])
        or (
            _is_factor(places.edges[unit[0]])
            and _fewer(places.edges[unit[0]].value, places.edges[unit[0]].output)
        )
        or _is_statistic(places.edges[unit[0]])
    ]
    for one, other in itertools.combinations(statistics, 2):
        rules = dict.fromkeys([*one, *other], _cut)
        story = "the mean and the variance of a normalisation taken as constants"
        yield Suspect("normalisation_terms_missing", rules, story)
