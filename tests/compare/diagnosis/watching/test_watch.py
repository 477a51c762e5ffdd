"""The line of a candidate, whatever it computes with, and nothing that raises."""

import dataclasses
import sys
import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from compare import check_gradients, check_rule
from compare.diagnosis.watching.graph import Graph
from compare.diagnosis.watching.lines import entries
from compare.diagnosis.watching.watch import (
    MOST_SUSPECTS,
    Watched,
    lines_of_a_bug,
    watch,
)
from compare.diagnosis.watching.watcher import record_python
from tests.compare.diagnosis.watching import candidates, recurrent
from tests.compare.diagnosis.watching.candidates import line_of


def test_the_line_of_a_jax_candidate(case_of):
    found = watch(*case_of(candidates.in_jax))
    assert found.suspects[0] == line_of("# wrong in jax")
    assert [name and name.bug for name in found.named] == ["wrong_derivative"]
    assert "derivative of tanh" in str(found.named[0])
    assert found.reason == ""


def test_the_line_of_a_numpy_candidate_in_a_helper_with_loops_after_it(case_of):
    found = watch(*case_of(candidates.in_numpy))
    assert line_of("# wrong in NumPy") in found.suspects[:3]
    assert {name and name.bug for name in found.named} == {"sign_flipped"}


def test_the_line_of_a_leaf_that_is_left_at_zero(case_of):
    found = watch(*case_of(candidates.left_at_zero))
    assert found.suspects[0] == line_of("# a leaf at zero")
    assert [name and name.bug for name in found.named] == ["path_cut"]


def test_complex_numbers_on_the_way_are_recognised(case_of):
    args = candidates.X, candidates.X[::-1] ** 2
    found = watch(
        *case_of(candidates.in_fourier, candidates.filtered, {"k": candidates.X[0]}, args)
    )
    assert found.reason == ""
    said = {line.variable: (line.status, line.what) for line in found.listing}
    assert said["spectrum"][0] == said["factor"][0] == "right"
    assert said["spectrum"][1].startswith("fft of the loss")
    assert line_of("# wrong in Fourier") in found.suspects


def test_the_derivative_of_the_loss_by_itself_is_not_where_a_region_begins():
    row = candidates.X[0]

    def fn():
        grad = np.float64(0)
        grad += 1.0  # as a tape begins
        return {"w": grad * row + grad * 0.3}

    graph = Graph(record_python(fn))
    found = entries(graph, [*range(len(graph.equations))])
    assert [graph.equations[i].name for i in found] == ["mul", "mul"]


def test_there_are_never_more_than_a_few(case_of):
    assert len(watch(*case_of(candidates.in_numpy)).suspects) <= MOST_SUSPECTS


def test_a_candidate_that_cannot_run_again_has_no_lines_and_a_reason(case_of):
    case, backward = case_of(candidates.in_jax)

    def fails():
        raise RuntimeError("only once")

    found = watch(dataclasses.replace(case, candidate=fails), backward)
    assert found.suspects == ()
    assert found.reason == "the candidate could not be watched: RuntimeError: only once"
    assert watch(dataclasses.replace(case, candidate=None), backward).reason


def test_in_another_thread_and_no_tracer_is_touched(case_of):
    case = case_of(candidates.in_numpy)
    before = sys.gettrace(), sys.getprofile()
    found = []
    thread = threading.Thread(target=lambda: found.append(watch(*case)))
    thread.start()
    thread.join()
    assert (sys.gettrace(), sys.getprofile()) == before
    assert found[0].suspects or "dtype" in found[0].reason


def test_the_report_has_the_lines():
    params = {name: jnp.asarray(x, jnp.float32) for name, x in candidates.PARAMS.items()}
    args = (jnp.asarray(candidates.X, jnp.float32), jnp.asarray(candidates.Y, jnp.float32))
    report = check_gradients(candidates.in_jax, candidates.loss, params, *args)
    assert report.diagnosis is not None
    assert report.diagnosis.suspects[0] == line_of("# wrong in jax")
    wrong = [line for line in report.listing if line.status == "wrong"]
    assert [f"{line.file}:{line.line}" for line in wrong] == [line_of("# wrong in jax")]
    assert "▸" in str(report)
    assert report.to_dict()["diagnosis"]["listing"][0]["status"] == "right"


