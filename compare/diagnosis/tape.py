"""A loss as a list of equations with their values, ready to be walked backwards.

The loss is traced to a jaxpr; calls are inlined, short scans unrolled, of a `cond` the branch that
is taken stands in its place, and a library function that maps one array to one of the same shape
(an activation, a softmax) is kept whole as one equation.
"""

import dataclasses
import functools
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core

from compare.diagnosis.expressions import expression_of
from compare.diagnosis.forward import Forward, Loop, Turn, Values, loop_of, on_host
from compare.jaxprs import bind, called_jaxpr, mark_of, signature_of
from compare.sites import inner_site, is_of_a_rule, library_call, site_of

__all__ = ["Equation", "Recording", "Tape", "record", "record_results"]

MOST_UNROLLED = 3000
"""A scan that would become more equations than this stays one."""


class Equation(NamedTuple):
    """One step of the computation.

    Attributes:
        name: the primitive, or the library function that is kept whole: `add`, `tanh`, `gelu`.
        params: the primitive's static settings; empty for a whole function.
        inputs: the slots it reads.
        outputs: the slots it writes.
        fn: what it computes, `fn(*arrays) -> list of arrays`.
        signature: equal for equations that compute the same on the same shapes.
        site: `file:line` of the user's code, and "" where there is none.
        whole: whether it is a library function kept whole.
        step: (scan, step) for an equation of an unrolled scan.
        origin: equal for equations that the same call of the same line made, at different times.
    """

    name: str
    params: dict[str, Any]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    fn: Callable[..., list[Any]]
    signature: Any
    site: str
    whole: bool
    step: tuple[int, int] | None
    origin: Any = None

    @property
    def taken(self) -> int | None:
        """The entry of an array that a turn of an unrolled scan takes, where it does no more."""
        return self.signature[1] if self.name == "take" and not self.whole else None

    @property
    def source(self) -> Any:
        """Equal for equations that one place of the source makes; alike ones, if none is known."""
        return self.origin or self.signature


@dataclasses.dataclass(frozen=True)
class Tape:
    """The computation of a scalar loss.

    Attributes:
        equations: in their order.
        leaves: the slot of every parameter, by path.
        loss: the slot of the result.
        leaves_of: for every slot, the paths of the parameters that a derivative by it can reach:
            of integers and truths none, whatever they were computed from.
        carries: (scan, step, slot) of every state that an unrolled step hands to the next.
        forward: what computes the value of every slot.
    """

    equations: list[Equation]
    leaves: dict[str, int]
    loss: int
    leaves_of: list[frozenset[str]]
    carries: list[tuple[int, int, int]]
    forward: Forward

    @property
    def shapes(self) -> dict[int, jax.ShapeDtypeStruct]:
        """The shape and dtype of every slot, known before anything is computed."""
        return self.forward.shapes

    @property
    def values(self) -> list[np.ndarray]:
        """The value of every slot, computed when it is first asked for."""
        return self.forward.values


def record(loss: Callable[..., Any], leaves: dict[str, np.ndarray], constants: list[Any]) -> Tape:
    """Traces `loss(list of leaf arrays, constants)` at these values.

    Raises:
        TypeError: from jax, if the loss cannot be traced.
    """
    closed = jax.make_jaxpr(loss)(list(leaves.values()), constants)
    recorder = _Recorder()
    inputs = [recorder.constant(x) for x in [*leaves.values(), *jax.tree.leaves(constants)]]
    (out,) = recorder.jaxpr(closed.jaxpr, closed.consts, inputs, "", None)
    names = dict(zip(leaves, inputs, strict=False))
    forward = Forward(recorder.equations, tuple(recorder.loops), recorder.constants)
    ancestry = recorder.ancestry(names, forward.shapes)
    return Tape(recorder.equations, names, out, ancestry, recorder.carries, forward)


class Recording(NamedTuple):
    """The computation of several arrays.

    Attributes:
        equations: in their order.
        outputs: the slot of every result, by name.
        constants: the values of the slots that no equation computes.
    """

    equations: list[Equation]
    outputs: dict[str, int]
    constants: dict[int, Any]


