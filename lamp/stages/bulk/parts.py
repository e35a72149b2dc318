"""What bulk work leaves on disk: parts, each written once and whole, and what is known of them.

| file | what |
| --- | --- |
| `plan.json` | task, number and digest of the items, batch size, models, settings; the same for all processes |
| `items.json` | the items of each delivery: what SOURCE had at first, and what it had more at later starts |
| `parts/0000/0000012/rows.jsonl` | a line a result of the 13th batch, and for each item that was left out its reason |
| `parts/0000/0000012/*.npy` | arrays of the batch |
| `manifest.json` | which parts are there and which are missing; at the end what was left out |

A part is written aside and renamed. That it is there is what says that it is done, so processes need not know of each
other, and one that is killed loses the part that it was at.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from lamp.utils.errors import UserError, brief
from lamp.utils.files import atomic_folder, read_json, write_json
from lamp.utils.litter import public_name

FORMAT = 1
PLAN, ITEMS, ROWS = "plan.json", "items.json", "rows.jsonl"
PASSING = "passing"
"""Mark of a row whose item was left out for lack of memory, or an error of disk or network: it is tried again."""
_TOGETHER = 1000
"""Parts in a folder, so that folders of large corpora stay quick to list."""
_TOLD = 1000
"""Reasons for leaving something out that the manifest repeats."""


@dataclass(frozen=True)
class Plan:
    """What is to be done; results of another plan do not belong beside those of this one.

    Attributes:
        task: what is done.
        items: how many files or motions.
        deliveries: how many of them SOURCE had at first, and how many more it had at later starts.
        digest: of their names, or of the sentences.
        models: names with digests.
        settings: what else results depend on.
    """

    task: str
    items: int
    deliveries: list[int]
    digest: str
    models: dict[str, str]
    settings: dict[str, Any]

    @property
    def parts(self) -> int:
        """How many there will be."""
        return _count(self.deliveries, self.settings["batch_size"])


@dataclass
class Part:
    """Results of a batch.

    Attributes:
        rows: a dictionary a result, or with a `reason` for an item that was left out.
        arrays: by name.
        draft: what is known of the joint map of a skeleton that is not.
    """

    rows: list[dict[str, Any]] = field(default_factory=list)
    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    draft: dict[str, object] = field(default_factory=dict)

    @property
    def left_out(self) -> list[str]:
        """A line for each item that has no result."""
        return [f"{row['file']}: {row['reason']}" for row in self.rows if "reason" in row]


def _count(deliveries: Sequence[int], size: int) -> int:
    """How many parts deliveries have."""
    return sum(-(-count // size) for count in deliveries)


def begin(out: Path, plan: Plan, items: list[list[str]], before: Plan | None = None) -> None:
    """Write the plan into a new folder, or make sure that the folder's is the same.

    Args:
        out: the folder.
        plan: what is to be done.
        items: of each delivery.
        before: the plan without the last delivery, which this one may follow.

    Raises:
        UserError: it is another one, the folder holds something else, or it cannot be written to.
    """
    path, wanted = out / PLAN, _as_json(plan)
    ours = {name for file in (PLAN, ITEMS) for name in (file, Path(file).stem)}
    try:
        if not path.is_file():
            others = out.is_dir() and any(public_name(one.name) not in ours for one in out.iterdir())
            # A process beside this one may have begun meanwhile.
            if (others or out.is_file()) and not path.is_file():
                raise UserError(f"--out {out} exists and was not made by this command; name another folder")
            write_json(out / ITEMS, items)
            write_json(path, wanted)
        known = _read_plan(out)
        if before is not None and known == _as_json(before):
            # In this order, so that a start between the two finds a plan that its items follow.
            write_json(out / ITEMS, items)
            write_json(path, wanted)
            return
        if known == wanted:
            if not (out / ITEMS).is_file():  # of an older version
                write_json(out / ITEMS, items)
            return
    except OSError as error:
        raise UserError(f"--out {out} cannot be used: {error.strerror or error}; name another folder") from error
    except ValueError as error:
        raise UserError(f"{path} is damaged; name another --out") from error
    if not isinstance(known, dict) or known.get("format") != FORMAT:
        raise UserError(f"{path} is of another version; name another --out")
    raise UserError(f"--out {out} holds work {_difference(known, wanted)}; name another --out")


def _as_json(plan: Plan) -> Any:
    """A plan as it is read back."""
    return json.loads(json.dumps({"format": FORMAT, **asdict(plan)}))


def _read_plan(out: Path) -> Any:
    """What the plan of a folder says; those of older versions know no deliveries."""
    known = read_json(out / PLAN)
    return {"deliveries": [known.get("items")], **known} if isinstance(known, dict) else known


def known_items(out: Path) -> list[list[str]]:
    """The items of each delivery, of earlier starts.

    Raises:
        UserError: the file that says them is damaged.
    """
    path = out / ITEMS
    try:
        known = read_json(path) if path.is_file() else []
        if isinstance(known, list) and all(isinstance(one, list) for one in known):
            return [list(map(str, one)) for one in known]
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read ({brief(error)}); name another --out") from error
    raise UserError(f"{path} is damaged; name another --out")


def _difference(known: dict[str, Any], wanted: dict[str, Any]) -> str:
    """How an older plan differs from a new one, in words."""
    if known.get("task") != wanted["task"]:
        return f"of {known.get('task')}, not of {wanted['task']}"
    for group in ("models", "settings"):
        held = known.get(group)
        old: dict[str, Any] = held if isinstance(held, dict) else {}
        new: dict[str, Any] = wanted[group]
        for name in dict.fromkeys([*new, *old]):
            before, now = (values.get(name, "(none)") for values in (old, new))
            if before != now:
                flag = "--" * (group == "settings")
                return f"with {flag}{name} {before}, not {now}"
    return f"on other items ({known.get('items')}; SOURCE has {wanted['items']} now, or other ones)"


def folder_of(out: Path, number: int) -> Path:
    """Folder of a part."""
    return out / "parts" / f"{number // _TOGETHER:04d}" / f"{number:07d}"


def write_part(out: Path, number: int, part: Part) -> None:
    """Write a part.

    Raises:
        UserError: the disk is full.
    """
    with atomic_folder(folder_of(out, number)) as aside:
        for name, array in part.arrays.items():
            np.save(aside / f"{name}.npy", array)
        lines = (json.dumps(row, ensure_ascii=False) for row in part.rows)
        (aside / ROWS).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def rows_of(folder: Path) -> list[dict[str, Any]] | None:
    """Rows of a part; None where there is none, or a damaged one."""
    try:
        # Names and captions may hold characters at which `splitlines` breaks a line, too.
        rows = [json.loads(line) for line in (folder / ROWS).read_text(encoding="utf-8").split("\n") if line]
    except (OSError, ValueError):
        return None
    return rows if all(isinstance(row, dict) and isinstance(row.get("file"), str) for row in rows) else None


def there(out: Path, parts: int) -> list[int]:
    """Numbers of the parts that are there."""
    found = []
    for group in sorted((out / "parts").glob("[0-9]*")):
        names = (one.name for one in group.iterdir())
        found += [int(name) for name in names if name.isdigit() and int(name) < parts]
    return sorted(found)


def all_rows(out: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Folder and row of every result and everything that was left out, in order; for reading results."""
    plan = _read_plan(out)
    for number in there(out, _count(plan["deliveries"], plan["settings"]["batch_size"])):
        folder = folder_of(out, number)
        for row in rows_of(folder) or ():
            yield folder, row


