"""Turns a formula as the docstrings write it, in Unicode on one line, into MathML.

The notation: `x_ij` and `h_(t−1)` are subscripts, `e^(−x)` and `eˣ` powers, `x̂` has a hat, `√(…)`
is a root, and `a/b` without a space a fraction; Σ is a sum. A name of several letters is a function
or a word, but `dx` is the differential of x and `jd` a product. Nothing is refused: a character
that is no part of this is shown as it is.
"""

import re
import unicodedata
from collections.abc import Sequence
from html import escape
from typing import NamedTuple

__all__ = ["FUNCTIONS", "NAMES", "formula", "lines"]

FUNCTIONS = set(
    "tanh log max min softmax softplus exp sinh cosh cos sin silu sign clip diag LSE Bernoulli "
    "relu sigmoid token label elu selu hard_swish leaky_relu".split()
)
NAMES = set("scale bias branch soft_cap negative_slope rate base dbias dbranch".split())
"""What has several letters and is a variable."""

_RAISED = dict(zip("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁽⁾ᵀˣʸᵘᵞⁿᵗʰ", "0123456789+−()Txyuγnth", strict=True))
_LOWERED = dict(zip("₀₁₂₃₄₅₆₇₈₉₊₋ₜₙₐ", "0123456789+−tna", strict=True))
_BRACKETS = {"(": ")", "[": "]", "{": "}", "⟨": "⟩"}
_LETTERS = "A-Za-zα-ωΑ-ΡΤ-Ωℓ"
_TOKEN = re.compile(
    rf"(?P<space>\s+)|(?P<word>[a-z]{{3,}}(?:_|\d)[a-z]+|∂?(?:[{_LETTERS}]\u0302?)+)|(?P<number>\d+(?:\.\d+)?(?:e-?\d+)?)"
    rf"|(?P<raised>[{''.join(_RAISED)}]+)|(?P<lowered>[{''.join(_LOWERED)}]+)|(?P<prime>′+)|(?P<mark>.)"
)
_SUBSCRIPT = re.compile(rf"(?:[{_LETTERS}0-9]+′*)+|…")


class _Token(NamedTuple):
    kind: str
    text: str
    start: int


def formula(text: str) -> str:
    """Renders a formula within a line as a <math> element; its plain text is kept as its label.

    A long one, which a narrow screen cannot hold, is put where it can be moved sideways.
    """
    element = f'<math aria-label="{escape(text)}">{_Parser(text).row()}</math>'
    return f'<span class="long">{element}</span>' if len(text) > 40 else element


def lines(block: Sequence[str]) -> str:
    """Renders equations that stand below each other; they meet at their first = if all have one."""
    halves = [re.split(r"\s+(?==)", line, maxsplit=1) for line in block]
    aligned = all(len(half) == 2 and "  " not in half[0].strip() for half in halves)
    rows = halves if aligned else [[line] for line in block]
    cells = "".join(f"<mtr>{''.join(map(_cell, row))}</mtr>" for row in rows)
    style = "meet" if aligned else "stand"
    label = escape("\n".join(block))
    table = f'<mtable displaystyle="true" class="{style}">{cells}</mtable>'
    return f'<math display="block" aria-label="{label}">{table}</math>'


def _cell(text: str) -> str:
    """A cell of a table; a line that continues another is indented."""
    indent = '<mspace width="2.4em"/>' if text.startswith(" ") else ""
    return f"<mtd>{indent}{_Parser(text.strip()).row()}</mtd>"


def _with_hats(text: str) -> str:
    """The text with each hat as a character of its own, behind its letter."""
    return re.sub(r"[ĉẑŵĝĥ]", lambda found: unicodedata.normalize("NFD", found[0]), text)


