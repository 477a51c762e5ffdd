"""The plugin for pytest: a fixture, a page of every check, and a line in the summary."""
