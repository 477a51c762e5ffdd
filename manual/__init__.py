"""Hand-derived backpropagation: every derivative written out from the chain rule."""

__version__ = "0.1.0"
