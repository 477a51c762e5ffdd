"""A gallery of classic wrong gradients, each written out by hand with one mistake in it."""
