"""Judge whether motions do what their sentences say, by kinematics alone; no evaluator network is needed.

    python eval_follow.py
    python eval_follow.py --groups both then --repeat_times 5 --ik
    python eval_follow.py --export_prompts prompts.txt
    python eval_follow.py --motions rival_motions --fps 20

Each of 161 sentences has a test of its own: did the hand wave above the shoulder, did the heading turn to the left, is
the order right. Without flags the shipped model is asked, three times each. Table, JSON, log and contact sheets go to
`generation/following/`. docs/following.md says what is measured, how well, and how folders of motions are laid out.
"""

from lamp.options.following import EvalFollowOptions
from lamp.stages.motion_output import check_output
from lamp.utils.cli import parse, print_options
from lamp.utils.errors import main_with_errors
from lamp.utils.files import write_json
from lamp.utils.run.launch import require_one_process


@main_with_errors
def main() -> None:
    """Sentences to motions to verdicts to files."""
    options = parse(EvalFollowOptions)
    require_one_process()
    from lamp.stages import following

    sentences = following.chosen_sentences(options)
    if options.list:
        for sentence in sentences:
            print(f"{sentence.id}\t{sentence.frames}\t{sentence.text}")
        return
    if options.export_prompts is not None:
        following.write_prompts(sentences, options.export_prompts)
        print(f"{len(sentences)} sentences -> {options.export_prompts}")
        return
    files = following.find_motions(options.motions, sentences) if options.motions is not None else None
    folder = options.output_dir / options.ext
    check_output(folder)
    print_options(options)
    from tqdm import tqdm

    from lamp.stages.motion_output import load_pipeline
    from lamp.utils.run.logging import Report
    from lamp.utils.run.provenance import stamp
    from lamp.utils.scores.following.score import details, physics_means, rates, table

    made_by = {"sentences": following.identity(sentences)}
    if files is not None and options.motions is not None:
        motions = [following.read_motions(row, options.fps) for row in tqdm(files, desc="reading", disable=None)]
        made_by["motions"] = options.motions.resolve().name
    else:
        pipe = load_pipeline(options)
        made_by["model"] = pipe.masked.identity
        total = len(sentences) * options.repeat_times
        with tqdm(total=total, desc="generating", unit="motion", disable=None) as bar:
            motions = following.generate(pipe, sentences, options, lambda done, _: bar.update(done - bar.n) and None)
        if options.save_motions is not None:
            following.save_motions(sentences, motions, options.save_motions)
    verdicts = following.judge_all(sentences, motions, options.ik)
    log = Report(folder / "following.log", stamp(**made_by))
    found, physics = rates(sentences, verdicts), physics_means(verdicts)
    for sentence, row in zip(sentences, verdicts):
        log(f"{sentence.id}  {sum(verdict.good for verdict in row)} of {len(row)}  {sentence.text}")
    for line in table(found, physics):
        log(line)
    result = {"rates": {group: rate.json() for group, rate in found.items()}, "physics": physics}
    result |= {"made by": log.stamp, "cleaned feet": options.ik, "sentences": details(sentences, verdicts)}
    write_json(folder / "following.json", result)
    if options.sheet:
        for path in following.save_sheets(sentences, verdicts, folder):
            print(path)


if __name__ == "__main__":
    main()
