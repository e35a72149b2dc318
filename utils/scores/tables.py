"""Tables for logs: rows of named cells under named columns."""

from collections.abc import Mapping, Sequence

from lamp.utils.scores.evaluation import Scores
from lamp.utils.scores.physics import MEASURES
from lamp.utils.scores.published import PAPER, Rows

MISSING = "-"


def format_table(rows: Mapping[str, Mapping[str, object]], columns: Sequence[str]) -> list[str]:
    """Lines of a table, the columns aligned; a cell that a row lacks is a dash, a column that all lack is left out."""
    columns = [column for column in columns if any(column in row for row in rows.values())]
    cells = [["", *columns]]
    cells += [[name, *(str(row.get(column, MISSING)) for column in columns)] for name, row in rows.items()]
    widths = [max(len(line[i]) for line in cells) for i in range(len(columns) + 1)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in cells]


def protocol_tables(scores: Scores, made: str, columns: Sequence[str], published: Rows) -> list[str]:
    """Lines of the two tables of a split: how plausible real and produced motions are, and how they score.

    Args:
        scores: ours.
        made: name of the produced motions' row.
        columns: of the second table.
        published: rows that are printed beside ours; empty for none.
    """
    rows: dict[str, Mapping[str, object]] = {"real motions": scores.rows["real"], made: scores.rows["produced"]}
    lines = format_table(rows, list(MEASURES))
    rows |= {f"{name} ({PAPER})": row for name, row in published.items()}
    return lines + format_table(rows, columns)
