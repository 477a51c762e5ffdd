"""The article `regularised-mlp`: 128-256-128-64-1, batch-norm, ReLU, dropout 0.3, AdamW, cosine."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from compare.articles.claim import Claim, Options
from compare.articles.descent import Method, descend
from compare.articles.signals import dead_share, delta_norms, drawn
from compare.problems import mlp, regularised_mlp
from compare.training.loop import steps_per_epoch
from compare.training.optimizers import optimizer
from compare.training.steps import LossAndGrad, init_state, make_epoch

__all__ = ["Setup", "claims", "prepare", "range_test"]

SIZES = (128, 256, 128, 64, 1)
DEEP = (128, *(64,) * 10, 1)
BATCH, RATE, EPOCHS = 64, 1e-3, 100
LARGE, SMALL = 3.0, 0.1
"""Learning rates of gradient descent: one that kills units, and one that does not."""
_FEW_STEPS = 3
"""Enough for units to die. After many steps at such a rate descent is chaotic: rounding decides."""
_BINARY = "sigmoid_binary_cross_entropy"
_SETTINGS = "128-256-128-64-1, 1,000 random rows"
_PLAIN = "128-256-128-64-1 without batch-norm, 250 random rows"


class Setup(NamedTuple):
    """What both methods start from.

    Attributes:
        batch: 1,000 random rows of 128 and random labels.
        few: the first 250 of these rows, for what the article warns of.
        plain: initial parameters of the same sizes without batch-norm and dropout, He's.
        sigmoid: initial parameters of ten hidden layers, variance 1 / n_in.
        relu: initial parameters of ten hidden layers, variance 2 / n_in, He's.
        key: the random key of the article's network: its parameters, shuffles and masks.
        epochs: the number of epochs.
    """

    batch: tuple[np.ndarray, np.ndarray]
    few: tuple[np.ndarray, np.ndarray]
    plain: Any
    sigmoid: Any
    relu: Any
    key: jax.Array
    epochs: int


def prepare(options: Options) -> Setup:
    """Draws the rows and every initial parameter."""
    rng = np.random.default_rng(options.seed)
    x = rng.standard_normal((1000, SIZES[0])).astype(np.float32)
    y = rng.integers(0, 2, (1000, 1)).astype(np.float32)
    return Setup(
        batch=(x, y),
        few=(x[:250], y[:250]),
        plain=drawn(options.seed, SIZES, 2.0),
        sigmoid=drawn(options.seed, DEEP, 1.0),
        relu=drawn(options.seed, DEEP, 2.0),
        key=jax.random.key(options.seed),
        epochs=3 if options.quick else EPOCHS,
    )


def claims(setup: Setup, method: Method) -> Iterator[Claim]:
    """Measures every claim of the article, by one method."""
    yield from _training(setup, method)
    yield _sigmoid_derivative(method)
    yield from _depth(setup, method)
    yield _dead(setup, method)
    yield _plateau()
    yield _finder(setup, method)


def _training(setup: Setup, method: Method) -> Iterator[Claim]:
    """Trains, and records the learning rate at every epoch."""
    model = regularised_mlp(SIZES, _BINARY)
    steps = steps_per_epoch(len(setup.batch[0]), BATCH)
    chosen = optimizer(
        "adamw", RATE, "cosine", epochs=EPOCHS, steps_per_epoch=steps, clip=1.0, weight_decay=1e-4
    )
    key, run_key = jax.random.split(setup.key)
    params, model_state = model.initial(key)
    state = init_state(params, model_state, chosen.transformation, run_key)
    epoch = make_epoch(method(model), chosen.transformation, BATCH)
    rates, mean_losses = [], []
    for _ in range(setup.epochs):
        rates.append(float(chosen.learning_rate(state.opt_state, state.step)))
        state, losses = epoch(state, *setup.batch)
        mean_losses.append(float(losses.mean()))
    rates.append(float(chosen.learning_rate(state.opt_state, state.step)))
    settings = f"{_SETTINGS}, AdamW, {setup.epochs} of {EPOCHS} epochs"
    yield Claim(
        "the standard training step",
        "the loss falls",
        f"{mean_losses[0]:.3f} → {mean_losses[-1]:.3f}",
        mean_losses[-1] < mean_losses[0],
        {"loss": mean_losses},
        settings,
    )
    share = setup.epochs / EPOCHS
    expected = RATE * (1 + np.cos(np.pi * share)) / 2
    yield Claim(
        "cosine annealing, T_max 100",
        f"{RATE:g} → {expected:.2g}",
        f"{rates[0]:g} → {rates[-1]:.2g}",
        # The schedule computes the cosine in float32, which is off by up to a millionth.
        bool(abs(rates[-1] - expected) <= 1e-6 * RATE),
        {"rates": rates},
        settings,
    )


def _sigmoid_derivative(method: Method) -> Claim:
    """Measures σ′ as the gradient by the bias of a sigmoid, its output ½ above the target.

    The derivative of a squared error that is off by ½ is 1, so that σ′ alone is left.
    """
    model = mlp((1, 1, 1), "sigmoid", "mean_squared_error")
    params = [{"w": jnp.ones((1, 1)), "b": jnp.zeros(1)}] * 2
    gradient, key = method(model), jax.random.key(0)
    z = jnp.arange(-80, 81) / 10

    @jax.jit
    def derivatives(z: jax.Array) -> jax.Array:
        def derivative(x: jax.Array) -> jax.Array:
            target = model.predict(params, (), x[None, None]) - 0.5
            _, grads = gradient(params, (), (x[None, None], target), key)
            return grads[0]["b"][0]

        return jax.vmap(derivative)(z)

    measured = np.asarray(derivatives(z))
    top = float(measured.max())
    return Claim(
        "sigmoid's derivative ≤ 0.25",
        "0.25",
        f"{top:.4f} at z = {float(z[measured.argmax()]):g}",
        # The rounding of a − y leaves a few units in the last place.
        abs(top - 0.25) <= 4 * float(jnp.finfo(jnp.float32).eps),
        {"z": z, "derivative": measured},
    )


def _depth(setup: Setup, method: Method) -> Iterator[Claim]:
    sigmoid, relu = (method(mlp(DEEP, f, _BINARY)) for f in ("sigmoid", "relu"))
    through = {
        "sigmoid": delta_norms(sigmoid, setup.sigmoid, setup.few),
        "relu_he": delta_norms(relu, setup.relu, setup.few),
        "relu_xavier": delta_norms(relu, setup.sigmoid, setup.few),
    }
    ratios = {name: float(norms[0] / norms[-1]) for name, norms in through.items()}
    expected = 0.25**10
    yield Claim(
        "ten sigmoid layers shrink the signal",
        f"about 0.25¹⁰ = {expected:.1e}",
        f"{ratios['sigmoid']:.1e}; ReLU with He {ratios['relu_he']:.2f}",
        # "About" is read as an order of magnitude, either way.
        expected / 10 <= ratios["sigmoid"] <= 10 * expected,
        {"delta_norms": through, "ratios": ratios},
        "128-[64]×10-1, weights of variance 1/n",
    )
    yield Claim(
        "He initialisation suits ReLU",
        "keeps the signal",
        f"{ratios['relu_he']:.2f} of it; variance 1/n {ratios['relu_xavier']:.3f}",
        # A layer keeps √½ of the norm without He's factor 2, and all with it; ∜½ is half-way.
        ratios["relu_xavier"] ** 0.1 < 0.5**0.25 < ratios["relu_he"] ** 0.1,
        {"ratios": ratios},
        "128-[64]×10-1",
    )


def _dead(setup: Setup, method: Method) -> Claim:
    def share(activation: str, *rates: float) -> list[float]:
        model = mlp(SIZES, activation, _BINARY)
        gradient = method(model)
        trained = [descend(gradient, setup.plain, setup.few, r, _FEW_STEPS)[0] for r in rates]
        return [dead_share(gradient, params, setup.few) for params in trained]

    relu, relu_small_rate = share("relu", LARGE, SMALL)
    (leaky_relu,) = share("leaky_relu", LARGE)
    return Claim(
        "ReLUs die, LeakyReLUs do not",
        "dead units",
        f"{relu:.0%} dead; LeakyReLU {leaky_relu:.0%}; at lr {SMALL:g} {relu_small_rate:.0%}",
        leaky_relu == 0 < relu,
        {"relu": relu, "leaky_relu": leaky_relu, "relu_small_rate": relu_small_rate},
        f"{_PLAIN}, {_FEW_STEPS} steps at lr {LARGE:g}",
    )


def _plateau() -> Claim:
    """Follows the learning rate while the loss stands still."""
    chosen = optimizer("sgd", RATE, "plateau")
    update = optax.with_extra_args_support(chosen.transformation).update
    params = {"w": jnp.zeros(1)}

    def step(opt_state: Any, i: jax.Array) -> tuple[Any, Any]:
        rate = chosen.learning_rate(opt_state, i)
        _, opt_state = update(params, opt_state, params, value=jnp.ones(()))
        return opt_state, rate

    _, rates = jax.lax.scan(step, chosen.transformation.init(params), jnp.arange(25))
    rates = np.asarray(rates)
    cut = int(np.flatnonzero(rates < rates[0])[0]) if rates.min() < rates[0] else None
    return Claim(
        "reduce-on-plateau",
        "a smaller rate",
        "never" if cut is None else f"{rates[0]:g} → {rates[cut]:g} after {cut} epochs",
        cut is not None,
        {"rates": rates},
        "a loss that stands still",
    )


def range_test(gradient: LossAndGrad, params: Any, batch: Any, rates: jax.Array) -> jax.Array:
    """Runs gradient descent with one step at each rate; returns the loss before each step.

    This is the learning-rate range test of Smith (2017).
    """

    def step(params: Any, rate: jax.Array) -> tuple[Any, jax.Array]:
        (loss, _), grads = gradient(params, (), batch, jax.random.key(0))
        return optax.apply_updates(params, jax.tree.map(lambda g: -rate * g, grads)), loss

    return jax.jit(lambda params: jax.lax.scan(step, params, rates)[1])(params)


def _finder(setup: Setup, method: Method) -> Claim:
    """Finds a tenth of the rate at which the range test's loss is smallest (Smith 2017)."""
    gradient = method(mlp(SIZES, "relu", _BINARY))
    tried = np.geomspace(1e-5, 10, 100)
    curve = np.asarray(range_test(gradient, setup.plain, setup.few, jnp.asarray(tried)))
    found = float(tried[np.nanargmin(curve)] / 10)
    rates = jnp.array([found / 100, found, found * 100])
    _, (losses, _) = jax.vmap(lambda r: descend(gradient, setup.plain, setup.few, r, 50))(rates)
    low, at, high = (float(x) for x in losses[:, -1])
    return Claim(
        "a learning-rate finder",
        "finds a rate that trains",
        f"{found:.2g}: loss {at:.3f}; at a 100th {low:.3f}, 100 times {high:.3g}",
        at < low and not at >= high,
        {"rates": tried, "loss": curve, "found": found, "after_50_steps": [low, at, high]},
        f"{_PLAIN}, 50 steps",
    )
