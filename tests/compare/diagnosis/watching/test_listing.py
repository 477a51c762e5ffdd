"""Each line of a candidate, and what it computes."""

import jax.numpy as jnp
import numpy as np

from compare.checker import check_gradients
from compare.diagnosis.watching.listing import described
from compare.diagnosis.watching.references import Reference
from compare.diagnosis.watching.watch import watch
from tests.compare.diagnosis.watching import candidates
from tests.compare.diagnosis.watching.candidates import line_of


def lines_of(case):
    return {line.variable: line for line in watch(*case).listing if line.variable}


def test_lines_before_and_after_the_mistake(case_of):
    lines = lines_of(case_of(candidates.in_jax))
    assert {name: line.status for name, line in lines.items()} == {
        "z1": "right", "a1": "right", "z2": "right", "dz2": "right", "dw2": "right",
        "dz1": "wrong", "dw1": "follows",
    }  # fmt: skip
    assert lines["a1"].what.startswith("a1 of the loss (line ")
    assert lines["dz2"].what == "∂L/∂z2"
    assert lines["dw2"].what == "∂L/∂w2"
    assert lines["dz1"].what.startswith("should be the derivative of tanh; off by up to ")
    number = line_of("# wrong in jax").rpartition(":")[2]
    assert lines["dw1"].what == f"wrong because of line {number}"


def test_a_numpy_candidate_has_the_same(case_of):
    lines = lines_of(case_of(candidates.in_numpy))
    assert lines["a1"].status == lines["dz2"].status == "right"
    assert lines["dz1"].status == "follows"
    assert lines["dw1"].source.startswith("dw1")


def test_the_lines_are_in_the_order_of_the_source(case_of):
    numbers = [
        line.line for line in watch(*case_of(candidates.in_jax)).listing
        if line.file == candidates.__file__
    ]  # fmt: skip
    assert numbers == sorted(numbers)


def test_what_a_reference_is_called():
    gradient = Reference("gradient", 0, np.ones(2), "loss.py:3", "z", None, named=True)
    assert described(gradient) == "∂L/∂z"
    assert described(gradient._replace(about="1/w")) == "∂L/∂1/w"
    unnamed = gradient._replace(named=False)
    assert described(unnamed._replace(about="x @ w")) == "∂L/∂(x @ w)"
    assert described(unnamed._replace(about="matrix product")) == "∂L/∂(matrix product)"
    assert described(gradient._replace(kind="value")) == "z of the loss (line 3)"
    assert described(gradient._replace(kind="term")) == "a term of ∂L/∂z"


def test_the_step_of_a_loop_that_is_wrong():
    rng = np.random.default_rng(0)
    w, xs = rng.standard_normal(3), rng.standard_normal((4, 3))

    def loss(w, xs):
        h = jnp.zeros(3)
        for x in xs:
            h = jnp.tanh(w * h + x)
        return jnp.sum(h**3)

    def candidate(w, xs):
        hs = [np.zeros(3)]
        for x in xs:
            hs.append(np.tanh(w * hs[-1] + x))
        dh, dw = 3 * hs[-1] ** 2, np.zeros(3)
        for t in (3, 2, 1, 0):
            dz = dh * (1 - hs[t + 1] ** 2) * (2 if t == 1 else 1)
            dw = dw + dz * hs[t]
            dh = dz * w
        return np.sum(hs[-1] ** 3), dw

    report = check_gradients(candidate, loss, w, xs, jit=False)
    assert report.diagnosis is not None
    (wrong,) = [line for line in report.diagnosis.listing if line.variable == "dz"]
    assert wrong.status == "wrong"
    assert "in step 3 of 4" in wrong.what or "in 2 of 4 steps" in wrong.what, wrong.what
