"""Rules that compute in a narrower type inside, as kernels do: right ones agree, wrong ones do not.

`make narrow` runs the full table; the gate runs a part of it.
"""

import os
from collections import Counter
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from compare import check_gradients, check_rule
from compare.trees import largest_difference

RULES = int(os.environ.get("HANDGRAD_NARROW", "4"))
"""How many right rules; half as many are then made wrong, in the gate one by each noise."""
APART = 1 if os.environ.get("HANDGRAD_THOROUGH") else max(1, RULES // 2)
FIRST = int(os.environ.get("HANDGRAD_NARROW_FIRST", "0"))
POINTS = 256
"""Over so many the noise of a narrow type is known: a single decision that falls otherwise is rare
and large."""
TIMES_THE_NOISE = 10


def width(rng: np.random.Generator, largest: int) -> int:
    return int(rng.integers(2, largest + 1))


# Functions of (dot, *inputs), where dot is the product of two matrices; beside each how its inputs
# are drawn. They compute in the type of their inputs.


def softmax_of(dot: Any, scores: Any, v: Any) -> Any:
    return dot(jax.nn.softmax(scores, axis=-1), v)


def attention(dot: Any, q: Any, k: Any, v: Any) -> Any:
    return softmax_of(dot, dot(q, k.T) / q.shape[-1] ** 0.5, v)


def causal_attention(dot: Any, q: Any, k: Any, v: Any) -> Any:
    scores = dot(q, k.T) / q.shape[-1] ** 0.5
    seen = jnp.tri(*scores.shape, dtype=bool)
    return softmax_of(dot, jnp.where(seen, scores, -1e4), v)


def capped_attention(dot: Any, q: Any, k: Any, v: Any) -> Any:
    return softmax_of(dot, 5 * jnp.tanh(dot(q, k.T) / 5), v)


def biased_attention(dot: Any, q: Any, k: Any, v: Any, bias: Any) -> Any:
    return softmax_of(dot, dot(q, k.T) / q.shape[-1] ** 0.5 + bias, v)


def multi_query_attention(dot: Any, q: Any, k: Any, v: Any) -> Any:
    return jax.vmap(lambda own: attention(dot, own, k, v))(q)


def linear_attention(dot: Any, q: Any, k: Any, v: Any) -> Any:
    q, k = jax.nn.elu(q) + 1, jax.nn.elu(k) + 1
    return dot(q, dot(k.T, v)) / (q * k.sum(axis=0)).sum(axis=-1, keepdims=True)


def layer_norm(dot: Any, x: Any, gamma: Any, beta: Any) -> Any:
    centred = x - x.mean(axis=-1, keepdims=True)
    return centred / jnp.sqrt((centred**2).mean(axis=-1, keepdims=True) + 1e-5) * gamma + beta


def batch_norm(dot: Any, x: Any, gamma: Any, beta: Any) -> Any:
    return layer_norm(dot, x.T, gamma[:, None], beta[:, None]).T


def rms_norm(dot: Any, x: Any, gamma: Any) -> Any:
    return x / jnp.sqrt((x**2).mean(axis=-1, keepdims=True) + 1e-6) * gamma


def rnn(dot: Any, x: Any, w: Any, u: Any) -> Any:
    def step(h: Any, x: Any) -> Any:
        h = jnp.tanh(dot(x[None], w)[0] + dot(h[None], u)[0])
        return h, h

    return jax.lax.scan(step, jnp.zeros(u.shape[0], x.dtype), x)[1]


def gru(dot: Any, x: Any, w: Any, u: Any) -> Any:
    def step(h: Any, x: Any) -> Any:
        (r, z, n), (hr, hz, hn) = jnp.split(dot(x[None], w)[0], 3), jnp.split(dot(h[None], u)[0], 3)
        z = jax.nn.sigmoid(z + hz)
        h = z * h + (1 - z) * jnp.tanh(n + jax.nn.sigmoid(r + hr) * hn)
        return h, h

    return jax.lax.scan(step, jnp.zeros(u.shape[0], x.dtype), x)[1]


def lstm(dot: Any, x: Any, w: Any, u: Any) -> Any:
    def step(state: Any, x: Any) -> Any:
        h, c = state
        i, f, o, g = jnp.split(dot(x[None], w)[0] + dot(h[None], u)[0], 4)
        c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
        h = jax.nn.sigmoid(o) * jnp.tanh(c)
        return (h, c), h

    zero = jnp.zeros(u.shape[0], x.dtype)
    return jax.lax.scan(step, (zero, zero), x)[1]


def delta_rule(dot: Any, q: Any, k: Any, v: Any, beta: Any) -> Any:
    k = k / jnp.sqrt((k**2).sum(axis=-1, keepdims=True))

    def step(memory: Any, now: Any) -> Any:
        q, k, v, beta = now
        error = v - dot(k[None], memory)[0]
        memory = memory + jax.nn.sigmoid(beta) * k[:, None] * error[None]
        return memory, dot(q[None], memory)[0]

    zero = jnp.zeros((k.shape[1], v.shape[1]), q.dtype)
    return jax.lax.scan(step, zero, (q, k, v, beta))[1]


def gated_recurrence(dot: Any, x: Any, gate: Any) -> Any:
    def step(h: Any, now: Any) -> Any:
        a = jax.nn.sigmoid(now[1])
        h = a * h + (1 - a) * now[0]
        return h, h

    return jax.lax.scan(step, jnp.zeros(x.shape[1], x.dtype), (x, gate))[1]


def log_probabilities(dot: Any, z: Any) -> Any:
    return jax.nn.log_softmax(z, axis=-1)[:, 0]


def cross_entropy(dot: Any, x: Any, w: Any) -> Any:
    return -log_probabilities(dot, dot(x, w))


def binary_cross_entropy(dot: Any, z: Any) -> Any:
    return jax.nn.softplus(z) - 0.3 * z


def focal(dot: Any, z: Any) -> Any:
    return jax.nn.sigmoid(-z) ** 2 * jax.nn.softplus(-z)


def huber(dot: Any, x: Any, y: Any) -> Any:
    error = jnp.abs(x - y)
    return jnp.where(error < 1, error**2 / 2, error - 0.5)


def contrastive(dot: Any, a: Any, b: Any) -> Any:
    a, b = (x / jnp.sqrt((x**2).sum(axis=-1, keepdims=True)) for x in (a, b))
    return -jnp.diagonal(jax.nn.log_softmax(dot(a, b.T) * 5, axis=-1))


def gelu_network(dot: Any, x: Any, w: Any, v: Any) -> Any:
    return dot(jax.nn.gelu(dot(x, w)), v)


def swiglu(dot: Any, x: Any, w: Any, v: Any) -> Any:
    return jax.nn.silu(dot(x, w)) * dot(x, v)


def mish(dot: Any, x: Any) -> Any:
    return x * jnp.tanh(jax.nn.softplus(x))


def logsumexp(dot: Any, x: Any) -> Any:
    return jax.nn.logsumexp(x, axis=-1)


def product(dot: Any, x: Any, w: Any) -> Any:
    return dot(x, w)


def shapes(text: str) -> Any:
    """Draws inputs of the shapes "ta ab": one letter is one random width."""

    def draw(rng: np.random.Generator) -> list[np.ndarray]:
        size = {letter: width(rng, 33 if letter == "t" else 17) for letter in "tabh"}
        parts = [[int(letter) * size["h"] if letter.isdigit() else size[letter] for letter in part]
                 for part in text.split()]  # fmt: skip
        # A matrix of weights is scaled as an initialiser does.
        return [
            rng.standard_normal(part) / (1 if name[0] in "t2" or len(part) < 2 else part[0] ** 0.5)
            for name, part in zip(text.split(), parts, strict=True)
        ]

    return draw


FUNCTIONS = {
    attention: shapes("ta ta tb"),
    layer_norm: shapes("ta a a"),
    gru: shapes("ta a3 h3"),
    cross_entropy: shapes("ta ab"),
    delta_rule: shapes("ta ta tb t"),
    logsumexp: shapes("ta"),
    causal_attention: shapes("ta ta tb"),
    rms_norm: shapes("ta a"),
    gelu_network: shapes("ta ab ba"),
    product: shapes("ta ab"),
    lstm: shapes("ta a4 h4"),
    binary_cross_entropy: shapes("ta"),
    batch_norm: shapes("ta a a"),
    biased_attention: shapes("ta ta tb tt"),
    focal: shapes("ta"),
    linear_attention: shapes("ta ta tb"),
    gated_recurrence: shapes("ta ta"),
    swiglu: shapes("ta ab ab"),
    capped_attention: shapes("ta ta tb"),
    huber: shapes("ta ta"),
    multi_query_attention: shapes("2ta ta tb"),
    rnn: shapes("ta ah hh"),
    contrastive: shapes("ta ta"),
    mish: shapes("ta"),
}


def in_products(a: Any, b: Any) -> Any:
    """Products of bfloat16, accumulated in float32."""
    narrow = a.astype(jnp.bfloat16), b.astype(jnp.bfloat16)
    return jnp.matmul(*narrow, preferred_element_type=jnp.float32)


class Style(NamedTuple):
    """How a rule computes: in which type, with which product, its cotangents scaled by what."""

    name: str
    dtype: Any
    dot: Any = jnp.matmul
    scale: float = 1.0

    def narrowest(self, fn: Any, inputs: tuple[np.ndarray, ...]) -> Any:
        """The type that it rounds to; where `fn` has no product, that of all the rest."""
        products = []

        def noting(a: Any, b: Any) -> Any:
            products.append(a)
            return jnp.matmul(a, b)

        jax.eval_shape(lambda *inputs: fn(noting, *inputs), *inputs)
        return jnp.bfloat16 if products and self.dot is in_products else self.dtype


STYLES = (
    Style("float32", jnp.float32),
    Style("bfloat16", jnp.bfloat16),
    Style("bfloat16 products", jnp.float32, in_products),
    Style("float16, scaled", jnp.float16, jnp.matmul, 64.0),
)


class Rule(NamedTuple):
    """A rule that computes in one type inside, and what it is held against."""

    name: str
    fwd: Any
    bwd: Any
    reference: Any
    inputs: tuple[np.ndarray, ...]
    cotangent: np.ndarray
    unit: float


def converting(fn: Any, style: Style) -> tuple[Any, Any]:
    """The halves of a rule of `fn`: converted on the way in, and back on the way out."""

    def of(inputs: Any) -> Any:
        return fn(style.dot, *(x.astype(style.dtype) for x in inputs))

    def fwd(*inputs: Any) -> Any:
        return of(inputs).astype(inputs[0].dtype), inputs

    def bwd(inputs: Any, d_out: Any) -> Any:
        out, pullback = jax.vjp(of, inputs)
        (gradient,) = pullback((d_out * style.scale).astype(out.dtype))
        return tuple(g / style.scale for g in gradient)

    return fwd, bwd


def drawn(number: int) -> Rule:
    """The rule of this number: every function in every style, at a size of its own."""
    rng = np.random.default_rng(number)
    functions = list(FUNCTIONS.items())
    fn, draw = functions[number % len(functions)]
    style = STYLES[(number + number // len(functions)) % len(STYLES)]
    inputs = tuple(draw(rng))
    plain = lambda *inputs: fn(jnp.matmul, *inputs)  # noqa: E731
    out = jax.eval_shape(plain, *inputs)
    fwd, bwd = converting(fn, style)
    name = f"{number}: {fn.__name__} in {style.name} {[x.shape for x in inputs]}"
    cotangent = rng.standard_normal(out.shape)
    unit = float(jnp.finfo(style.narrowest(fn, inputs)).eps)
    return Rule(name, fwd, bwd, plain, inputs, cotangent, unit)


def by_hand(rule: Rule, bwd: Any) -> Any:
    """`rule` as the gradient of Σ cotangent · out."""

    def candidate(inputs: Any, cotangent: Any) -> Any:
        out, residuals = rule.fwd(*inputs)
        return (out * cotangent).sum(), bwd(residuals, cotangent)

    return candidate


def loss_of(rule: Rule) -> Any:
    return lambda inputs, cotangent: (rule.reference(*inputs) * cotangent).sum()


def checked(rule: Rule, number: int) -> Any:
    """By check_rule and by check_gradients in turn, float64 and float32 given in turn."""
    dtype = ("float64", "float32")[number // 2 % 2]
    if number % 2:
        return check_rule(rule.fwd, rule.bwd, *rule.inputs, reference=rule.reference, dtype=dtype)
    candidate = by_hand(rule, rule.bwd)
    return check_gradients(candidate, loss_of(rule), rule.inputs, rule.cotangent, dtype=dtype)


def own_noise(rule: Rule, _: Any = None) -> list[float]:
    """How far the right gradient is off in each input, in root mean square over points near by."""
    rng = np.random.default_rng(1)
    of = jax.jit(by_hand(rule, rule.bwd))
    exact = jax.jit(jax.grad(loss_of(rule)))
    apart = []
    for _ in range(POINTS):
        # The cotangent rounds as well: a bias's gradient is a sum of its entries alone.
        *moved, d = (
            x * (1 + rule.unit * rng.uniform(-1, 1, np.shape(x)))
            for x in (*rule.inputs, rule.cotangent)
        )
        pairs = zip(of(tuple(moved), d)[1], exact(tuple(moved), d), strict=True)
        apart.append([largest_difference(np.asarray(a), np.asarray(b)) for a, b in pairs])
    return list(np.sqrt(np.mean(np.square(apart), axis=0)))


def is_lost(rule: Rule) -> bool:
    """Whether the type is too narrow for this point: a leaf is hardly more than its own noise."""
    with jax.enable_x64(True):
        largest = [np.max(np.abs(g)) for g in jax.grad(loss_of(rule))(rule.inputs, rule.cotangent)]
        return any(20 * noise > size for noise, size in zip(own_noise(rule), largest, strict=True))


def reported_noise(_: Rule, right: Any) -> list[float]:
    """The noise of each input as the checker has it."""
    return [leaf.noise for leaf in right.leaves]


def reported(rule: Rule, candidate: Any) -> Any:
    return check_gradients(candidate, loss_of(rule), rule.inputs, rule.cotangent, dtype="float64")


def spoilt(rule: Rule, number: int, noise: Any) -> tuple[Any, str]:
    """The gradient of the rule, wrong by so many times its noise in one input; and which input.

    By no less than twice what the checker says of the right one that it would have caught there.
    """
    rng = np.random.default_rng(number)
    leaf = int(rng.integers(len(rule.inputs)))
    entry = tuple(rng.integers(0, rule.inputs[leaf].shape))
    right = reported(rule, by_hand(rule, rule.bwd))
    (stated,) = (row.tolerance for row in right.leaves if row.path == str(leaf))
    with jax.enable_x64(True):
        error = np.fmax(TIMES_THE_NOISE * noise(rule, right)[leaf], 2 * stated)
    assert error > 0, rule.name

    def bwd(residuals: Any, cotangent: Any) -> Any:
        gradient = list(rule.bwd(residuals, cotangent))
        g = gradient[leaf]
        if number % 2:
            gradient[leaf] = g.at[entry].add(error)
        else:
            wave = jnp.cos(jnp.arange(g.size) / g.size).reshape(g.shape).astype(g.dtype)
            change = g * wave
            gradient[leaf] = g + change * (error / jnp.max(jnp.abs(change)))
        return tuple(gradient)

    return by_hand(rule, bwd), str(leaf)


def test_right_rules_in_a_narrow_type_raise_no_alarm():
    """Where the type cannot hold the gradient at all, that is to be said."""
    verdicts, alarms = Counter[str](), []
    for number in range(FIRST, FIRST + RULES):
        rule = drawn(number)
        report = checked(rule, number)
        verdicts[report.verdict] += 1
        assert any("inside" in line for line in report.details), f"{rule.name}\n{report}"
        if not (report.agree or (report.verdict == "inconclusive" and is_lost(rule))):
            alarms.append(f"{rule.name}\n{report}")
    print(f"right: {dict(verdicts)}")
    assert not alarms, f"{len(alarms)} alarms\n" + "\n\n".join(alarms)


@pytest.mark.parametrize(("noise", "first"), [(reported_noise, 0), (own_noise, APART - 1)])
def test_an_error_of_ten_times_the_noise_and_twice_what_is_stated_is_detected(noise, first):
    verdicts, missed = Counter[str](), []
    for number in range(FIRST + first, FIRST + RULES // 2, APART):
        rule = drawn(number)
        candidate, leaf = spoilt(rule, number, noise)
        report = reported(rule, candidate)
        verdicts[report.verdict] += 1
        row = next(row for row in report.leaves if row.path == leaf)
        if row.agrees and not (report.verdict == "inconclusive" and is_lost(rule)):
            found = f"{row.max_abs:.1e}, and up to {row.tolerance:.1e} is allowed"
            missed.append(f"{rule.name}: {report.verdict}; {leaf} is off by {found}")
    print(f"wrong by {TIMES_THE_NOISE} times the {noise.__name__}: {dict(verdicts)}")
    assert not missed, f"{len(missed)} missed\n" + "\n".join(missed)


# Kernels whose carry is float32, whatever they are given: they cannot run in float64 at all.


def cumulative_bwd(_: Any, d: Any) -> Any:
    zero = jnp.zeros(d.shape[1:], jnp.float32)
    return (jax.lax.scan(lambda c, t: (c + t, c + t), zero, d, reverse=True)[1],)


def linear_recurrence(a: Any, x: Any) -> Any:
    """h_t = a_t h_{t-1} + x_t."""

    def step(h: Any, now: Any) -> Any:
        h = now[0] * h + now[1]
        return h, h

    return jax.lax.scan(step, jnp.zeros(x.shape[1:], x.dtype), (a, x))[1]


def linear_recurrence_bwd(residuals: Any, d: Any) -> Any:
    """dh_t = d_t + a_{t+1} dh_{t+1}, dx_t = dh_t, da_t = dh_t h_{t-1}."""
    a, h = residuals
    following = jnp.concatenate([a[1:], jnp.zeros_like(a[:1])])
    before = jnp.concatenate([jnp.zeros_like(h[:1]), h[:-1]])

    def step(carry: Any, now: Any) -> Any:
        dh = now[0] + now[1] * carry
        return dh, dh

    zero = jnp.zeros(d.shape[1:], jnp.float32)
    dh = jax.lax.scan(step, zero, (d, following), reverse=True)[1]
    return dh * before, dh


def linear_recurrence_fwd(a: Any, x: Any) -> Any:
    h = linear_recurrence(a, x)
    return h, (a, h)


ONE_TYPE = {
    "cumulative sum": (lambda x: (jnp.cumsum(x, axis=0), None), cumulative_bwd, 1, None),
    "linear recurrence": (linear_recurrence_fwd, linear_recurrence_bwd, 2, linear_recurrence),
}


@pytest.mark.table
@pytest.mark.parametrize("name", ONE_TYPE)
@pytest.mark.parametrize("dtype", [None, "float32"])
def test_a_rule_that_runs_in_float32_alone(name, dtype):
    fwd, bwd, count, reference = ONE_TYPE[name]
    rng = np.random.default_rng(0)
    inputs = [rng.uniform(0.2, 1, (9, 4)).astype(np.float32) for _ in range(count)]
    report = check_rule(fwd, bwd, *inputs, reference=reference, dtype=dtype)
    assert report.agree, report
    assert any("cannot run in float64" in line for line in report.details)

    def wrong(residuals: Any, d: Any) -> Any:
        *others, last = bwd(residuals, d)
        return (*others, last.at[2, 1].add(1e-5))

    report = check_rule(fwd, wrong, *inputs, reference=reference, dtype=dtype)
    assert report.verdict == "manual_wrong", report


def fp8_fwd(x):
    return (x / 0.25).astype(jnp.float8_e4m3fn).astype(x.dtype) * 0.25, None


def fp8_bwd(_, dy):
    return ((dy / 4).astype(jnp.float8_e5m2).astype(dy.dtype) * 4,)


def test_a_type_that_nothing_is_computed_in_is_no_obstacle():
    x = np.random.default_rng(0).standard_normal((3, 4)).astype(np.float32)
    exact = check_rule(fp8_fwd, lambda _, dy: (dy,), x)
    assert exact.agree
    assert exact.detectable < 1e-8
    assert check_rule(fp8_fwd, fp8_bwd, x, accuracy=0.125).agree
    wrong = check_rule(fp8_fwd, lambda _, dy: (fp8_bwd(_, dy)[0] / 2,), x, accuracy=0.125)
    assert wrong.verdict == "manual_wrong"


def test_what_computes_in_a_narrow_type_alone_has_no_line_and_a_reason():
    def bwd(x, dy):
        like = jax.ShapeDtypeStruct(x.shape, np.float32)
        return (dy * jax.pure_callback(lambda x: x, like, x.astype(np.float32)),)

    report = check_rule(lambda x: (x**2, x), bwd, np.linspace(0.3, 0.9, 5))
    assert report.verdict == "manual_wrong"
    assert report.diagnosis is not None
    assert report.diagnosis.suspects == ()
    assert "the candidate computes in a narrower type alone" in report.diagnosis.evidence


def test_a_rule_in_numpy_that_stores_in_float8_agrees():
    x = np.random.default_rng(0).standard_normal((3, 4))

    def bwd(_, dy):
        return (np.asarray(dy).astype(jnp.float8_e5m2).astype(np.float64),)

    report = check_rule(fp8_fwd, bwd, x, jit=False, accuracy=0.125)
    assert report.agree
