import sys
import threading

import pytest

from compare import own


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Writes a file of a person in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])

    def written(text, name="mine.py"):
        file = tmp_path / name
        file.write_text(text)
        return file

    yield written
    sys.modules.pop("helper_of_mine", None)


def test_a_file_is_loaded_as_it_is_now_and_leaves_nothing(write, tmp_path):
    write("VALUE = 1\n", "helper_of_mine.py")
    file = write("from helper_of_mine import VALUE\nassert __name__ != '__main__'\n")
    assert own.load(file).VALUE == 1
    write("VALUE = 2\n", "helper_of_mine.py")  # As long as before, and within the same second.
    assert own.load(file).VALUE == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["helper_of_mine.py", "mine.py"]


def test_a_file_may_be_called_like_a_library(write):
    import jax

    file = write("import jax.numpy as jnp\nHERE = jnp.ones(2)\n", "compare.py")
    assert own.load(file).HERE.shape == (2,)
    assert sys.modules["compare"].__file__ != str(file)
    assert sys.modules["jax"] is jax


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("\nx = undefined\n", "mine.py:2: NameError: name 'undefined' is not defined"),
        ("x = 1\ndef f(x:\n", "mine.py:2: SyntaxError: '(' was never closed: def f(x:"),
        ("import sys\nsys.exit(3)\n", "mine.py:2: SystemExit: 3"),
        ("import no_such_module_here\n", "mine.py:1: ModuleNotFoundError: No module named"),
        ("raise ValueError('a\\nb')\n", "mine.py:1: ValueError: a b"),
    ],
)
def test_a_file_that_does_not_run_is_told_with_its_line(write, text, message):
    with pytest.raises(own.OwnFileError) as raised:
        own.load(write(text))
    assert str(raised.value).startswith(message)


def test_an_error_in_a_helper_is_told_with_the_line_there(write):
    write("\n\n1 / 0\n", "helper_of_mine.py")
    with pytest.raises(own.OwnFileError, match=r"^helper_of_mine.py:3: ZeroDivisionError"):
        own.load(write("import helper_of_mine\n"))


def test_what_is_no_file_is_told(write, tmp_path):
    with pytest.raises(own.OwnFileError, match="No such file or directory"):
        own.load(tmp_path / "none.py")
    (tmp_path / "notes.md").write_text("x = 1")
    with pytest.raises(own.OwnFileError, match=r"its name must end in .py"):
        own.load(tmp_path / "notes.md")
    with pytest.raises(own.OwnFileError, match="Is a directory"):
        own.load(tmp_path)
    (tmp_path / "latin.py").write_bytes(b"x = '\xe9\xff'\n")
    with pytest.raises(own.OwnFileError, match="is not Python source in UTF-8"):
        own.load(tmp_path / "latin.py")


@pytest.mark.parametrize("saved", ["mine.py", "helper_of_mine.py"])
def test_saving_is_noticed(write, saved):
    write("VALUE = 1\n", "helper_of_mine.py")
    file = write("import helper_of_mine\n")
    own.load(file)
    waiting = threading.Thread(target=own.changed, args=([file], 0.01), daemon=True)
    waiting.start()
    waiting.join(0.1)
    assert waiting.is_alive()
    for times in range(100):  # It may begin to look after the first of them.
        write(f"VALUE = 2  # and more{'.' * times}\n", saved)
        waiting.join(0.1)
        if not waiting.is_alive():
            return
    pytest.fail("saving was not noticed")
