"""The published networks, one a file: what each claims beside what is measured by either method."""
