"""The copy of a function of a person that tells what it computes, and what its calls are given."""