class _Parser:
    """A reader of one formula: `at` is the token that is read next."""

    def __init__(self, text: str) -> None:
        self.text = text = _with_hats(text)
        self.tokens = [
            _Token(match.lastgroup or "", match[0], match.start())
            for match in _TOKEN.finditer(text)
        ]
        self.at = 0

    def peek(self, ahead: int = 0) -> _Token:
        """The token that comes next, or one with no text."""
        place = self.at + ahead
        return self.tokens[place] if place < len(self.tokens) else _Token("end", "", len(self.text))

    def take(self) -> _Token:
        """Reads one token."""
        token = self.peek()
        self.at += 1
        return token

    def row(self, closing: str = "") -> str:
        """Everything up to a closing bracket, or to the end."""
        parts: list[str] = []
        while self.peek().kind != "end" and not (closing and self.peek().text == closing):
            parts.append(self.item(parts))
        return f"<mrow>{''.join(parts)}</mrow>"

    def item(self, before: Sequence[str]) -> str:
        """One operand with what is attached to it, or one operator, or a space."""
        token = self.peek()
        if token.kind == "space":
            self.take()
            return _space(token.text, before, self.peek())
        if token.kind == "mark" and token.text not in "([{⟨|√½¼…∞∂∇":
            return self.operator(_at_operator(before))
        above = self.operand()
        if self.peek().text != "/" or self.peek(1).kind in ("space", "end"):
            return above
        self.take()
        below = self.sum_of() if self.peek().text == "Σ" else self.operand()
        return f"<mfrac>{_bare(above)}{_bare(below)}</mfrac>"

    def sum_of(self) -> str:
        """A sum and what is summed, as the lower half of a fraction."""
        parts = [self.operator(True)]
        while self.peek().kind == "space":
            self.take()
        return f"<mrow>{''.join(parts)}{self.operand()}</mrow>"

    def operator(self, first: bool) -> str:
        """A sign, or Σ with what it runs over."""
        text = self.take().text
        if text != "Σ":
            form = ' form="prefix"' if text == "−" and first else ""
            return f"<mo{form}>{escape(text)}</mo>"
        sign = '<mo movablelimits="true">∑</mo>'
        if self.peek().text != "_":
            return sign
        self.take()
        return f"<munder>{sign}{self.subscript()}</munder>"

    def operand(self) -> str:
        """A name, number or bracket with its indices and powers; a function with its argument."""
        base, callable_ = self.base()
        base = self.scripts(base)
        if callable_ and self.peek().text in ("(", "["):
            base = f"<mrow>{base}{self.scripts(self.bracket())}</mrow>"
        return base

    def base(self) -> tuple[str, bool]:
        """What carries the scripts, and whether a bracket right behind it belongs to it."""
        token = self.peek()
        if token.text in _BRACKETS:
            return self.bracket(), False
        if token.text == "|":
            return self.between_bars(), False
        self.take()
        if token.text == "√":
            return f"<msqrt>{_bare(self.operand())}</msqrt>", False
        if token.kind == "word":
            return self.word(token), True
        if token.kind == "number" or token.text in "½¼":
            return f"<mn>{token.text}</mn>", token.text == "1"
        if token.text == "∂":
            return "<mo>∂</mo>", True
        return f"<mi>{escape(token.text)}</mi>", False

    def word(self, token: _Token) -> str:
        """A variable, a function, a differential or a product of letters."""
        text = token.text
        if text[0] == "∂":
            return f"<mrow><mo>∂</mo>{_letters(text[1:])}</mrow>"
        if text in FUNCTIONS or text in NAMES:
            return f"<mi>{escape(text)}</mi>"
        plain = text.replace("\u0302", "")
        if len(plain) > 2:
            return f"<mtext>{escape(text)}</mtext>"
        if len(plain) == 2 and plain[0] == "d":
            return f'<mrow><mi mathvariant="normal">d</mi>{_letters(text[1:])}</mrow>'
        return _letters(text)

    def bracket(self) -> str:
        """A bracket and all that is in it."""
        opening = self.take().text
        inside = self.row(_BRACKETS[opening])
        return f"<mrow>{_fence(opening)}{inside}{_fence(self.take().text)}</mrow>"

    def between_bars(self) -> str:
        """An absolute value."""
        self.take()
        inside = self.row("|")
        self.take()
        return f"<mrow>{_fence('|')}{inside}{_fence('|')}</mrow>"

    def scripts(self, base: str) -> str:
        """What stands at the lower and the upper right of `base`."""
        below, above = "", ""
        while True:
            token = self.peek()
            if token.text == "_" and not below and self.peek(1).kind not in ("space", "end"):
                self.take()
                below = self.subscript()
            elif token.text == "^":
                self.take()
                above += self.power()
            elif token.kind == "raised":
                above += _inner(self.take().text, _RAISED)
            elif token.kind == "lowered":
                below += _inner(self.take().text, _LOWERED)
            elif token.kind == "prime":
                above += f"<mo>{self.take().text}</mo>"
            else:
                break
        if below and above:
            return f"<msubsup>{base}<mrow>{below}</mrow><mrow>{above}</mrow></msubsup>"
        if below:
            return f"<msub>{base}<mrow>{below}</mrow></msub>"
        return f"<msup>{base}<mrow>{above}</mrow></msup>" if above else base

    def subscript(self) -> str:
        """Indices: letters, a bracket, or several of these with commas and no space between."""
        parts = [self.index()]
        while self.peek().text == "," and self.peek(1).kind not in ("space", "end"):
            self.take()
            parts += ["<mo>,</mo>", self.index()]
            if self.peek().text == "(":
                parts.append(self.bracket())
        return f"<mrow>{''.join(parts)}</mrow>"

    def index(self) -> str:
        if self.peek().text == "(":
            return _bare(self.bracket())
        start = self.peek().start
        match = _SUBSCRIPT.match(self.text, start)
        if match is None:
            return self.operand()
        while self.peek().kind != "end" and self.peek().start < match.end():
            self.take()
        parts = re.findall(r"[^\W\d_]{3,}(?=$)|\d+|[^\W\d_]\u0302?|′+|…", match[0])
        word = match[0].isalpha() and match[0] in _INDEX_WORDS
        return f"<mtext>{match[0]}</mtext>" if word else "".join(map(_symbol, parts))

    def power(self) -> str:
        """An exponent: a sign, and one operand behind it."""
        sign = ""
        if self.peek().text in ("−", "-", "+"):
            sign = f'<mo form="prefix">{self.take().text}</mo>'
        return f"<mrow>{sign}{_bare(self.operand_alone())}</mrow>"

    def operand_alone(self) -> str:
        """An operand to which no bracket behind it belongs."""
        base, _ = self.base()
        return self.scripts(base)


