"""How long a search may take: by its own work, so that a busy machine changes nothing it finds."""

import time

__all__ = ["PATIENCE", "Limit"]

PATIENCE = 3
"""By the clock on the wall a search may take so many times its limit: work that has to wait."""


class Limit:
    """A limit of the computing that one thread does, from now on."""

    def __init__(self, seconds: float):
        self.seconds = seconds
        self._work = time.thread_time() + seconds
        self._wall = time.monotonic() + PATIENCE * seconds
        self._sure = time.monotonic() + seconds

    def left(self) -> float:
        """Returns the seconds of computing that are left, below 0 where the time is over."""
        wall = (self._wall - time.monotonic()) / PATIENCE
        return min(self._work - time.thread_time(), wall)

    def is_over(self) -> bool:
        """Tells whether it has to end."""
        now = time.monotonic()
        if now < self._sure:  # No thread computes more than time passes; to ask is dear.
            return False
        left = self.left()
        self._sure = now + left
        return left <= 0

    def check(self) -> None:
        """Does nothing while there is time.

        Raises:
            TimeoutError: the time is over.
        """
        if self.is_over():
            raise TimeoutError(f"it takes more than {self.seconds:g} s")
