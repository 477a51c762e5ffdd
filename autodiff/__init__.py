"""The models of `manual`, in the idiom of jax.nn and optax, differentiated by `jax.grad`."""

__version__ = "0.1.0"
