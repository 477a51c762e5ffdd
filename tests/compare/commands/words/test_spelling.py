import re

import pytest

from compare import cli
from compare.commands.words.spelling import misspelt, valued


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_what_the_help_shows_is_an_option(command, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit):
        cli.main([command, "--help"])
    rows = re.findall(r"^│? +(?=-)(.*?)(?:  |$)", capsys.readouterr().out, re.MULTILINE)
    flags = [flag for row in rows for flag in re.findall(r"--[a-z-]+", row)]
    assert "--help" in flags
    assert misspelt(flags, command, cli.COMMANDS[command]) == ""


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--epochs 1 --no-resum", "--no-resum: is no option of train; did you mean --resume?"),
        ("--out_=x", "--out_: is no option of train; did you mean --out?"),
        ("--zzz", "--zzz: is no option of train; handgrad train --help lists them"),
        ("--problem", "--problem: is no option of train; handgrad train --help lists them"),
        ("xor --no-resume --log_dir logs --lr=1", ""),
    ],
)
def test_a_word_that_is_none_is_told_with_the_nearest(words, message):
    assert misspelt(words.split(), "train", cli.COMMANDS["train"]) == message


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("mine.py --jit=False", "--jit: takes no value; write --jit or --no-jit"),
        ("mine.py --no-jit True", "--no-jit: takes no value; write --jit or --no-jit"),
        ("--no-jit mine.py --verbose", ""),
    ],
)
def test_a_flag_with_a_value_is_told(words, message):
    assert valued(words.split(), cli.COMMANDS["check"]) == message


def test_the_options_of_subcommands_are_found():
    exercises = cli.COMMANDS["exercises"]
    assert "did you mean --only?" in misspelt(["check", "--onyl", "3"], "exercises", exercises)
