"""The sections of the HTML report, one a file: each turns documents into what a template shows."""
