"""Runs the command line, as `python -m compare` and as `handgrad`."""

import sys

from compare.commands import interruption

__all__ = ["main"]

_UNEXPECTED = 70


def main() -> None:
    """Runs the command line; Ctrl-C is handled before anything else is imported."""
    interruption.install()
    try:
        from compare import cli
    except ImportError as error:
        print(f"handgrad: cannot start: {error}; install it again", file=sys.stderr)
        sys.exit(_UNEXPECTED)
    cli.main()


if __name__ == "__main__":
    main()
