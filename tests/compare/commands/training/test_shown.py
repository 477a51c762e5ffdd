import io

import pytest
from rich.console import Console

from compare.terminal import print_above, training


@pytest.fixture
def screen(monkeypatch):
    """A terminal of 80 columns, as the bytes that it gets."""
    shown = io.StringIO()
    console = Console(file=shown, force_terminal=True, width=80, color_system=None)
    monkeypatch.setattr(training, "moving_console", lambda: console)
    return shown


def test_the_bar_tells_epochs_speed_and_what_is_left_and_goes(screen):
    bar = training.Bar(epochs=1000, done=400, steps=7)
    bar.start()
    bar.advance(500)
    bar.advance(600)
    print_above(bar, Console(file=screen, width=80), "a row")
    bar.stop()
    text = screen.getvalue()
    assert "600 of 1000 epochs" in text
    assert "steps/s" in text
    assert text.count("left") >= 2, "before the row and after it"
    before, after = text.split("a row\n")
    for part in (before, after):
        assert part.rstrip("\r").endswith("\x1b[2K"), "the line is empty again"
    assert max(len(line) for line in before.split("\r") if "epochs" in line) < 80 + 20


def test_a_bar_that_is_quiet_writes_nothing(screen):
    bar = training.Bar(epochs=2, done=0, steps=1, quiet=True)
    bar.start()
    bar.advance(1)
    bar.stop()
    assert screen.getvalue() == ""
