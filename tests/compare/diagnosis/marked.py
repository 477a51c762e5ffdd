"""Lines of tests that are found by what their comments say."""


def line_of(file, comment):
    """Returns `file:line` of the one line of a file with this comment."""
    with open(file, encoding="utf-8") as lines:
        (number,) = (i for i, line in enumerate(lines, 1) if f"# {comment}" in line)
    return f"{file}:{number}"
