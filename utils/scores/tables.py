"""Tables for logs: rows of named cells under named columns."""

from collections.abc import Mapping, Sequence

MISSING = "-"


def format_table(rows: Mapping[str, Mapping[str, object]], columns: Sequence[str]) -> list[str]:
    """Lines of a table, the columns aligned; a cell that a row lacks is a dash, a column that all lack is left out."""
    columns = [column for column in columns if any(column in row for row in rows.values())]
    cells = [["", *columns]]
    cells += [[name, *(str(row.get(column, MISSING)) for column in columns)] for name, row in rows.items()]
    widths = [max(len(line[i]) for line in cells) for i in range(len(columns) + 1)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in cells]
