import pytest

from compare import cli
from compare.commands import options


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("gradients mnits", "mnits: is no choice; did you mean mnist? choose from xor, mnist, cl"),
        (
            "gradients --dtype float31",
            "--dtype float31: is no choice; did you mean float32? choose from float64, float32, "
            "bfloat16",
        ),
        ("gradients --seed abc", "--seed abc: is no whole number"),
        ("gradients --seed=-1", "--seed: must be from 0 to 4294967295, got -1"),
        ("train xor --seed 36893488147419103232", "--seed: must be from 0 to 4294967295, got 36"),
        ("train xor --lr fast", "--lr fast: is no number"),
        ("train xor --hidden 3 x", "--hidden 3 x: are no whole numbers"),
        ("gradients --batch", "--batch: a value is missing after it (INT)"),
        ("check", "check: FILE.py[:CANDIDATE] is missing; handgrad check --help says what that is"),
        ("predict a.png", "predict: --trained PATH is missing; "),
        ("exercises hint", "exercises: NUMBER is missing; "),
        ("mutants a b", "b: is nothing that mutants takes here; handgrad mutants --help lists"),
        (
            "exercises check lessons 3",
            "3: is nothing that exercises takes here; one alone: handgrad exercises check FOLDER "
            "--only 3",
        ),
        ("report --from", "--from: name files that --json of a command wrote"),
        ("bench --against", "--against: name files that --json of bench wrote"),
    ],
)
def test_a_word_that_cannot_be_used_is_told_in_one_line(words, message, capsys):
    with pytest.raises(SystemExit) as exit_:
        cli.main(words.split())
    assert exit_.value.code == options.USAGE
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"handgrad: {message}")
    assert err.count("\n") == 1
