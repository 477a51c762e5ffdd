"""The models that problems are made of, one a file: each stands on both sides."""
