"""Embed, describe, tokenize or generate whole corpora, on one machine or many; a second start finishes what lacks.

    python bulk.py embed my_captures --out embedded
    python bulk.py caption my_captures --out described --shard 0/8
    python bulk.py tokenize my_captures --out tokens --num_workers 4
    python bulk.py generate prompts.txt --out made --ray auto

Results lie in `--out` by parts of `--batch_size` files or motions; `manifest.json` says which are there. docs/bulk.md
tells the rest.
"""

import sys

from lamp.options.corpora.bulk import BulkOptions
from lamp.stages.bulk.cluster import work_on_cluster
from lamp.stages.bulk.items import find_items, plan_of
from lamp.stages.bulk.parts import begin, write_manifest
from lamp.stages.bulk.run import missing_parts, work, write_table
from lamp.stages.bulk.tasks import make_task
from lamp.utils.capture.files import tell_left_out
from lamp.utils.capture.upright import join_up
from lamp.utils.cli import parse
from lamp.utils.errors import main_with_errors, told
from lamp.utils.run.device import resolve_device
from lamp.utils.run.launch import require_one_process

SHOWN = 20
"""Lines on what was left out."""
DONE = {"embed": "embedded", "caption": "described", "tokenize": "tokenized", "generate": "generated"}


@main_with_errors
def main() -> None:
    """A corpus to parts."""
    from tqdm import tqdm

    options = parse(BulkOptions, join_up(sys.argv[1:]))
    require_one_process()
    items = find_items(options)
    # On a cluster the models are loaded here to be known by their digests, and to be missed at once.
    task = make_task(options, resolve_device(-1 if options.ray else options.gpu_id))
    plan = plan_of(options, items, task.models)
    begin(options.out, plan)
    numbers = missing_parts(options, items)
    size = options.batch_size
    count = sum(min(size, len(items) - number * size) for number in numbers)
    with tqdm(total=count, desc=options.task, unit="item", disable=None) as bar:
        if options.ray and numbers:
            report = work_on_cluster(options, items, numbers, bar)
        else:
            report = work(task, options, items, numbers, bar)
    for line, _ in report.left_out[:SHOWN]:
        print(f"left out: {told(line)}", file=sys.stderr)
    manifest = write_manifest(options.out, plan)
    if manifest["done"] == plan.parts and options.task == "caption":
        write_table(options.out)
    print(f"{options.out}: {manifest['done']} of {plan.parts} parts are there, {len(numbers)} made now")
    if report.left_out:
        tell_left_out(report.left_out, report.items, DONE[options.task])


if __name__ == "__main__":
    main()
