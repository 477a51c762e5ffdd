"""The two functions that are compared: what goes in, how they run, in which precision."""
