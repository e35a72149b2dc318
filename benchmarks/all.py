"""All benchmarks, each in a process of its own, into one JSON file and one markdown table.

python -m benchmarks.all --json results.json
python -m benchmarks.all --grow --json growth.json
python -m benchmarks.all --markdown results.json --insert docs/performance.md

The first measures everything and writes results.json and, beside it, results.md. The last measures nothing: it makes
the table of files measured before and puts it into a document, between its two marks.
"""

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.common import ROOT, Settings
from benchmarks.report import COLUMNS, cells, machine_line, row_name
from lamp.utils.cli import parse
from lamp.utils.errors import UserError, main_with_errors
from lamp.utils.files import atomic_path, read_json, write_json

SCRIPTS = (
    "bench_tokenizer",
    "bench_transformers",
    "bench_lamp",
    "bench_generate",
    "bench_caption",
    "bench_export",
    "bench_features",
    "bench_metrics",
    "bench_commands",
    "bench_gpu",
)
GROWING = ("bench_tokenizer", "bench_generate")
BEGIN, END = "<!-- table -->", "<!-- end of table -->"
HEADER = ("part", *COLUMNS)


@dataclass(kw_only=True)
class AllOptions(Settings):
    """All benchmarks"""

    json: Path | None = Path("generation/benchmarks.json")
    """write machines and rows to this file, and their table beside it as .md"""
    markdown: list[Path] = field(default_factory=list)
    """measure nothing, print the table of these JSON files"""
    insert: Path | None = None
    """with --markdown: put the table into this document"""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.insert is not None and not self.markdown:
            raise UserError("--insert needs --markdown FILE, the results to put there")
        if self.only:
            raise UserError("--only goes with one script: python -m benchmarks.<script> --only ...")


def flags_of(options: AllOptions) -> list[str]:
    """Flags that are passed on to the scripts."""
    flags = [f"--{name}" for name in ("quick", "small", "grow") if getattr(options, name)]
    flags += ["--device", options.device] if options.device else []
    return [*flags, "--threads", str(options.threads), "--repeat", str(options.repeat)]


def measure(options: AllOptions) -> tuple[list[dict[str, Any]], list[str]]:
    """Reports of all scripts, and the names of those that failed."""
    reports, failed = [], []
    with tempfile.TemporaryDirectory() as folder:
        for script in GROWING if options.grow else SCRIPTS:
            file = Path(folder) / f"{script}.json"
            command = [sys.executable, "-m", f"benchmarks.{script}", "--json", str(file), *flags_of(options)]
            if subprocess.run(command, cwd=ROOT, check=False).returncode:
                failed.append(script)
            else:
                reports.append(read_json(file))
            print(flush=True)
    return reports, failed


def markdown_lines(reports: Sequence[dict[str, Any]]) -> list[str]:
    """The table of some reports; rows that were not measured are left out, and so are machines without any."""
    lines: list[str] = []
    for machine in dict.fromkeys(_machine(report) for report in reports):
        here = [report for report in reports if _machine(report) == machine]
        rows = [row for report in here for row in report["rows"] if row["seconds"] is not None]
        if not rows:
            continue
        lines += [f"{machine}.", ""]
        if any(report["quick"] for report in here):
            lines += ["**A quick run: tiny sizes, the numbers mean nothing.**", ""]
        lines += ["| " + " | ".join(HEADER) + " |", "| --- |" + " ---: |" * (len(HEADER) - 1)]
        for row in rows:
            shown = cells(row)
            lines.append("| " + " | ".join([row_name(row), *(shown.get(name, "") for name in HEADER[1:])]) + " |")
        lines.append("")
    return lines


def _machine(report: dict[str, Any]) -> str:
    # The load is a property of the moment, not of the machine.
    return machine_line(report["machine"] | {"load_before": None})


def read_reports(paths: Sequence[Path]) -> list[dict[str, Any]]:
    """Reports of files that this script or a single one wrote.

    Raises:
        UserError: a file is missing or none of these.
    """
    reports: list[dict[str, Any]] = []
    for path in paths:
        try:
            content = read_json(path)
            reports += content.get("reports", [content])
        except (OSError, ValueError, AttributeError) as error:
            raise UserError(f"--markdown {path}: no results of a benchmark there ({error})") from error
    if bad := [report for report in reports if not {"machine", "rows", "quick"} <= report.keys()]:
        raise UserError(f"--markdown: no results of a benchmark, but {sorted(bad[0])[:3]}")
    return reports


def insert(lines: Sequence[str], document: Path) -> None:
    """Put a table into a document, in place of the one between its marks.

    Raises:
        UserError: there is no such document, or it has no marks.
    """
    if not document.is_file():
        raise UserError(f"--insert {document}: no such file")
    before, begin, rest = document.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise UserError(f"--insert {document}: it lacks the marks {BEGIN} and {END}")
    with atomic_path(document) as aside:
        text = "\n".join([BEGIN, "", *lines, END])
        aside.write_text(before + text + after, encoding="utf-8")


@main_with_errors
def main() -> None:
    """Measure, or make a table."""
    options = parse(AllOptions)
    if options.markdown:
        lines = markdown_lines(read_reports(options.markdown))
        print("\n".join(lines))
        if options.insert is not None:
            insert(lines, options.insert)
        return
    reports, failed = measure(options)
    if options.json is not None:
        write_json(options.json, {"reports": reports})
        with atomic_path(options.json.with_suffix(".md")) as aside:
            aside.write_text("\n".join(markdown_lines(reports)), encoding="utf-8")
        print(f"results in {options.json} and {options.json.with_suffix('.md')}")
    if failed:
        raise UserError(f"{', '.join(failed)} failed, see above")


if __name__ == "__main__":
    main()
