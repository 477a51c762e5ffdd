"""The named mistakes: what each is, what to look at, and a wrong gradient that shows it.

This is the one list. The diagnosis gives these names, the report prints what to look at, the
gallery of mutants shows each at work, and docs/checker.md has them as a table.
"""

from typing import NamedTuple

__all__ = ["CATALOGUE", "NamedMistake", "named_mistake"]


class NamedMistake(NamedTuple):
    """A mistake that has a name.

    Attributes:
        meaning: what was done, to stand after "The mistake:".
        look_at: what a person should look at in their own backward pass.
        mutant: the name of a wrong gradient in the gallery that shows it.
    """

    meaning: str
    look_at: str
    mutant: str


CATALOGUE: dict[str, NamedMistake] = {
    "missing_batch_mean": NamedMistake(
        "the loss is a mean over the batch, and the gradient is not divided by its size",
        "divide by the batch size once, where the loss takes its mean",
        "mlp-missing-batch-mean",
    ),
    "extra_batch_mean": NamedMistake(
        "the gradient is divided by the batch size once more than the loss",
        "divide by the batch size once only",
        "mlp-batch-mean-taken-twice",
    ),
    "sign_flipped": NamedMistake(
        "a term has the wrong sign",
        "look for target − prediction, or a subtraction's second operand",
        "mlp-target-minus-prediction",
    ),
    "constant_factor": NamedMistake(
        "the gradient is the right one times a number",
        "look for a constant that the derivative brings down or the loss divides by",
        "mlp-two-of-the-square-forgotten",
    ),
    "missing_factor": NamedMistake(
        "in a product's derivative the other factor is missing",
        "the derivative of a product keeps the other factor",
        "mlp-gate-left-out-of-its-value",
    ),
    "transposed": NamedMistake(
        "a matrix is transposed where it should not be, or is not where it should be",
        "dx = dy wᵀ and dw = xᵀ dy: check which factor is transposed",
        "mlp-weight-not-transposed",
    ),
    "bias_summed_over_features": NamedMistake(
        "a bias's gradient is summed over every entry, not over the examples alone",
        "sum over the examples only: dz.sum(axis=0)",
        "mlp-bias-summed-over-everything",
    ),
    "bias_averaged": NamedMistake(
        "a bias's gradient is averaged over the examples, not summed",
        "sum over the examples; the mean is in dz already",
        "mlp-bias-averaged",
    ),
    "missing_activation_derivative": NamedMistake(
        "the derivative of an activation is left out",
        "multiply by f′(z) before going on",
        "mlp-missing-tanh-derivative",
    ),
    "activation_derivative_at_output": NamedMistake(
        "the derivative of an activation is taken at its output, not at its input",
        "f′ takes z, or is written as a function of a: not both",
        "mlp-tanh-derivative-at-output",
    ),
    "activation_derivative_twice": NamedMistake(
        "the derivative of an activation is multiplied in twice",
        "multiply by f′(z) once",
        "mlp-tanh-derivative-twice",
    ),
    "wrong_activation": NamedMistake(
        "the derivative is that of another activation",
        "forward and backward use different activations",
        "mlp-sigmoid-derivative-for-tanh",
    ),
    "softmax_wrong_axis": NamedMistake(
        "a softmax is normalised, or its derivative summed, over the wrong axis",
        "normalise and sum over the classes, not over the examples",
        "mlp-softmax-over-the-batch",
    ),
    "diagonal_softmax_jacobian": NamedMistake(
        "softmax is differentiated as if each class depended on its own logit alone",
        "dz = p ⊙ (dp − Σ p dp): every class depends on every logit",
        "mlp-softmax-as-if-elementwise",
    ),
    "normalisation_terms_missing": NamedMistake(
        "the mean and the variance of a normalisation are taken as constants",
        "the mean and the variance depend on the input too",
        "batch-norm-statistics-as-constants",
    ),
    "scale_omitted": NamedMistake(
        "a scale of the forward pass is left out of the backward pass",
        "the scale of the forward pass belongs in the backward pass",
        "batch-norm-gamma-left-out",
    ),
    "path_cut": NamedMistake(
        "a path from a value to the loss is forgotten, or the only one: a leaf is left at zero",
        "the value is used on another path, whose derivative adds to this one",
        "mlp-skip-connection-forgotten",
    ),
    "overwritten_not_accumulated": NamedMistake(
        "of a value that is used several times, one use's derivative replaces the others'",
        "derivatives of several uses add up: += and not =",
        "embedding-repeated-tokens-overwritten",
    ),
    "time_steps_truncated": NamedMistake(
        "the gradient is not carried back through all time steps",
        "carry dh back through every time step",
        "rnn-no-gradient-from-the-next-step",
    ),
    "dropped_examples": NamedMistake(
        "some examples of the batch do not contribute",
        "every example contributes, also those of the last short batch",
        "mlp-last-example-ignored",
    ),
    "missing_weight_decay": NamedMistake(
        "the penalty on the weights has no derivative in the gradient",
        "the penalty has a derivative too: λ w or 2 λ w",
        "mlp-weight-decay-forgotten",
    ),
    "mask_redrawn": NamedMistake(
        "the backward pass draws a random mask anew",
        "use the mask of the forward pass: the same key",
        "dropout-mask-redrawn",
    ),
    "dropout_scale_missing": NamedMistake(
        "the 1/keep of inverted dropout is left out",
        "the kept entries carry 1/keep in both passes",
        "dropout-scale-forgotten",
    ),
    "kernel_flipped": NamedMistake(
        "a convolution's kernel is turned by 180 degrees where it should not be, or is not",
        "check where the kernel is turned by 180 degrees",
        "convolution-kernel-not-rotated",
    ),
    "mask_missing": NamedMistake(
        "entries that should be zero are not: a mask is missing",
        "the mask, or the case that counts for nothing, belongs in both passes",
        "pooling-gradient-to-all-of-the-window",
    ),
    "mask_extra": NamedMistake(
        "entries that count are left out: a mask that does not belong there, or one too small",
        "use the very mask of the forward pass",
        "padded-first-step-masked",
    ),
    "wrong_value": NamedMistake(
        "a value of the forward pass is used where another one belongs",
        "compare what this line reads with what the derivative is a function of",
        "padded-divided-by-the-padded-length",
    ),
    "wrong_places": NamedMistake(
        "the right numbers are in the wrong places: at other rows, indices or along another axis",
        "follow where each entry came from: the derivative goes back there",
        "top-ranks-for-places",
    ),
    "summed_wrongly": NamedMistake(
        "a sum is taken over other terms than those that share the value",
        "sum over the axis that the forward pass repeated or broadcast",
        "shared-heads-summed-across-groups",
    ),
    "chain_step_missing": NamedMistake(
        "the derivative by a value is given for what that value is computed from",
        "one step of the chain rule is left: go on to the parameter itself",
        "direction-gradient-of-the-normalised-weight",
    ),
    "wrong_derivative": NamedMistake(
        "the derivative of a function is written wrongly, or is that of another function",
        "derive this function once more, and check what the formula is written in",
        "rows-squares-for-signs",
    ),
    "time_reversed": NamedMistake(
        "the values of the steps are taken in the opposite order",
        "on the way back step k still has the values of step k",
        "euler-clock-read-backwards",
    ),
    "extra_term": NamedMistake(
        "something is added that does not belong there, or is in it twice",
        "each use of a value adds one term, and nothing else does",
        "hinge-own-class-counted",
    ),
    "constant_omitted": NamedMistake(
        "a constant of the forward pass is left out of the derivative",
        "smoothing and ε are in the derivative as well",
        "dice-smoothing-left-out",
    ),
}
"""Every name that a diagnosis may give, beside `unknown`."""


def named_mistake(bug: str) -> NamedMistake | None:
    """Looks a bug up; None for `unknown`."""
    return CATALOGUE.get(bug)
