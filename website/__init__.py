"""Makes the pages of the docs site that come from the source, and puts all of them together."""
