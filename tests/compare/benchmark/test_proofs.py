"""What is proved on a smaller size does what is timed, its loops over blocks included."""

import jax
import jax.numpy as jnp
import pytest

from compare import problems
from compare.benchmark import ON_CPU, programs, subjects, workloads
from compare.jaxprs import inner_jaxprs
from compare.problems.rules import RULES
from manual import transformer


def steps(jaxpr):
    """What a CPU does, in order, whatever its sizes; a loop that runs once is told from another."""
    found = []
    for eqn in jaxpr.eqns:
        name, inner = eqn.primitive.name, inner_jaxprs(eqn)
        if name == "platform_index":
            continue
        if platforms := eqn.params.get("branches_platforms"):
            (cpu,) = (i for i, names in enumerate(platforms) if names and "cpu" in names)
            name, inner = "cpu", [eqn.params["branches"][cpu].jaxpr]
        if name == "scan":
            name = f"scan {min(eqn.params['length'], 2)}"
        found.append((name, *map(steps, inner)))
    return found


def kinds(steps):
    """The steps without their order and number, each with what it is inside of."""
    found = set()
    for name, *inside in steps:
        found |= {(name,)} | {(name, *further) for inner in inside for further in kinds(inner)}
    return found


def of_rule(problem, draw):
    def both(*inputs):
        out, residuals = problem.rule.fwd(*inputs)
        return out, problem.rule.bwd(residuals, jax.tree.map(jnp.ones_like, out))

    return steps(jax.make_jaxpr(both)(*jax.eval_shape(lambda: draw(0))).jaxpr)


def test_the_smaller_inputs_of_a_rule_take_the_same_steps():
    larger = [problem for problem in RULES if problem.sample is not None]
    assert len(larger) > 50
    for problem in larger:
        timed, proved = (of_rule(problem, draw) for draw in (problem.draw, problem.sample))
        assert timed == proved, (problem.name, problem.size)


def test_in_causal_attention_each_part_has_several_blocks():
    (problem,) = [p for p in RULES if (p.name, p.size) == ("attention causal", "1×4096×4×32")]
    assert ("cpu", "scan 2", "scan 2", "exp") in kinds(of_rule(problem, problem.sample))
    (smallest, *_) = [p for p in RULES if p.name == "attention causal"]
    assert of_rule(problem, problem.sample) != of_rule(smallest, smallest.draw)


@pytest.fixture
def traced(monkeypatch):
    """Traces what would be proved or prepared: the kinds of its steps."""

    def check(candidate, _, *point, **settings):
        return kinds(steps(jax.make_jaxpr(candidate)(*point).jaxpr))

    def engine(question, _):
        return kinds(steps(question.manual.trace(*question.point).jaxpr.jaxpr))

    monkeypatch.setattr(workloads, "check_gradients", check)
    monkeypatch.setattr(programs, "engine", engine)


@pytest.mark.parametrize(
    "name", ["cnn", "mlp 784", "regularised", "lstm 28", "gru 28", "transformer 28"]
)
def test_a_model_is_proved_on_few_examples_that_take_the_same_steps(name, traced):
    for subject in subjects(name):
        if subject.name.startswith(name):
            assert subject.prove() == subject.engines["manual"](), (subject.name, subject.batch)


def of_language_model(vocabulary, width, depth, heads, tokens):
    def init(key):
        return transformer.init(key, vocabulary, width, depth, vocabulary, tokens=True)

    params = jax.eval_shape(init, jax.random.key(0))
    batch = (jax.ShapeDtypeStruct(tokens, jnp.int32),) * 2
    model = problems.language_model(vocabulary, width, depth, heads, tokens)
    return kinds(steps(jax.make_jaxpr(model.manual)(params, batch).jaxpr))


def test_the_transformer_of_tokens_is_proved_on_a_smaller_one():
    timed, proved = (of_language_model(*size) for size in ON_CPU.language[1])
    assert proved == timed
    assert timed != of_language_model(*ON_CPU.language[0][1])
