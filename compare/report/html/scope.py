"""Makes the page's style one for a single element, so that a notebook around it keeps its own."""

import re

__all__ = ["scoped"]

_LIGHT = ('[data-jp-theme-light="true"]', ".vscode-light")
_DARK = ('[data-jp-theme-light="false"]', ".vscode-dark")


def scoped(style: str, element: str) -> str:
    """Nests a style in an element.

    The rules of `:root` and `body` become the element's own. The browser's preference chooses light
    or dark as on the page, where no notebook says which it is.

    Args:
        style: it opens with two rules of `:root`, the colours in the light and in the dark.
        element: a selector.
    """
    light, dark = re.findall(r":root \{(.*?)\}", style, flags=re.DOTALL)[:2]
    # Three times the same class: more specific than the notebook's own rules for tables.
    own = element * 3
    nested = re.sub(r"(?<![\w-])(:root|body)(?= \{)", "&", style)
    themes = [
        f"{theme} {own} {{{colours} color-scheme: {scheme}; }}"
        for themes, colours, scheme in ((_LIGHT, light, "light"), (_DARK, dark, "dark"))
        for theme in themes
    ]
    return "\n".join([f"{own} {{\n{nested}\n}}", *themes])
