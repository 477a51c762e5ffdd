"""The commands, one a file: each parses nothing, calls, shows and returns its exit code."""
