"""Proves that hand-derived gradients and `jax.grad` agree, and says where they do not."""
