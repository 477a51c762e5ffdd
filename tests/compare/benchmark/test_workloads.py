import pytest

from compare.benchmark.engines import torch_base
from compare.benchmark.timing import measure
from compare.benchmark.workloads import ELSEWHERE, ON_CPU, subjects


def test_the_smallest_of_each_is_there_once():
    every, smallest = subjects(), subjects(smallest=True)
    names = [subject.name for subject in smallest]
    assert len(names) == len(set(names))
    assert set(names) == {subject.name for subject in every}
    assert [names[0][:3], names[1][:3]] == ["cnn", "mlp"]


def test_an_accelerator_has_subjects_that_fill_it():
    small, large = subjects(), subjects(sizes=ELSEWHERE)
    assert {s.name for s in large} < {s.name for s in small}
    assert not {(s.name, s.batch) for s in large} & {(s.name, s.batch) for s in small}
    assert all("manual" in s.engines and "autodiff" in s.engines for s in large)


def test_only_chooses_by_name():
    assert {subject.name for subject in subjects("max_pool")} == {
        "jax.grad of a CNN with our max_pool", "max_pool 2×2", "max_pool 3×3 stride 2"
    }  # fmt: skip
    assert subjects("no such subject") == []


@pytest.mark.parametrize("name", ["rms_norm", "embedding"])
def test_a_rule_is_measured_on_three_engines(name):
    subject, *_ = subjects(name)
    rows = measure(subject, seconds=0.0)
    assert [row.engine for row in rows] == ["manual", "autodiff", "autodiff_same_forward"]
    (quick,) = subjects(name, smallest=True)
    assert [*quick.engines] == ["manual", "autodiff"]
    assert all(row.median_ms >= row.min_ms > 0 and row.compile_ms for row in rows)
    assert {row.dtype for row in rows} == {"float32"}


@pytest.mark.long
@pytest.mark.table
@pytest.mark.parametrize("model", ["cnn", "mlp"])
def test_an_epoch_of_training_is_measured(model):
    sizes = ON_CPU._replace(batch=16, epochs=(40, 60), few_rows=20, proved_on=2)
    small, large, cnn = subjects("training", sizes=sizes)
    assert (small.batch, large.batch, cnn.batch) == ("16 of 40", "16 of 60", "16 of 20")
    by_torch = ["torch"] if torch_base.installed() else []
    subject, others = {"mlp": (small, by_torch), "cnn": (cnn, [])}[model]
    rows = measure(subject, seconds=0.0)
    assert [row.engine for row in rows] == ["manual", "autodiff", *others]
    assert all(row.median_ms >= row.min_ms > 0 for row in rows)
    assert [bool(row.compile_ms) for row in rows] == [True, True, *(False for _ in others)]


def test_the_scalar_engine_is_proved_and_prepared():
    (subject,) = subjects("mlp 2-4-1", smallest=True)
    assert subject.parameters == 2 * 4 + 4 + 4 + 1
    prepared = subject.engines["scalar"]()
    loss, grads = prepared.run()
    assert loss > 0
    assert [len(layer["b"]) for layer in grads] == [4, 1]
    assert prepared.compile_ms is None
