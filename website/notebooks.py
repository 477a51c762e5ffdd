"""Runs the notebooks of docs/notebooks/ and keeps in them what their cells print: make reports."""

import json
from pathlib import Path
from typing import Any

from website.notebook_pages import NOTEBOOKS

__all__ = ["executed", "text_of"]


def executed(file: Path) -> dict[str, Any]:
    """Runs a notebook in a kernel of its own; of what is shown in many forms the text is kept.

    Raises:
        nbclient.exceptions.CellExecutionError: if a cell fails.
    """
    import nbclient
    import nbformat

    notebook = nbformat.read(file, as_version=4)
    nbclient.NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
    found = json.loads(nbformat.writes(notebook))
    for cell in found["cells"]:
        cell["metadata"] = {}
        if cell["cell_type"] == "code":
            cell["outputs"] = _kept(cell["outputs"])
    found["metadata"] = {"language_info": {"name": "python"}}
    return found


def _kept(outputs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The text of each output; what a cell prints in several pieces is one."""
    kept: list[dict[str, Any]] = []
    for output in outputs:
        if output["output_type"] == "stream":
            if not kept or kept[-1]["output_type"] != "stream":
                kept.append({**output, "text": []})
            kept[-1]["text"] += _lines(output["text"])
        else:
            plain = _lines(output["data"]["text/plain"])
            kept.append({**output, "data": {"text/plain": plain}})
    return kept


def _lines(text: str | list[str]) -> list[str]:
    return "".join(text).splitlines(keepends=True)


def text_of(notebook: dict[str, Any]) -> str:
    """All that the cells of a notebook print or show, as text."""
    shown = [output for cell in notebook["cells"] for output in cell.get("outputs", [])]
    return "\n".join(
        "".join(output["text"] if "text" in output else output["data"]["text/plain"])
        for output in shown
    )


if __name__ == "__main__":
    for notebook in sorted(NOTEBOOKS.glob("*.ipynb")):
        text = json.dumps(executed(notebook), indent=1, ensure_ascii=False)
        notebook.write_text(f"{text}\n", encoding="utf-8")
