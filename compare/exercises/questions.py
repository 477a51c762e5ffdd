"""What to ask oneself about a named mistake: a question that leads there and does not answer."""

__all__ = ["QUESTIONS", "question"]

_ANY = "what is this line's result the derivative by, and does it have that value's shape?"


def question(bug: str) -> str:
    """The question about a mistake; one that always helps where the mistake has no name."""
    return QUESTIONS.get(bug, _ANY)


QUESTIONS = {
    "missing_batch_mean": "L is a mean, so what does one single example's loss count for in it?",
    "extra_batch_mean": "how often does the forward pass divide by the number of examples?",
    "sign_flipped": "if this value grows a little, does the loss go up or down?",
    "constant_factor": "which constants are in the forward pass, and what does a power bring down?",
    "missing_factor": "what is this value multiplied by in the forward pass?",
    "transposed": "which index does the matrix product sum over, and which has to remain?",
    "bias_summed_over_features": "which entries of the output does one single bias reach?",
    "bias_averaged": "is the 1/m of the mean in what you add up already?",
    "missing_activation_derivative": "which function lies between this value and the one before?",
    "activation_derivative_at_output": "is this derivative a function of what goes in, or of what "
    "comes out, and which of the two is your variable?",
    "activation_derivative_twice": "how often does the forward pass apply this function?",
    "wrong_activation": "which function does the forward pass apply here?",
    "softmax_wrong_axis": "which numbers add up to 1 after the softmax?",
    "diagonal_softmax_jacobian": "if one input of the softmax grows, which outputs change?",
    "normalisation_terms_missing": "what else in the formula changes when one entry of x does?",
    "scale_omitted": "which factor of the forward pass is not in your line?",
    "path_cut": "on how many ways does this value reach the loss, and did you follow each?",
    "overwritten_not_accumulated": "if a value is used twice, what happens to its first derivative "
    "when the second one is stored?",
    "time_steps_truncated": "what does the state at step t change, beside the output at step t?",
    "dropped_examples": "does your loop, or your slice, reach the first and the last one?",
    "missing_weight_decay": "which terms of the loss have the weights in them?",
    "mask_redrawn": "which entries did the forward pass drop, and do you know that any more?",
    "dropout_scale_missing": "what happened to the entries that were kept?",
    "kernel_flipped": "which output did this input reach through this entry of the kernel?",
    "mask_missing": "which entries could change in the forward pass without changing the loss?",
    "mask_extra": "does every entry that you leave out really not reach the loss?",
    "wrong_value": "what is this derivative a function of, and is that what your line reads?",
    "wrong_places": "where did each of these numbers come from in the forward pass?",
    "summed_wrongly": "over which axis did the forward pass repeat this value?",
    "chain_step_missing": "is this the derivative by the parameter, or by something made of it?",
    "wrong_derivative": "can you derive this function once more, on paper, and compare?",
    "time_reversed": "which step's values does step t need on the way back?",
    "extra_term": "which use of this value in the forward pass does each of your terms stand for?",
    "constant_omitted": "which small constant is in the forward pass and not in your formula?",
}
"""By the names of the catalogue."""
