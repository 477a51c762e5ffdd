"""Runs the command line, as `python -m compare` and as `handgrad`."""

import sys

from compare.commands import interruption
from compare.commands.training import supervision

__all__ = ["main"]

_UNEXPECTED = 70


def main() -> None:
    """Runs the command line; Ctrl-C is handled before anything else is imported."""
    interruption.install()
    argv = sys.argv[1:]
    if supervision.is_for_several(argv) and (code := supervision.supervise(argv)) is not None:
        sys.exit(code)
    try:
        from compare import cli
    except ImportError as error:
        print(f"handgrad: cannot start: {error}; install it again", file=sys.stderr)
        sys.exit(_UNEXPECTED)
    cli.main()


if __name__ == "__main__":
    main()
