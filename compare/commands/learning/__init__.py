"""The commands for those who learn and teach."""
