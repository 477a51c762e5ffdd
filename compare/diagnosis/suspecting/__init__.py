"""What may have been done wrong on the way back, one mistake after another, and where."""