def record_results(fn: Callable[[], dict[str, Any]]) -> Recording:
    """Traces `fn() -> arrays by name`, whose arrays are in its closure.

    Raises:
        Exception: whatever `fn` raises of arrays whose values are not known.
    """
    closed, shapes = jax.make_jaxpr(fn, return_shape=True)()
    recorder = _Recorder()
    outs = recorder.jaxpr(closed.jaxpr, closed.consts, [], "", None)
    constants = {slot: on_host(value) for slot, value in recorder.constants.items()}
    return Recording(recorder.equations, dict(zip(sorted(shapes), outs, strict=True)), constants)


class _Recorder:
    def __init__(self) -> None:
        self.equations: list[Equation] = []
        self.constants: dict[int, Any] = {}
        self.carries: list[tuple[int, int, int]] = []
        self.loops: list[Loop] = []
        self.groups: dict[int, tuple[core.Jaxpr, list[_Group]]] = {}
        self.branches: list[int] = []
        self.values = Values(self.equations, self.constants)
        self.slots = 0
        self.scans = itertools.count()

    def new_slot(self) -> int:
        self.slots += 1
        return self.slots - 1

    def constant(self, value: Any) -> int:
        slot = self.new_slot()
        self.constants[slot] = value
        return slot

    def append(
        self, name: str, inputs: Sequence[int], count: int, fn: Callable[..., Any], **details: Any
    ) -> list[int]:
        outputs = tuple(self.new_slot() for _ in range(count))
        whole = details.pop("whole", False)
        self.equations.append(
            Equation(name, details.pop("params", {}), tuple(inputs), outputs, fn, whole=whole,
                     **details)
        )  # fmt: skip
        return list(outputs)

    def jaxpr(
        self,
        jaxpr: core.Jaxpr,
        consts: Sequence[Any],
        inputs: Sequence[int],
        site: str,
        step: tuple[int, int] | None,
        caller: Any = None,
    ) -> list[int]:
        """Appends the equations of a jaxpr.

        Args:
            jaxpr: of what is called.
            consts: the values of its constants.
            inputs: the slots of its inputs.
            site: of the call, where it is a library's.
            step: as in `Equation`.
            caller: the origin of the call; None at the top.
        """
        env: dict[core.Var, int] = dict(zip(jaxpr.invars, inputs, strict=True))
        env.update(zip(jaxpr.constvars, map(self.constant, consts), strict=True))

        def read(atom: Any) -> int:
            return self.constant(atom.val) if isinstance(atom, core.Literal) else env[atom]

        if id(jaxpr) not in self.groups:  # The turns of a loop are one jaxpr, which is kept.
            self.groups[id(jaxpr)] = jaxpr, [*_groups(jaxpr)]
        _, groups = self.groups[id(jaxpr)]
        for position, group in enumerate(groups):
            where = site or group.site
            slots = [read(atom) for atom in group.invars]
            # A called function is traced once, whoever calls it: there the place counts.
            origin = (group.frames, position if caller else None, caller)
            outs = self.group(group, slots, where, step, origin)
            env.update(zip(group.outvars, outs, strict=True))
        return [read(atom) for atom in jaxpr.outvars]

    def group(
        self,
        group: "_Group",
        inputs: list[int],
        site: str,
        step: tuple[int, int] | None,
        origin: Any,
    ) -> list[int]:
        if group.name is not None:
            return self.append(
                group.name, inputs, 1, group.evaluate, signature=group.signature, site=site,
                whole=True, step=step, origin=origin,
            )  # fmt: skip
        (eqn,) = group.eqns
        inner = group.called
        if inner is not None:
            within = inner_site(inner, site)
            return self.jaxpr(inner.jaxpr, inner.consts, inputs, within, step, origin)
        if eqn.primitive.name == "scan" and _unrolled_size([eqn]) <= MOST_UNROLLED:
            return self.scan(eqn, inputs, site, origin)
        if eqn.primitive.name == "cond":
            return self.cond(eqn, inputs, site, step, origin)
        return self.append(
            eqn.primitive.name, inputs, len(eqn.outvars), functools.partial(bind, eqn),
            params=eqn.params, signature=group.signature, site=site, step=step, origin=origin,
        )  # fmt: skip

    def cond(
        self,
        eqn: core.JaxprEqn,
        inputs: list[int],
        site: str,
        step: tuple[int, int] | None,
        origin: Any,
    ) -> list[int]:
        """Appends the equations of the branch that is taken at these values."""
        branches = eqn.params["branches"]
        chosen = int(np.clip(self.values[inputs[0]], 0, len(branches) - 1))
        self.branches.append(chosen)
        branch = branches[chosen]
        within = inner_site(branch, site)
        return self.jaxpr(branch.jaxpr, branch.consts, inputs[1:], within, step, origin)

    def scan(self, eqn: core.JaxprEqn, inputs: list[int], site: str, origin: Any) -> list[int]:
        p = eqn.params
        body, number = p["jaxpr"], next(self.scans)
        n_consts, n_carry = p["num_consts"], p["num_carry"]
        consts, carry = inputs[:n_consts], inputs[n_consts : n_consts + n_carry]
        xs = inputs[n_consts + n_carry :]
        steps = range(p["length"])[::-1] if p["reverse"] else range(p["length"])
        stacks: list[list[int]] = [[0] * p["length"] for _ in eqn.outvars[n_carry:]]
        within = inner_site(body, site)
        turns: list[Turn] = []
        taken: list[list[int]] = []
        outer, self.loops = self.loops, []
        before, self.branches = self.branches, []
        for turn, t in enumerate(steps):
            at = (number, turn)
            begins = len(self.equations), self.slots
            self.carries += [(number, turn, slot) for slot in carry]
            x = [self.take(slot, t, site, at) for slot in xs]
            self.branches = []
            outs = self.jaxpr(body.jaxpr, body.consts, [*consts, *carry, *x], within, at, origin)
            taken.append(self.branches)
            for stack, slot in zip(stacks, outs[n_carry:], strict=True):
                stack[t] = slot
            # A state that is also an output is two values: only one of them is carried.
            handed = [self.copy(slot, site, at) for slot in outs[:n_carry]]
            turns.append(Turn(*begins, tuple(carry), tuple(handed), tuple(outs[n_carry:])))
            carry = handed
        inner, self.loops = self.loops, outer
        self.branches = [*before, *itertools.chain(*taken)]
        # Turns that take other branches are no loop of one computation.
        is_loop = len(turns) > 1 and all(own == taken[0] for own in taken)
        self.loops += [loop_of(turns, xs, p["reverse"], inner)] if is_loop else inner
        return [*carry, *(self.stack(slots, site) for slots in stacks)]

    def take(self, slot: int, t: int, site: str, step: tuple[int, int]) -> int:
        signature = ("take", t)
        return self.append(
            "take", [slot], 1, lambda x: [x[t]], signature=signature, site=site, step=step
        )[0]

    def copy(self, slot: int, site: str, step: tuple[int, int]) -> int:
        return self.append(
            "copy", [slot], 1, lambda x: [x], signature="copy", site=site, step=step
        )[0]

    def stack(self, slots: list[int], site: str) -> int:
        return self.append(
            "stack", slots, 1, lambda *x: [jnp.stack(x)], params={"axis": 0}, signature="stack",
            site=site, step=None,
        )[0]  # fmt: skip

    def ancestry(self, leaves: dict[str, int], shapes: Mapping[int, Any]) -> list[frozenset[str]]:
        known: dict[int, frozenset[str]] = {slot: frozenset((n,)) for n, slot in leaves.items()}
        for equation in self.equations:
            union = frozenset().union(*(known.get(slot, frozenset()) for slot in equation.inputs))
            smooth = [s for s in equation.outputs if jnp.issubdtype(shapes[s].dtype, jnp.inexact)]
            known.update(dict.fromkeys(smooth, union))
        return [known.get(slot, frozenset()) for slot in range(self.slots)]


