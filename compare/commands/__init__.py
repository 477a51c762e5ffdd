"""The commands, one a file: each checks its options, computes, shows and returns an exit code."""
