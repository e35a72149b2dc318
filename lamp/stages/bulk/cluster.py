"""Bulk work on a Ray cluster: Ray Data gives parts to processes that hold the models, and again if one dies."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from lamp.options.corpora.bulk import BulkOptions
from lamp.stages.bulk.items import Item, is_done
from lamp.stages.bulk.run import Report, compute
from lamp.stages.bulk.tasks import make_task
from lamp.utils.errors import UserError, brief
from lamp.utils.run.device import resolve_device

LOCAL = "local"


class PartWorker:
    """Holds the models in a process of the cluster and computes parts; what it gives back is small.

    Args:
        options: as `BulkOptions`, with absolute paths that all machines see.
    """

    def __init__(self, options: BulkOptions) -> None:
        self.options, self.error = options, ""
        try:
            # Ray shows a process its own GPU only.
            self.task = make_task(options, resolve_device(options.gpu_id))
        except UserError as error:
            self.error = str(error)

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """Compute the part `number` of `items`."""
        number, items = int(row["number"]), [Item(**values) for values in json.loads(row["items"])]
        answer = {"count": len(items), "left_out": "[]", "draft": "{}", "error": self.error}
        # Where a process died, Ray gives its parts to another, those that it wrote included.
        if self.error or is_done(self.options.out, number, items):
            return answer
        try:
            part = compute(self.task, self.options.out, number, self.task.read(items))
        except UserError as error:
            return answer | {"error": str(error)}
        return answer | {"left_out": json.dumps(part.left_out), "draft": json.dumps(part.draft)}


def work_on_cluster(options: BulkOptions, parts: list[list[Item]], numbers: list[int], bar: tqdm) -> Report:
    """Compute some parts on the cluster that `--ray` names.

    Raises:
        UserError: it cannot be reached, or a process cannot work.
    """
    import ray

    try:
        # "local" also where RAY_ADDRESS names a cluster, which no address would join.
        ray.init(options.ray, log_to_driver=False, **_beginning(options))
    except (ConnectionError, ValueError, RuntimeError, OSError) as error:
        raise UserError(
            f"--ray {options.ray}: no cluster there ({brief(error)}); ray start --head begins one"
        ) from error
    try:
        return _work(options, parts, numbers, bar)
    finally:
        ray.shutdown()


def _beginning(options: BulkOptions) -> dict[str, Any]:
    """How a cluster of this machine alone is begun."""
    if options.ray != LOCAL:
        return {}
    here: dict[str, Any] = {"include_dashboard": False}
    # One more than work: Ray Data's own small tasks want a CPU, too.
    return here | ({"num_cpus": options.ray_workers + 1} if options.ray_workers else {})


def _work(options: BulkOptions, parts: list[list[Item]], numbers: list[int], bar: tqdm) -> Report:
    import ray

    ray.data.DataContext.get_current().enable_progress_bars = False
    there = ray.cluster_resources()
    gpus = int(there.get("GPU", 0)) if options.gpu_id is None else 0
    workers = min(options.ray_workers or gpus or int(there.get("CPU", 1)), len(numbers))
    absolute: dict[str, Any] = {
        name: Path(getattr(options, name)).resolve() for name in ("out", "source", "checkpoints_dir")
    }
    absolute |= {} if options.joint_map is None else {"joint_map": options.joint_map.resolve()}
    models = str(Path(options.models).resolve()) if Path(options.models).is_dir() and options.models else options.models
    rows = [{"number": number, "items": json.dumps(list(map(asdict, parts[number])))} for number in numbers]
    answers = ray.data.from_items(rows, override_num_blocks=len(rows)).map(
        PartWorker,
        fn_constructor_args=(replace(options, models=models, **absolute),),
        compute=ray.data.ActorPoolStrategy(size=workers),
        num_cpus=1,
        num_gpus=min(1.0, gpus / workers),
    )
    report = Report()
    for answer in answers.iter_rows():
        if answer["error"]:
            raise UserError(answer["error"])
        report.add(answer["count"], json.loads(answer["left_out"]), json.loads(answer["draft"]))
        bar.update(answer["count"])
    return report
