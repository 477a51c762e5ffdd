"""What is installed, and what it says of itself."""

import inspect
import re
from importlib.metadata import entry_points, requires, version

import pytest

import autodiff
import compare
import manual
from compare import cli


@pytest.mark.parametrize("package", [manual, autodiff, compare])
def test_every_package_tells_the_version(package):
    assert package.__version__ == version("handgrad")


def said(capsys, *argv):
    with pytest.raises(SystemExit) as exit_:
        cli.main(argv)
    assert exit_.value.code in (0, None)
    return capsys.readouterr().out


def test_the_command_tells_its_version(capsys):
    assert said(capsys, "--version") == f"handgrad {version('handgrad')}\n"


def test_help_lists_every_command(capsys):
    shown = said(capsys, "--help")
    assert [name for name in cli.COMMANDS if f"• {name} " not in shown] == []
    assert shown.startswith("usage: handgrad ")


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_an_option_is_told_in_one_line(command):
    """A line break would stand in the help, and in what a shell completes."""
    arguments = (inspect.getdoc(cli.COMMANDS[command]) or "").partition("Args:\n")[2]
    assert not re.findall(r"^ {5,}.*", arguments, re.MULTILINE)


def test_all_is_without_pytorch():
    everything = [r for r in requires("handgrad") or [] if re.search("extra == .all", r)]
    assert any("jinja2" in requirement for requirement in everything)
    assert not any("torch" in requirement for requirement in everything)


def test_the_plugin_and_the_command_are_found():
    assert [e.value for e in entry_points(group="pytest11", name="handgrad")] == [
        "pytest_handgrad.plugin"
    ]
    (command,) = entry_points(group="console_scripts", name="handgrad")
    assert command.value.startswith("compare.")
