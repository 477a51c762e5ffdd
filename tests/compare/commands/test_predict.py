import json
import re
import shutil

import numpy as np
import pytest
from PIL import Image

from compare import cli
from compare.commands import options
from compare.datasets import mnist5k


def run(*argv):
    """The exit code of one command."""
    with pytest.raises(SystemExit) as exit_:
        cli.main(list(map(str, argv)))
    return exit_.value.code


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    command = ("train", "mnist", "--dataset", "mnist5k", "--epochs", "2", "--hidden", "32")
    assert run(*command, "--out", folder) == options.AGREE
    return folder


def test_the_digit_on_a_picture(trained, tmp_path, capsys):
    data = mnist5k.load()
    paths = []
    for digit in (3, 7):
        row = np.flatnonzero(data.y_test == digit)[4]
        pixels = (255 * (1 - data.x_test[row].reshape(28, 28))).astype(np.uint8)
        paths.append(tmp_path / f"{digit}.png")
        Image.fromarray(pixels).save(paths[-1])
    file = tmp_path / "found.json"
    assert run("predict", *paths, "--trained", trained, "--json", file) == options.AGREE
    assert re.findall(r"^PREDICTED: (\d)", capsys.readouterr().out, re.MULTILINE) == ["3", "7"]
    results = json.loads(file.read_text())["results"]
    assert [result["predicted"] for result in results] == [3, 7]
    for result in results:
        assert np.isclose(sum(result["probabilities"]), 1, atol=1e-6)


def test_no_picture_and_no_network_exit_3(trained, tmp_path, capsys):
    assert run("predict", "nowhere.png", "--trained", trained) == options.DATA
    assert "nowhere.png: No such file" in capsys.readouterr().err
    assert run("predict", "x.png", "--trained", tmp_path) == options.DATA
    err = capsys.readouterr().err
    assert "train.json: cannot be read" in err
    assert len(err.splitlines()) == 1


def test_a_network_that_has_seen_no_pictures(tmp_path, capsys):
    assert run("train", "xor", "--epochs", "1", "--out", tmp_path) == options.AGREE
    assert run("predict", "x.png", "--trained", tmp_path) == options.USAGE
    assert "is a network for xor, which has no pictures" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hidden": [10_000_000]}, "parameters; at most 10,000,000 are read"),
        ({"hidden": [10**11]}, "a hidden layer of 100,000,000,000; at most 10,000,000"),
        ({"hidden": ["x"]}, "Expected `int`, got `str`"),
        ({"hidden": [33]}, "params/0/b is (32,), and the model's is (33,)"),
        ({"method": "../../x"}, "Invalid enum value '../../x'"),
        ({"model": "gpt"}, "mnist has no model 'gpt'"),
    ],
)
def test_a_foreign_network_is_looked_at_before_it_is_built(
    change, message, trained, tmp_path, capsys
):
    content = json.loads((trained / "train.json").read_text())
    content["results"][0].update(change)
    (tmp_path / "train.json").write_text(json.dumps(content))
    shutil.copy(trained / "params-manual.npz", tmp_path)
    assert run("predict", "x.png", "--trained", tmp_path) == options.DATA
    err = capsys.readouterr().err
    assert message in err
    assert len(err.splitlines()) == 1


def test_parameters_that_are_not_finite_predict_nothing(trained, tmp_path, capsys):
    shutil.copy(trained / "train.json", tmp_path)
    with np.load(trained / "params-manual.npz") as archive:
        arrays = {name: np.full_like(archive[name], np.nan) for name in archive.files}
    np.savez(tmp_path / "params-manual.npz", **arrays)  # pyright: ignore[reportArgumentType]
    assert run("predict", "x.png", "--trained", tmp_path) == options.DATA
    assert "has numbers that are not finite" in capsys.readouterr().err
