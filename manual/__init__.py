"""Hand-derived backpropagation: every derivative written out from the chain rule."""
