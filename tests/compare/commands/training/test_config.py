import pytest

from compare import cli
from compare.commands import options
from compare.commands.training.config import expanded
from compare.commands.training.train import train

TEXT = """
problem = "parity"
epochs = 3
lr = 1
hidden = [4, 5]
resume = true
log_dir = "logs"
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "train.toml"
    path.write_text(TEXT)
    return path


def test_what_is_typed_wins_over_the_file(file):
    everything = ["--epochs=3", "--learning-rate=1.0", "--hidden", "4", "5", "--resume"]
    everything.append("--log-dir=logs")
    assert expanded(["--config", str(file)], train) == ["parity", *everything]
    typed = ["xor", "--rate", "2", "--no-resume", f"--config={file}", "--log_dir", "xor"]
    assert expanded(typed, train) == [
        "xor", "--rate", "2", "--no-resume", "--log_dir", "xor", "--epochs=3", "--hidden", "4", "5",
    ]  # fmt: skip
    assert expanded(["--resume", "xor", "--config", str(file)], train)[:2] == ["--resume", "xor"]
    value = ["--checkpoint", "xor", "--config", str(file)]
    assert expanded(value, train)[:3] == ["parity", "--checkpoint", "xor"], "xor is a folder here"
    assert expanded(["xor", "--epochs", "1"], train) == ["xor", "--epochs", "1"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("learnig-rate = 0.1", "there is no option 'learnig-rate'; the nearest is 'learning-rate'"),
        ("config = 'x'", "there is no option 'config'; the nearest is"),
        ("epochs = 'three'", "epochs: expected int, got str"),
        ("epochs = true", "epochs: expected int, got bool"),
        ("hidden = [4, 0.5]", "hidden: expected int, got float"),
        ("method = 'bth'", "method: has no choice 'bth'; the nearest is 'both'"),
        ("dataset = 'mnist5'", "dataset: has no choice 'mnist5'; the nearest is 'mnist5k'"),
        ("out = 7", "out: "),
        ("lr = 1\nlearning-rate = 2", "learning-rate is there twice"),
        ("[epochs]\nx = 1", "epochs: expected int, got object"),
        ("epochs = ", "is no TOML: Invalid value"),
        (None, "No such file or directory"),
    ],
)
def test_a_file_that_will_not_do_is_one_line(text, message, file, capsys):
    if text is None:
        file.unlink()
    else:
        file.write_text(text)
    with pytest.raises(SystemExit) as exit_:
        cli.main(["train", "xor", "--config", str(file)])
    assert exit_.value.code == options.DATA
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1
    assert message in err