def test_the_listing_of_a_pytorch_candidate():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed (pip install torch)")
    params = {name: torch.tensor(x) for name, x in candidates.PARAMS.items()}
    x, y = torch.tensor(candidates.X), torch.tensor(candidates.Y)
    report = check_gradients(candidates.in_torch, candidates.loss, params, x, y, jit=False)
    assert report.diagnosis is not None
    assert report.diagnosis.suspects[0] == line_of("# wrong in PyTorch")
    said = {line.variable: (line.status, line.what) for line in report.listing}
    assert said["dw2"] == ("right", "∂L/∂w2")
    assert said["dz1"][0] == "wrong"
    assert said["dw1"][0] == "follows"


def test_a_rule_has_the_lines_of_its_halves():
    def fwd(x):
        return jnp.tanh(x), x

    def bwd(x, d_out):
        return (d_out * (1 - x**2),)  # wrong in a rule

    report = check_rule(fwd, bwd, jnp.asarray([0.3, -1.2, 0.7]))
    assert report.diagnosis is not None
    line = bwd.__code__.co_firstlineno + 1
    assert report.diagnosis.suspects[0] == f"{__file__}:{line}"


def test_the_lines_of_a_mistake_that_computes_nothing(tmp_path):
    file = tmp_path / "program.py"
    file.write_text(
        "def f(a, b):\n    for x in a:\n        y = x\n    y = a\n    y = b\n    return y\n"
    )
    inside, after = f"{file}:3", f"{file}:6"
    assert lines_of_a_bug("dropped_examples", (inside,)) == (f"{file}:2", inside)
    assert lines_of_a_bug("path_cut", (after,)) == (f"{file}:5", after)
    assert lines_of_a_bug("transposed", (inside, after)) == (inside, after)


@jax.custom_vjp
def swish(x):
    return x * jax.nn.sigmoid(x)


def swish_fwd(x):
    return swish(x), x


def swish_bwd(x, g):
    s = jax.nn.sigmoid(x)
    return (g * (s + s * (1 - s)),)  # x is forgotten


swish.defvjp(swish_fwd, swish_bwd)


def net(params, x):
    return jnp.sum(swish(x @ params["w"] + params["b"]) ** 2)


def loss_of_net(params, x):
    z = x @ params["w"] + params["b"]
    return jnp.sum((z * jax.nn.sigmoid(z)) ** 2)


NET = {"w": np.random.default_rng(0).normal(size=(3, 2)), "b": np.asarray([0.3, -0.8])}
X = np.random.default_rng(1).normal(size=(4, 3))
LINE_OF_BWD = f"{__file__}:{swish_bwd.__code__.co_firstlineno + 2}"
LINE_OF_CALL = f"{__file__}:{net.__code__.co_firstlineno + 1}"


@pytest.mark.parametrize("net", [net, jax.jit(net)], ids=["as it is", "under jit"])
def test_a_rule_that_is_called_has_the_lines_of_its_halves(net):
    report = check_gradients(jax.value_and_grad(net), loss_of_net, NET, X)
    assert report.diagnosis is not None
    assert report.diagnosis.suspects == (LINE_OF_BWD,)
    status = {f"{line.file}:{line.line}": line.status for line in report.listing}
    assert status[LINE_OF_BWD] == "wrong"
    assert status[LINE_OF_CALL] == "follows"


def test_the_call_of_a_rule_whose_lines_are_not_known_is_not_accused(case_of):
    params, x = jax.tree.map(jnp.asarray, NET), jnp.asarray(X)
    _, pullback = jax.vjp(lambda params: net(params, x), params)  # Traced before it is watched.

    def candidate(params, x):
        return loss_of_net(params, x), pullback(jnp.ones(()))[0]

    found = watch(*case_of(candidate, loss_of_net, NET, (X,)))
    assert found.suspects == ()
    assert "check that rule alone" in found.reason
    assert not [line for line in found.listing if line.status == "wrong"]


def test_a_forward_pass_that_keeps_its_inputs_has_nothing_left_to_be_done():
    def fwd(x, w, mask):
        return jnp.where(mask, jnp.tanh(x) * w, 0.0), (x, w, mask)

    def bwd(residuals, d_out):
        x, w, mask = residuals
        dx = d_out * w * (1 - jnp.tanh(x) ** 2)  # the mask is forgotten
        return dx, jnp.where(mask, d_out * jnp.tanh(x), 0.0), None

    x, w = jnp.asarray([0.3, -1.2, 0.7, 0.1]), jnp.asarray([1.1, 0.4, -0.6, 2.1])
    report = check_rule(fwd, bwd, x, w, jnp.asarray([True, False, True, True]))
    assert report.diagnosis is not None
    assert report.diagnosis.bug == "mask_missing"
    line = bwd.__code__.co_firstlineno + 2
    assert report.diagnosis.suspects == (f"{__file__}:{line}",)


