"""The executed notebook without anything that differs between two runs of a deterministic one."""

import re

import nbformat
from nbformat import NotebookNode

KERNEL = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {
        "file_extension": ".py",
        "mimetype": "text/x-python",
        "name": "python",
        "pygments_lexer": "ipython3",
    },
}
MEASURING = "measuring"
OF_TABLES = ("table:", "no-table:", MEASURING)  # how tags of cells begin that are for pipelines.stages.from_tables
WIDGET = "application/vnd.jupyter.widget-view+json"


def is_tag_of_tables(tag: str) -> bool:
    """Whether a cell's tag says where its names stand in published tables; an executed copy needs none."""
    return tag.startswith(OF_TABLES)


def canonical(notebook: NotebookNode) -> NotebookNode:
    """Return a copy without anything that differs between two runs of a deterministic notebook.

    Progress bars and warnings (standard error, widgets) go as well: they are meant for the person
    who watches the run.
    """
    kept = {k: v for k, v in notebook.metadata.items() if k not in ("papermill", "widgets")}
    notebook = nbformat.from_dict({**notebook, "nbformat": 4, "nbformat_minor": 5, "metadata": {**kept, **KERNEL}})
    count = 0
    for index, cell in enumerate(notebook.cells):
        cell.id = f"cell-{index:03d}"
        if "tags" in cell.metadata:
            cell.metadata["tags"] = [tag for tag in cell.metadata["tags"] if not is_tag_of_tables(tag)]
        cell.metadata = {k: v for k, v in cell.metadata.items() if k not in ("papermill", "execution") and v != []}
        if cell.cell_type != "code":
            continue
        if cell.execution_count is not None:
            cell.execution_count = count = count + 1
        cell.outputs = _canonical_outputs(cell.outputs, count)
    return notebook


def _canonical_outputs(outputs: list[NotebookNode], count: int) -> list[NotebookNode]:
    kept: list[NotebookNode] = []
    for output in outputs:
        data = output.get("data", {})
        if output.get("name") == "stderr" or WIDGET in data:
            continue
        if output.output_type == "execute_result":
            output.execution_count = count
        if "text/plain" in data:
            data["text/plain"] = re.sub(r"\bat 0x[0-9a-fA-F]+", "at 0x0", data["text/plain"])
        if output.output_type == "stream" and kept and kept[-1].output_type == "stream":
            kept[-1].text += output.text  # how a text is cut into messages is a matter of timing
        else:
            kept.append(output)
    return kept
