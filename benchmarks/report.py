"""Reports of benchmarks as text: numbers with units, rows as cells, the machine in a line."""

from typing import Any

from lamp.utils.scores.tables import format_table

COLUMNS = ("time", "items a second", "peak memory", "baseline", "ratio")


def format_seconds(seconds: float) -> str:
    """Three digits, in milliseconds below a second."""
    return f"{seconds:.3g} s" if seconds >= 1 else f"{1000 * seconds:.3g} ms"


def format_rate(rate: float) -> str:
    """Three digits without an exponent."""
    return f"{rate:,.0f}" if rate >= 100 else f"{rate:.3g}"


def cells(row: dict[str, Any]) -> dict[str, str]:
    """A measured row of a report as the cells of a table, its name left out."""
    shown = {
        "time": format_seconds(row["seconds"]),
        "items a second": f"{format_rate(row['items_per_second'])} {row['unit']}",
    }
    if row["peak_gb"] is not None:
        shown["peak memory"] = f"{row['peak_gb']:.2f} GB"
    if row["baseline_seconds"] is not None:
        shown["baseline"] = format_seconds(row["baseline_seconds"])
        shown["ratio"] = f"{row['ratio']:.1f} x" if row["ratio"] >= 1 else f"{row['ratio']:.2f} x"
    return shown


def machine_line(machine: dict[str, Any]) -> str:
    """The machine of a report in one line."""
    memory = "" if machine["memory_gb"] is None else f", {machine['memory_gb']:.0f} GB"
    busy = "" if machine["load_before"] is None else f", load {machine['load_before']:.1f} before"
    return (
        f"{machine['processor']}, {machine['cores']} cores{memory}; {machine['device']}, {machine['threads']} threads; "
        f"Python {machine['python']}, PyTorch {machine['torch']}, NumPy {machine['numpy']}; "
        f"commit {machine['commit']}{busy}"
    )


def row_name(row: dict[str, Any]) -> str:
    """What a row is about; with `--grow` what is varied comes first, for one size may end two series."""
    return f"{row['axis']}: {row['title']}" if row["axis"] else row["title"]


def report_lines(report: dict[str, Any]) -> list[str]:
    """A report as text: the machine, a table, and what was not measured."""
    warning = ["--quick: tiny sizes, the numbers mean nothing"] if report["quick"] else []
    head = [f"{report['benchmark']}: {machine_line(report['machine'])}", *warning]
    rows = {row_name(row): cells(row) for row in report["rows"] if row["seconds"] is not None}
    notes = [f"{row_name(row)}: {row['note']}" for row in report["rows"] if row["seconds"] is None]
    return [*head, *(format_table(rows, COLUMNS) if rows else []), *notes]
