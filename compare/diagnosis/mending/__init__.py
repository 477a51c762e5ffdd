"""Changes of one line of a candidate that make its gradient right, and what they mend."""
