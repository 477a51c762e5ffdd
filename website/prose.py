"""Finds the formulas in a docstring, and renders it as HTML with MathML in it.

Docstrings write sentences and formulas in the same line. A formula starts at a word that only
mathematics has (an index, a Greek letter, an equals sign) and takes in the single letters, numbers
and functions beside it; a line that is indented by four is a formula as a whole.
"""

import re
import textwrap
from html import escape

from website import mathml

__all__ = ["html", "inline", "without_sections"]

_SECTIONS = re.compile(r"^(Args|Raises|Returns|Yields|Attributes):\n(?:[ \n].*\n?)*", re.MULTILINE)
_STRONG = re.compile(
    r"[α-ωΑ-Ω∂∇√⊙⋆⟨⟩∞½¼′\u0302ĉẑᵀˣʸᵘᵞ²³⁻₀₁↑^+=·≤≥<>~−]|[A-Za-z\]]_[A-Za-z(\d]|\d?\[\w|\|\w"
)
_ATOM = r"(\d+(\.\d+)?|\d*d?[A-Za-z])"
_WEAK = re.compile(rf"[±/]?{_ATOM}([/()]+{_ATOM})*|/")
_ENGLISH = set("a A I do".split())
"""What is a word unless it stands beside an operator or another variable."""
_NOUNS = {"label", "token"}
"""What is a function where a bracket stands behind it, and a noun elsewhere."""
_OPERATORS = set("= + − · ⊙ ⋆ ≤ ≥ < > ~ ≈ /".split())
_CODE = re.compile(r"(`[^`]+`)")
_OPENING, _CLOSING = "([{", ")]}"
_CITED = re.compile(r"^\(?[A-Z][\w&.’-]{2,}|§|\d{4}[,;)]|eq\.|ch\.")


def without_sections(docstring: str) -> str:
    """Takes out what is for callers alone: arguments, errors."""
    return _SECTIONS.sub("", docstring).strip()


def html(docstring: str, *, lead: bool = False) -> str:
    """Renders a docstring; with `lead` the equations of its first line stand below each other.

    Equations that are indented, and the lead, become blocks; the rest are paragraphs and lists.
    """
    parts: list[str] = []
    for number, paragraph in enumerate(_paragraphs(without_sections(docstring))):
        plain = " ".join(line.strip() for line in paragraph.splitlines())
        if paragraph.startswith("    "):
            parts.append(mathml.lines(textwrap.dedent(paragraph).splitlines()))
        elif plain.startswith("Shapes: "):
            shown = _CODE.sub(_code, escape(plain.replace("->", "→"), quote=False))
            parts.append(f'<p class="shapes">{shown}</p>')
        elif plain.startswith("- "):
            parts.append(f"<ul><li>{inline(plain[2:])}</li></ul>")
        elif number == 0 and lead and "=" in plain:
            parts.append(_lead(" ".join(paragraph.splitlines())))
        else:
            parts.append(f"<p>{inline(plain)}</p>")
    return "\n\n".join(parts)


def _paragraphs(text: str) -> list[str]:
    """The paragraphs; where the indentation changes, and at an item, another one begins."""
    found: list[list[str]] = []
    before = "blank"
    for line in text.splitlines():
        kind = "blank" if not line.strip() else "formula" if line.startswith("    ") else "text"
        if kind != "blank":
            if kind != before or line.startswith("- "):
                found.append([])
            found[-1].append(line)
        before = kind
    return ["\n".join(lines) for lines in found]


def _lead(line: str) -> str:
    """The first line: its equations below each other, what is cited behind them."""
    line, _, cited = line.partition("   ")
    parts = re.split(r"(?<=[,;])\s{2,}", line)
    shown = "".join(f'<span class="equation">{inline(part)}</span>' for part in parts)
    return f'<p class="lead">{shown}</p>' + (f"<p>{inline(cited.strip())}</p>" if cited else "")


def inline(text: str) -> str:
    """Renders a sentence: code stays code, formulas become MathML."""
    pieces = _CODE.split(text)  # Every second piece is code.
    return "".join(
        f"<code>{escape(piece.strip('`'), quote=False)}</code>" if number % 2 else _sentence(piece)
        for number, piece in enumerate(pieces)
    )


def _code(found: re.Match[str]) -> str:
    return f"<code>{found[0].strip('`')}</code>"


def _sentence(text: str) -> str:
    words = re.split(r"(\s+)", text)
    rendered: list[str] = []
    at = 0
    while at < len(words):
        end = _run(words, at)
        if end > at:
            rendered.append(_formula("".join(words[at:end])))
            at = end
        else:
            rendered.append(escape(words[at], quote=False))
            at += 1
    return "".join(rendered)