def test_a_turn_that_is_left_out_is_at_the_loop_and_not_where_zeros_are_made():
    params, xs = recurrent.PARAMS, recurrent.XS
    report = check_gradients(recurrent.a_turn_is_left_out, recurrent.loss, params, xs, jit=False)
    assert report.diagnosis is not None
    line = recurrent.line_of("# wrong: not the first")
    assert report.diagnosis.suspects[0] == line
    assert [f"{x.file}:{x.line}" for x in report.listing if x.status == "wrong"] == [line]


def test_a_line_that_is_right_in_the_other_layers_is_not_marked(case_of):
    params = {f"w{i}": np.random.default_rng(i).normal(size=(3, 3)) for i in range(4)}

    def loss(p, x):
        for i in range(3):
            x = jnp.tanh(x @ p[f"w{i}"])
        return ((x @ p["w3"]) ** 2).sum()

    def candidate(p, x):
        ws = [np.asarray(p[f"w{i}"]) for i in range(4)]
        acts, grads = [np.asarray(x)], {}
        for w in ws[:-1]:
            acts.append(np.tanh(acts[-1] @ w))
        delta = 2 * acts[-1] @ ws[-1]
        for i in (3, 2, 1, 0):
            grads[f"w{i}"] = acts[i].T @ delta
            if i == 1:
                delta = delta @ ws[i].T
            if i > 1:
                delta = (delta @ ws[i].T) * (1 - acts[i] ** 2)
        return (delta**2).sum(), grads

    found = watch(
        *case_of(candidate, loss, params, (np.random.default_rng(9).normal(size=(5, 3)),))
    )
    assert found.suspects[0] == f"{__file__}:{candidate.__code__.co_firstlineno + 9}"


def test_what_is_right_for_something_is_not_marked_for_being_read():
    """A 2 is forgotten: of e / n, e should be 2 e, but the line that makes e is right."""

    def loss(w, x, y):
        return jnp.mean((jnp.tanh(x @ w) - y) ** 2)

    def candidate(w, x, y):
        p = np.tanh(x @ w)
        e = p - y
        dp = e / y.size  # here
        return np.mean(e**2), x.T @ (dp * (1 - p**2))

    rng = np.random.default_rng(0)
    w, x, y = rng.normal(size=(3, 5)), rng.normal(size=(4, 3)), rng.normal(size=(4, 5))
    report = check_gradients(candidate, loss, w, x, y, jit=False)
    assert report.diagnosis is not None
    line = f"{__file__}:{candidate.__code__.co_firstlineno + 3}"
    assert report.diagnosis.suspects == (line,)


def test_the_parts_of_what_numpy_joins_are_told_apart():
    def loss(w, x):
        y = jnp.tanh(x @ w)
        return jnp.sum(jnp.sin(y[:, :2]) * y[:, 2:])

    def candidate(w, x):
        y = np.tanh(x @ w)
        a, b = y[:, :2], y[:, 2:]
        dy = np.concatenate([np.sin(a), np.cos(a) * b], axis=1)  # The two are exchanged.
        return np.sum(np.sin(a) * b), x.T @ (dy * (1 - y**2))

    rng = np.random.default_rng(0)
    report = check_gradients(
        candidate, loss, rng.normal(size=(3, 4)), rng.normal(size=(5, 3)), jit=False
    )
    assert report.diagnosis is not None
    line = f"{__file__}:{candidate.__code__.co_firstlineno + 3}"
    assert report.diagnosis.suspects[0] == line


def test_a_mistake_in_a_helper_is_named_of_every_layer_as_if_the_others_were_right(case_of):
    rng = np.random.default_rng(0)
    params = {f"g{i}": rng.normal(size=n) for i, n in ((1, 4), (2, 3))}
    params |= {f"w{i}": rng.normal(size=s) for i, s in ((1, (3, 4)), (2, (4, 3)))}

    def loss(p, x):
        for i in (1, 2):
            x = p[f"g{i}"] * jnp.tanh(x @ p[f"w{i}"])
        return jnp.sum(jnp.sin(x))

    def back(d, a, g):
        return d * (0.5 * (1 - a**2))  # g is forgotten

    def candidate(p, x):
        w1, w2, g1, g2 = (np.asarray(p[name]) for name in ("w1", "w2", "g1", "g2"))
        a1 = np.tanh(x @ w1)
        a2 = np.tanh(g1 * a1 @ w2)
        d2 = 2 * np.cos(g2 * a2)
        dz2 = back(d2, a2, g2)
        d1 = 2 * dz2 @ w2.T
        dz1 = back(d1, a1, g1)
        dg = {"g1": (d1 * a1 / 2).sum(0), "g2": (d2 * a2 / 2).sum(0)}
        return 0.0, {"w1": x.T @ dz1, "w2": (g1 * a1).T @ dz2} | dg

    found = watch(*case_of(candidate, loss, params, (rng.normal(size=(5, 3)),)))
    assert found.suspects[0] == f"{__file__}:{back.__code__.co_firstlineno + 1}"
    assert {name and name.bug for name in found.named} == {"missing_factor"}


