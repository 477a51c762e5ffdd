"""The same gradients by other means, to be timed beside ours: plain NumPy, and PyTorch."""
