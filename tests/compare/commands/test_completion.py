import shutil
import subprocess

import pytest

from compare import cli

ASK = """
source "$1"
while IFS= read -r typed; do
  read -ra COMP_WORDS <<< "$typed"
  [[ $typed == *" " ]] && COMP_WORDS+=("")
  COMP_CWORD=$((${#COMP_WORDS[@]} - 1)) COMPREPLY=()
  _handgrad
  (IFS="|"; echo "$typed> ${COMPREPLY[*]}")
done
"""
TYPED = {
    "handgrad chec": ["check"],
    "handgrad check mi": ["mine.py", "mine too.py"],
    "handgrad check mine.py --html oth": ["other.html"],
    "handgrad check mine.py --js": ["--json"],
    "handgrad check mine.py --dtype f": ["float32", "float64"],
    "handgrad predict --trained mine.py mi": ["mine.py", "mine too.py"],
    "handgrad train xo": ["xor"],
    "handgrad articles sixty": ["sixty-lines"],
    "handgrad explain dead": ["dead-relus"],
    "handgrad exercises che": ["check"],
    "handgrad exercises check mi": ["mine.py", "mine too.py"],
}


def script(shell, file, capsys):
    """What the command prints for a shell, in a file."""
    with pytest.raises(SystemExit) as exit_:
        cli.main(["--print-completion", shell])
    assert exit_.value.code in (0, None)
    file.write_text(capsys.readouterr().out)
    return file


def test_bash_completes_commands_options_names_and_files(tmp_path, capsys):
    for name in ("mine.py", "mine too.py", "other.html"):
        (tmp_path / name).touch()
    done = subprocess.run(
        ["bash", "-c", ASK, "ask", script("bash", tmp_path / "completion", capsys)],
        input="".join(f"{line}\n" for line in [*TYPED, "handgrad check ", "handgrad explain "]),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    rows = dict(line.split("> ") for line in done.stdout.splitlines())
    replies = {line: sorted(filter(None, reply.split("|"))) for line, reply in rows.items()}
    assert {line: replies[line] for line in TYPED} == {k: sorted(v) for k, v in TYPED.items()}
    assert replies["handgrad check "] == ["completion", "mine too.py", "mine.py", "other.html"]
    assert {"xor", "mnist", "norms"} < set(replies["handgrad explain "])


def test_the_script_for_zsh_goes_on_where_that_of_tyro_ends(tmp_path, capsys):
    file = script("zsh", tmp_path / "_handgrad", capsys)
    tyros, ours = file.read_text().split('_tyro_handgrad "$@"')
    assert tyros.startswith("#compdef handgrad")
    assert "--html" in tyros
    assert "train) compadd -- xor mnist" in ours
    assert "check|predict|exercises) " in ours


@pytest.mark.skipif(shutil.which("zsh") is None, reason="zsh is not installed")
def test_zsh_can_read_its_script(tmp_path, capsys):
    subprocess.run(["zsh", "-n", script("zsh", tmp_path / "_handgrad", capsys)], check=True)
