"""What completes positional arguments in a shell: tyro's own script leaves them out."""

import typing

from compare.articles import ARTICLES
from compare.commands.learning.explain import explain
from compare.problems import PROBLEMS

__all__ = ["SHELLS", "positional"]

SHELLS = ("bash", "zsh")
"""The shells that have a script."""

_FILES = ("check", "predict", "exercises")

_BASH = """
# A word that is no option: the names that its command takes, or files.
_handgrad() {{
  _tyro_handgrad "$@"
  local word=${{COMP_WORDS[COMP_CWORD]}} reply
  [[ $COMP_CWORD -lt 2 || $word == -* ]] && return
  for reply in "${{COMPREPLY[@]}}"; do
    [[ -n $reply && $reply != -* ]] && return
  done
  COMPREPLY=()
  case ${{COMP_WORDS[1]}} in
    {names}
    {files})
      local IFS=$'\\n'
      compopt -o filenames 2>/dev/null
      COMPREPLY=($(compgen -f -- "$word")) ;;
  esac
}}
complete -F _handgrad handgrad
"""

_ZSH = """
# A word that is no option: the names that its command takes, or files.
if [[ $words[CURRENT] != -* ]] && (( CURRENT > 2 )) &&
    (( ! $#words[CURRENT] || ! $compstate[nmatches] )); then
  case $words[2] in
    {names}
    {files}) [[ $words[2] == exercises ]] && (( CURRENT == 3 )) || _files ;;
  esac
fi
"""

_SCRIPTS = {
    "bash": (_BASH, """{}) COMPREPLY=($(compgen -W "{}" -- "$word")) ;;"""),
    "zsh": (_ZSH, "{}) compadd -- {} ;;"),
}


def positional(shell: str) -> str:
    """Returns what follows tyro's script for one of SHELLS: the names and files it leaves out."""
    script, row = _SCRIPTS[shell]
    taken = {
        "gradients": PROBLEMS,
        "train": PROBLEMS,
        "articles": ARTICLES,
        "explain": typing.get_args(typing.get_type_hints(explain)["problem"]),
    }
    names = "\n    ".join(row.format(command, " ".join(its)) for command, its in taken.items())
    return script.format(names=names, files="|".join(_FILES))
