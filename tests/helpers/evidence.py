"""Tables of a conclusion, read back."""


def cells(table: str, row: int) -> list[str]:
    """The texts of a row of a table in Markdown, the first below the head being 0."""
    return [cell.strip() for cell in table.splitlines()[2 + row].strip("|").split("|")]
