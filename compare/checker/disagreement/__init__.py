"""What is known of two gradients that differ, and how the hand-derived one is computed anew."""