def _run(words: list[str], start: int) -> int:
    """Where the formula ends that starts at this word; `start` if none does."""
    if not words[start].strip():
        return start
    kinds: list[str] = []
    end, open_at = start, []
    for at in range(start, len(words)):
        word = words[at]
        if not word.strip():
            continue
        kind = _kind(words, at)
        if kind == "text" and not (open_at and "strong" in kinds):
            break
        if kind == "text" and (open_at[-1][1] or word in _ENGLISH):
            end = open_at[0][0]  # A remark in brackets, and no argument.
            break
        kinds.append(kind)
        for number, letter in enumerate(word):
            within_bars = bool(open_at) and open_at[-1][2] == "|"
            if letter in _OPENING or (letter == "|" and not within_bars):
                open_at.append((at, number == 0 and letter != "|", letter))
            elif (letter in _CLOSING or letter == "|") and open_at:
                open_at.pop()
        end = at + 1
        if not open_at and word[-1] in ".,;:" and word.rstrip(".,;:"):
            break
    text = "".join(words[start:end])
    letters = re.search(r"[A-Za-z]", text) is not None
    alone = len(kinds) == 1 and text.strip("().,;:") in _ENGLISH
    return end if "strong" in kinds or (letters and not alone and "weak" in kinds) else start


def _kind(words: list[str], at: int) -> str:
    """What a word is in a formula: `strong`, which only mathematics has, `weak`, or `text`."""
    word = words[at]
    bare = word.strip("()[]{}|.,;:")
    called, bracket, _ = bare.partition("(")
    if bracket and called in mathml.FUNCTIONS:
        return "strong"
    if _CITED.search(word) and not _STRONG.search(word):
        return "text"
    if bare in _ENGLISH and bare == word.rstrip(".,;:"):
        return "weak" if _beside_a_formula(words, at) else "text"
    if word in _OPERATORS - {"/"} or (bare and _STRONG.search(word)):
        return "strong"
    if bare in mathml.FUNCTIONS - _NOUNS:
        return "weak" if word.endswith("(") or _followed(words, at) else "text"
    if bare in mathml.NAMES:
        return "weak" if _beside_an_operator(words, at) else "text"
    return "weak" if _WEAK.fullmatch(bare) else "text"


def _followed(words: list[str], at: int) -> bool:
    """Whether a function's argument stands behind it."""
    following = words[at + 2] if at + 2 < len(words) else ""
    plain = following.strip("()[].,;:")
    return bool(_STRONG.search(following) or _WEAK.fullmatch(plain))


def _beside_a_formula(words: list[str], at: int) -> bool:
    """Whether an `a` is a variable: beside an operator, or between what else is one."""
    if _beside_an_operator(words, at):
        return True
    before = words[at - 2] if at >= 2 else ""
    behind = words[at + 2] if at + 2 < len(words) else ""
    joined = before[-1:] not in (*".,;:", "") and _is_mathematics(before)
    ends = words[at][-1] in ".,;:)]"
    return (joined or before in ("else", "or", "where")) and (ends or _is_mathematics(behind))


def _is_mathematics(word: str) -> bool:
    plain = word.strip("()[]{}|.,;:")
    known = plain in mathml.FUNCTIONS or (plain not in _ENGLISH and _WEAK.fullmatch(plain))
    return bool(known or _STRONG.search(word))


def _beside_an_operator(words: list[str], at: int) -> bool:
    around = [words[i] for i in (at - 2, at + 2) if 0 <= i < len(words)]
    return any(word in _OPERATORS or word.endswith("=") for word in around)


def _formula(text: str) -> str:
    """A formula in a sentence; punctuation and brackets that are the sentence's stay outside."""
    match = re.fullmatch(r"(.*?)([.,;:]*)", text, re.DOTALL)
    assert match
    core, after, before = match[1], match[2], ""
    while core and core[-1] in _CLOSING and _balance(core) < 0:
        core, after = core[:-1], core[-1] + after
        stripped = core.rstrip(".,;:")
        core, after = stripped, core[len(stripped) :] + after
    while core and core[0] in _OPENING and _balance(core) > 0:
        core, before = core[1:], before + core[0]
    if not core.strip():
        return escape(text, quote=False)
    return before + mathml.formula(" ".join(core.split())) + after


def _balance(text: str) -> int:
    return sum(c in _OPENING for c in text) - sum(c in _CLOSING for c in text)
