"""The command `train`: its options, its configuration file, what it shows, and the run."""
