"""What a report says in a terminal, and what is noted of every check."""