def _unrolled_size(eqns: Iterable[core.JaxprEqn]) -> int:
    """How many equations these are with their scans unrolled."""
    size = 0
    for eqn in eqns:
        inner = called_jaxpr(eqn)
        if inner is not None:
            size += _unrolled_size(inner.jaxpr.eqns)
        elif eqn.primitive.name == "scan":
            size += eqn.params["length"] * _unrolled_size(eqn.params["jaxpr"].jaxpr.eqns)
        elif eqn.primitive.name == "cond":
            size += max(_unrolled_size(branch.jaxpr.eqns) for branch in eqn.params["branches"])
        else:
            size += 1
    return size


def _frames(eqn: core.JaxprEqn) -> Any:
    """The stack of calls that made an equation, hashable."""
    traceback = eqn.source_info.traceback
    return None if traceback is None else tuple(zip(*traceback.raw_frames(), strict=True))


@dataclasses.dataclass(frozen=True, eq=False)
class _Group:
    """Equations that belong together: one alone, or those of a whole library function."""

    eqns: list[core.JaxprEqn]
    invars: list[Any]
    outvars: list[Any]
    name: str | None

    @functools.cached_property
    def signature(self) -> Any:
        if self.name is None:
            return signature_of(self.eqns[0])
        # What one of them is given as a number is no input of the whole, as the bounds of a clip.
        numbers: dict[Any, Any] = {}
        own = [(signature_of(e), [mark_of(a, numbers) for a in (*e.invars, *e.outvars)])
               for e in self.eqns]  # fmt: skip
        return (self.name, *((sign, tuple(marks)) for sign, marks in own))

    @functools.cached_property
    def site(self) -> str:
        # A call has the line that it stands in; what it computes inside has its own.
        if self.called is None and is_of_a_rule(code for code, _ in self.frames or ()):
            return ""
        return site_of(self.eqns[0])

    @functools.cached_property
    def frames(self) -> Any:
        return _frames(self.eqns[0])

    @functools.cached_property
    def called(self) -> core.ClosedJaxpr | None:
        """What the one equation calls."""
        return called_jaxpr(self.eqns[0])

    def evaluate(self, *inputs: Any) -> list[Any]:
        env = dict(zip(self.invars, inputs, strict=True))
        for eqn in self.eqns:
            values = [a.val if isinstance(a, core.Literal) else env[a] for a in eqn.invars]
            env.update(zip(eqn.outvars, _run(eqn, values), strict=True))
        return [env[v] for v in self.outvars]


