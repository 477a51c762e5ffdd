import re

import pytest

from website import prose


def formulas(text):
    """The formulas that are found in a sentence, as they are written."""
    return re.findall(r'<math aria-label="(.*?)">', prose.inline(text))


@pytest.mark.parametrize(
    ("sentence", "found"),
    [
        ("y = x w + b, or x w where b is None.", ["y = x w + b", "x w", "b"]),
        ("A row of a table is a vector, and so is a step.", []),
        ("1/n Σ (x − μ)², as training uses it", ["1/n Σ (x − μ)²"]),
        ("i = h − 1 − i′ (the kernel turned by 180°)", ["i = h − 1 − i′"]),
        ("With dy_t = ∂L/∂(output t) alone (Graves 2012, §4.6)", ["dy_t = ∂L/∂(output t)"]),
        ("(with dx̂ = γ dy) it is", ["dx̂ = γ dy"]),
        ("else a x, with a = negative_slope.", ["a x", "a = negative_slope"]),
        ("μ and σ² do not depend on x", ["μ", "σ²", "x"]),
        ("L = 1/n Σ −y log a − (1 − y) log(1 − a)", ["L = 1/n Σ −y log a − (1 − y) log(1 − a)"]),
        ("lies at (u, v), k(p, q) of it", ["(u, v)", "k(p, q)"]),
        ("the weights 1 − |u − row|, and", ["1 − |u − row|"]),
        ("y = Σ a b r s, and −r³ a, so", ["y = Σ a b r s", "−r³ a"]),
        ("the mean of a dz that is", ["dz"]),
        ("da = dy r (b s − y a r), by", ["da = dy r (b s − y a r)"]),
        ("[x_j cos a − x_k sin a, 0]", ["[x_j cos a − x_k sin a, 0]"]),
        ("for each token, E_token", ["E_token"]),
        ("(Nielsen 2015, ch. 2, BP2 to BP4)", []),
        ("a layer of 2 or 3 units", []),
    ],
)
def test_what_is_a_formula(sentence, found):
    assert formulas(sentence) == found


def test_words_around_a_formula_stay():
    html = prose.inline("With `n` < 3, x̂ = 1, so (it is said) y > 0.")
    plain = re.sub(r"<math.*?</math>", "F", html)
    assert plain == "With <code>n</code> F, F, so (it is said) F."


def test_blocks_lists_and_the_first_line():
    docstring = """y = a,  z = b   (Who 2001).

    Shapes: x (`n`,) -> y.

    Hence

        dx = dy
        dw = 0

    - one
      more
    - two

    Raises:
        ValueError: never.
    """
    html = prose.html("\n".join(line.removeprefix("    ") for line in docstring.splitlines()),
                      lead=True)  # fmt: skip
    assert html.count('class="equation"') == 2
    assert "<p>(Who 2001).</p>" in html
    assert '<p class="shapes">Shapes: x (<code>n</code>,) → y.</p>' in html
    assert '<mtable displaystyle="true" class="meet">' in html
    assert "<ul><li>one more</li></ul>\n\n<ul><li>two</li></ul>" in html
    assert "never" not in html
