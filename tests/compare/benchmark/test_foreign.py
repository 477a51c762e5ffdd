import jax
import jax.numpy as jnp
import pytest

from compare import problems
from compare.benchmark import foreign
from compare.benchmark.engines import torch_base, torch_sequences
from compare.benchmark.workloads import subjects

CLASSES = "softmax_cross_entropy_with_integer_labels"
needs_torch = pytest.mark.skipif(
    not torch_base.installed(), reason="PyTorch is not installed: pip install 'handgrad[bench]'"
)
SMALLEST = {rule.name: rule for rule in reversed(problems.RULES)}


def cotangent_of_ones(problem):
    return lambda inputs: jax.tree.map(jnp.ones_like, problem.rule(*inputs))


@needs_torch
@pytest.mark.parametrize("name", torch_sequences.RULES)
def test_a_rule_of_pytorch_is_proved_and_runs(name):
    problem = SMALLEST[name]
    (prepare,) = foreign.torch_rule(problem, cotangent_of_ones(problem), 0).values()
    prepare().run()


def test_what_pytorch_does_not_have_is_not_timed_beside_it():
    assert foreign.torch_rule(SMALLEST["gru"], lambda inputs: None, 0) == {}


def test_numpy_is_refused_where_it_is_wrong():
    tanh = problems.mlp((3, 4, 2), "tanh", CLASSES)
    with pytest.raises(ValueError, match="nothing is timed that is wrong"):
        foreign.numpy_mlp(tanh, tanh.draw_point(0, 5), 0)


def test_pytorch_is_timed_beside_what_it_has():
    by_torch = ["torch"] if torch_base.installed() else []
    for only, others in (("lstm", by_torch), ("gru 28", []), ("gru reset after", by_torch)):
        for subject in subjects(only):
            engines = [name for name in subject.engines if "autodiff" not in name]
            assert engines == ["manual", *others], subject.name