def write_manifest(out: Path, plan: Plan) -> dict[str, Any]:
    """Write what is done and what is missing, and give it back.

    Processes that end at the same time may each know less than there is, so each looks again after it has written.
    """
    while True:
        done = there(out, plan.parts)
        manifest: dict[str, Any] = {
            "task": plan.task,
            "items": plan.items,
            "parts": plan.parts,
            "done": len(done),
            "missing": [list(run) for run in _runs(sorted(set(range(plan.parts)) - set(done)))],
        }
        if len(done) == plan.parts:
            reasons = [row for _, row in all_rows(out) if "reason" in row]
            told = [{"file": row["file"], "reason": row["reason"]} for row in reasons[:_TOLD]]
            again = sum(PASSING in row for row in reasons)
            manifest |= {"left_out": len(reasons), "try_again": again, "reasons": told}
        write_json(out / "manifest.json", manifest)
        if len(there(out, plan.parts)) == len(done):
            return manifest


def _runs(numbers: Sequence[int]) -> Iterator[tuple[int, int]]:
    """First and last of each run of numbers without a gap."""
    start = 0
    for place in range(1, len(numbers) + 1):
        if place == len(numbers) or numbers[place] != numbers[place - 1] + 1:
            yield numbers[start], numbers[place - 1]
            start = place
