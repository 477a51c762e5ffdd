import jax.numpy as jnp

from compare import check_rule


def test_a_bwd_of_the_cotangent_first_is_told_by_its_numbers():
    def fwd(x):
        y = jnp.tanh(x)
        return y, y

    report = check_rule(fwd, lambda d, y: (d * (1 - y**2),), jnp.linspace(-1, 1, 7))
    assert report.verdict == "manual_wrong"
    assert report.details[0].startswith("with its two arguments swapped bwd gives jax.grad's ")
    report = check_rule(fwd, lambda y, d: (d * (1 - 2 * y**2),), jnp.linspace(-1, 1, 7))
    assert "swapped" not in str(report)
