"""Tables for logs: rows of named cells under named columns."""

from collections.abc import Mapping, Sequence

from lamp.utils.scores.cautions import POOL
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

    Below them stands what keeps the scores from being compared with the field's.

    Args:
        scores: ours.
        made: name of the produced motions' row.
        columns: of the second table.
        published: rows that are printed beside ours; empty for none.
    """
    rows: dict[str, Mapping[str, object]] = {"real motions": scores.rows["real"], made: scores.rows["produced"]}
    lines = format_table(rows, list(MEASURES))
    return lines + pool_table(rows, scores.pool, columns, published) + scores.cautions


def pool_table(
    rows: Mapping[str, Mapping[str, object]], pool: int, columns: Sequence[str], published: Rows
) -> list[str]:
    """Lines of a table with the size of R-precision's pools, in a column of its own before it.

    Args:
        rows: ours.
        pool: candidates of a pool of ours.
        columns: of the table, R@1 among them.
        published: rows that are printed beside ours, of pools of 32; empty for none.
    """
    first = list(columns).index("R@1")
    sized = {name: {"pool": pool, **row} for name, row in rows.items()}
    sized |= {f"{name} ({PAPER})": {"pool": POOL, **row} for name, row in published.items()}
    return format_table(sized, [*columns[:first], "pool", *columns[first:]])
