"""Embed, describe, tokenize or generate whole corpora, on one machine or many; a second start finishes what lacks.

    python bulk.py embed my_captures --out embedded
    python bulk.py caption my_captures --out described --shard 0/8
    python bulk.py tokenize my_captures --out tokens --num_workers 4
    python bulk.py generate prompts.txt --out made --ray auto

Results lie in `--out` by parts of `--batch_size` files or motions; `manifest.json` says which are there. docs/bulk.md
tells the rest.
"""

import sys
from contextlib import suppress

from lamp.options.corpora.bulk import BulkOptions
from lamp.stages.bulk.cluster import work_on_cluster
from lamp.stages.bulk.items import fact_of, find_items, in_deliveries, parts_of, plan_of
from lamp.stages.bulk.parts import begin, write_manifest
from lamp.stages.bulk.run import missing_parts, work, write_table
from lamp.stages.bulk.tasks import make_task
from lamp.utils.capture.files import tell_left_out
from lamp.utils.capture.upright import join_up
from lamp.utils.cli import parse
from lamp.utils.errors import UserError, main_with_errors, told
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
    task.check(items)
    deliveries = in_deliveries(options.out, items)
    plan = plan_of(options, deliveries, task.models)
    before = plan_of(options, deliveries[:-1], task.models)
    begin(options.out, plan, [list(map(fact_of, delivery)) for delivery in deliveries], before)
    parts = parts_of(deliveries, options.batch_size)
    numbers = missing_parts(options, parts)
    count = sum(len(parts[number]) for number in numbers)
    try:
        with tqdm(total=count, desc=options.task, unit="item", disable=None) as bar:
            if options.ray and numbers:
                report = work_on_cluster(options, parts, numbers, bar)
            else:
                report = work(task, options, parts, numbers, bar)
    except BaseException:
        with suppress(OSError, UserError):  # what ended the work is told, not what it leads to
            write_manifest(options.out, plan)
        raise
    for line, _ in report.left_out[:SHOWN]:
        print(f"left out: {told(line)}", file=sys.stderr)
    manifest = write_manifest(options.out, plan)
    if manifest["done"] == plan.parts and options.task == "caption":
        write_table(options.out)
    print(f"{options.out}: {manifest['done']} of {plan.parts} parts are there, {len(numbers)} made now")
    if report.left_out:
        # Other shares, and an earlier start, have results that this process does not know.
        elsewhere = manifest.get("left_out") != plan.items
        tell_left_out(report.left_out, report.items, DONE[options.task], elsewhere)


if __name__ == "__main__":
    main()
