"""Hand-derived rules: each a pair NAME_fwd, NAME_bwd, and NAME, the two tied together."""
