"""A page for each notebook of docs/notebooks/, with what its cells print."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

__all__ = ["NOTEBOOKS", "pages", "titles"]

NOTEBOOKS = Path(__file__).parents[1] / "docs" / "notebooks"


def titles() -> Iterator[tuple[str, str]]:
    """Lists the notebooks: (path of the page, title)."""
    for file in sorted(NOTEBOOKS.glob("*.ipynb")):
        first = "".join(_cells(file)[0]["source"])
        yield f"notebooks/{file.stem}.md", first.splitlines()[0].removeprefix("# ")


def pages() -> Iterator[tuple[str, str]]:
    """Makes the page of each notebook: (path, Markdown)."""
    for file in sorted(NOTEBOOKS.glob("*.ipynb")):
        title, *cells = _cells(file)
        link = f"[Download the notebook]({file.name}), and run it where handgrad is installed."
        parts = ["".join(title["source"]), link, *(_cell(cell) for cell in cells)]
        yield f"notebooks/{file.stem}.md", "\n\n".join(parts)


def _cells(file: Path) -> list[dict[str, Any]]:
    return json.loads(file.read_text(encoding="utf-8"))["cells"]


def _cell(cell: dict[str, Any]) -> str:
    source = "".join(cell["source"])
    if cell["cell_type"] == "markdown":
        return source
    outputs = [f"```text\n{_printed(output).rstrip()}\n```" for output in cell["outputs"]]
    return "\n\n".join([f"```python\n{source}\n```", *outputs])


def _printed(output: dict[str, Any]) -> str:
    """What a cell printed, or the text of what it showed."""
    return "".join(output["text"] if "text" in output else output["data"]["text/plain"])