_INDEX_WORDS = set("batch rows label token in out next".split())


def _symbol(text: str) -> str:
    if text.isdigit():
        return f"<mn>{text}</mn>"
    if text[0] in "′…":
        return f"<mo>{text}</mo>"
    return _letters(text)


def _letters(text: str) -> str:
    """Letters, each a variable of its own, the ones with a hat under it."""
    found = re.findall(r".\u0302?", text)
    parts = [
        f"<mover><mi>{own[0]}</mi><mo>^</mo></mover>" if len(own) > 1 else f"<mi>{own}</mi>"
        for own in found
    ]
    return parts[0] if len(parts) == 1 else f"<mrow>{''.join(parts)}</mrow>"


def _inner(text: str, table: dict[str, str]) -> str:
    """Small letters and digits at their place, as what they stand for."""
    plain = "".join(table[letter] for letter in text)
    parts = re.findall(r"\d+|.", plain)
    kinds = {True: "mn", False: "mi"}
    return "".join(
        f"<mo>{part}</mo>" if part in "+−()" else f"<{(k := kinds[part.isdigit()])}>{part}</{k}>"
        for part in parts
    )


def _space(text: str, before: Sequence[str], following: _Token) -> str:
    """Room between two operands, and between two equations on one line."""
    if len(text) > 1 and before:
        return '<mspace width="1.6em"/>'
    operand = following.kind not in ("mark", "end") or following.text in [*_BRACKETS, *"|√½¼Σ"]
    if before and before[-1] == "<mo>,</mo>":
        return '<mspace width="0.2em"/>'
    return '<mspace width="0.25em"/>' if operand and not _at_operator(before) else ""


def _at_operator(before: Sequence[str]) -> bool:
    """Whether nothing or an operator precedes, so that a minus is a sign."""
    last = next((part for part in reversed(before) if part), "")
    return not last or last.startswith(("<mo>", "<mo ", "<munder>"))


def _fence(bracket: str) -> str:
    return f'<mo stretchy="false">{escape(bracket)}</mo>'


def _bare(element: str) -> str:
    """A bracket without its signs, where a root, a fraction or an index holds it together."""
    opening, closing = f"<mrow>{_fence('(')}", f"{_fence(')')}</mrow>"
    if element.startswith(opening) and element.endswith(closing):
        inside = element.removeprefix(opening).removesuffix(closing)
        if inside.count("<mrow>") == inside.count("</mrow>"):
            return inside
    return element
