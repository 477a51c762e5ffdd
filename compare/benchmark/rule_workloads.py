"""The rules that the benchmark times, each forward and backward."""

from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any

import jax

from compare.benchmark import foreign, programs
from compare.benchmark.timing import Subject
from compare.checker.gradient_report import GradientReport
from compare.checker.rules import check_rule, rule_asked
from compare.checker.sides.question import Question
from compare.problems.derivations import of_rule
from compare.problems.rules import RuleProblem

__all__ = ["rule_subjects"]

Prove = Callable[[], GradientReport]


def rule_subjects(rules: Sequence[RuleProblem], seed: int) -> list[Subject]:
    """Returns the rules to time; those that are proved on the same inputs are proved once."""
    proofs: dict[Any, Prove] = {}

    def proof(rule: RuleProblem) -> Prove:
        proved = cache(partial(_agreement, rule, seed))
        return proofs.setdefault((rule.name, _sample(rule)), proved)

    return [_rule(rule, proof(rule), seed) for rule in rules]


def _sample(problem: RuleProblem) -> Callable[[int], Any]:
    return problem.draw if problem.sample is None else problem.sample


def _agreement(problem: RuleProblem, seed: int) -> GradientReport:
    rule, reference = problem.rule, problem.reference
    return check_rule(rule.fwd, rule.bwd, *_sample(problem)(seed), reference=reference, seed=seed)


def _rule(problem: RuleProblem, prove: Prove, seed: int) -> Subject:
    """Returns a rule forward and backward, with a cotangent of normal numbers."""
    rule, key = problem.rule, jax.random.key(seed)

    def forward(*inputs: Any) -> Any:
        return rule.fwd(*inputs)[0]

    def ask(reference: Callable[..., Any]) -> Question:
        return rule_asked(rule.fwd, rule.bwd, *problem.draw(seed), reference=reference, seed=seed)

    def cotangent(inputs: Any) -> Any:
        outputs = jax.eval_shape(problem.reference, *inputs)
        return jax.tree.map(lambda y: jax.random.normal(key, y.shape, y.dtype), outputs)

    engines = {
        **programs.engines(partial(ask, problem.reference)),
        "autodiff_same_forward": lambda: programs.engine(ask(forward), "autodiff"),
    }
    return Subject(
        name=problem.name,
        batch=problem.size,
        prove=prove,
        engines={**engines, **foreign.torch_rule(problem, cotangent, seed)},
        derivations=(of_rule(rule),),
    )