def _groups(jaxpr: core.Jaxpr) -> Iterator[_Group]:
    """The equations of a jaxpr, those of one call of a library function together."""
    for _, equations in itertools.groupby(jaxpr.eqns, key=_call_of):
        run = list(equations)
        whole = _whole(run, jaxpr)
        if whole is not None:
            yield whole
            continue
        for eqn in run:
            alone = _whole([eqn], jaxpr) if called_jaxpr(eqn) is not None else None
            yield alone or _Group([eqn], list(eqn.invars), list(eqn.outvars), None)


def _call_of(eqn: core.JaxprEqn) -> Any:
    """The call of a library function that an equation belongs to; an operator is one by itself."""
    site, called = library_call(eqn)
    # Two calls may stand on one line, one inside the other.
    return (site, called, expression_of(eqn)) if called else id(eqn)


def _whole(run: list[core.JaxprEqn], jaxpr: core.Jaxpr) -> _Group | None:
    """The run as one function of one array, if it is that and keeps the shape."""
    if len(run) == 1 and called_jaxpr(run[0]) is None:
        return None
    inside = {v for eqn in run for v in eqn.outvars}
    reads = {a for eqn in run for a in eqn.invars if not isinstance(a, core.Literal)} - inside
    used_later = {
        a
        for eqn in jaxpr.eqns
        if eqn not in run
        for a in eqn.invars
        if not isinstance(a, core.Literal)
    } | {a for a in jaxpr.outvars if not isinstance(a, core.Literal)}
    written = [v for v in inside if v in used_later]
    if len(reads) != 1 or len(written) != 1:
        return None
    (x,), (y,) = reads, written
    floating = all(jnp.issubdtype(v.aval.dtype, jnp.floating) for v in (x, y))  # pyright: ignore
    if not floating or x.aval.shape != y.aval.shape:  # pyright: ignore
        return None
    name = (_called(run[0]) if len(run) == 1 else "") or library_call(run[0])[1]
    return _Group(run, [x], [y], name)


def _called(eqn: core.JaxprEqn) -> str:
    """The name of the function that a call calls."""
    inner = called_jaxpr(eqn)
    source = inner.jaxpr.debug_info.func_src_info if inner else None
    return eqn.params.get("name") or (source or "").split(" at ")[0]


def _run(eqn: core.JaxprEqn, values: list[Any]) -> list[Any]:
    inner = called_jaxpr(eqn)
    return bind(eqn, *values) if inner is None else list(core.jaxpr_as_fun(inner)(*values))
