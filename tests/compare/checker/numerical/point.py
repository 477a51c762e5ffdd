"""The point at which losses are differentiated."""

import numpy as np

W = {"w": np.random.default_rng(0).standard_normal((4, 3))}
X = np.random.default_rng(1).standard_normal((6, 4))
