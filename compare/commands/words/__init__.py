"""The words of a command line that cannot be used, and how that is told."""