def test_a_complex_gradient_is_right_as_jax_has_it_and_as_pytorch_has_it():
    def loss(params, x, y):
        return jnp.sum(jnp.abs(x @ (params["re"] + 1j * params["im"]) - y) ** 2)

    def candidate(params, x, y):
        e = x @ (params["re"] + 1j * params["im"]) - y
        de = 2 * e
        dw = x.T @ de  # Not x.conj().T.
        return np.sum(np.abs(e) ** 2), {"re": dw.real, "im": dw.imag}

    rng = np.random.default_rng(0)
    x, y = (rng.normal(size=(5, n)) + 1j * rng.normal(size=(5, n)) for n in (3, 4))
    params = {"re": rng.normal(size=(3, 4)), "im": rng.normal(size=(3, 4))}
    report = check_gradients(candidate, loss, params, x, y, jit=False)
    assert report.diagnosis is not None
    line = f"{__file__}:{candidate.__code__.co_firstlineno + 3}"
    assert report.diagnosis.suspects == (line,)
    said = {own.variable: (own.status, own.what) for own in report.diagnosis.listing}
    assert said["de"] == ("right", "the conjugate of ∂L/∂(subtraction)")


def test_of_the_lines_that_write_to_one_array_the_wrong_one_is_marked():
    def loss(w, x):
        d = x @ w
        return jnp.sum(jnp.where(jnp.abs(d) < 0.5, d**2, jnp.abs(d) - 0.25))

    def candidate(w, x):
        d = x @ w
        total, dd = 0.0, np.zeros_like(d)
        for i, v in enumerate(d):
            if abs(v) < 0.5:
                total += v**2
                dd[i] = v
            else:
                total += abs(v) - 0.25
                dd[i] = np.sign(v)
        return total, x.T @ dd

    rng = np.random.default_rng(0)
    report = check_gradients(
        candidate, loss, rng.normal(size=3), rng.normal(size=(9, 3)), jit=False
    )
    assert report.diagnosis is not None
    line = f"{__file__}:{candidate.__code__.co_firstlineno + 6}"
    assert report.diagnosis.suspects[0] == line


def test_a_line_of_a_branch_is_marked():
    def fwd(x, w):
        return jnp.sin(x[0] * w) + jnp.sin(x[1] * w), (x, w)

    def bwd(residuals, dy):
        x, w = residuals

        def turn(dw, k):
            def add(dw):
                slope = jnp.cos(x[k] * w)
                dx = jnp.sum(dy * slope * w)
                return dw + dy * slope, dx

            return lax.cond(k < 2, add, lambda dw: (dw, jnp.zeros((), dw.dtype)), dw)

        dw, dx = lax.scan(turn, jnp.zeros_like(w), jnp.arange(4))
        return dx, dw

    x, w = np.array([0.3, -1.2, 0.7, 0.1]), np.array([0.4, 1.1, -0.6])
    report = check_rule(fwd, bwd, x, w)
    assert report.headline.startswith("MANUAL WRONG in w")
    first = bwd.__code__.co_firstlineno
    assert report.diagnosis is not None
    assert report.diagnosis.suspects[0] == f"{__file__}:{first + 7}"


def test_numbers_that_are_tried_give_no_warnings(case_of, monkeypatch):
    def noisy(*_):
        return Watched((), reason=str(np.float64(np.inf) - np.float64(np.inf)))

    monkeypatch.setattr("compare.diagnosis.watching.watch._watch", noisy)
    assert watch(*case_of(candidates.in_jax)).reason == "nan"


def test_a_residual_is_not_held_to_be_right():
    def fwd(x):
        z = jnp.exp(x)
        p = z / z.sum(-1, keepdims=True)
        grown = p * (1 + p)
        return jnp.log(z.sum(-1)), grown

    def bwd(grown, dy):
        return (dy[:, None] * grown,)

    report = check_rule(fwd, bwd, np.random.default_rng(0).standard_normal((3, 4)))
    line = fwd.__code__.co_firstlineno + 3
    assert report.diagnosis is not None
    assert f"{__file__}:{line}" in report.diagnosis.suspects[:3]
    (computed,) = [own for own in report.listing if own.line == line]
    assert computed.status != "right"
