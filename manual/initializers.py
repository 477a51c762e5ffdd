"""Parameter initialisers, written out: `name(key, shape, dtype) -> Array`."""
