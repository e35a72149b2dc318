"""The command `lamp`: every script of the repository as a subcommand, for those who installed a wheel."""

import ast
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

COMMANDS = {
    "generate": "gen_t2m",
    "edit": "edit_t2m",
    "caption": "caption",
    "convert": "convert",
    "view": "view",
    "bulk": "bulk",
    "index": "index_mocap",
    "search": "search_mocap",
}
COMMANDS |= {
    name.replace("_", "-"): name
    for name in (
        "train_vq",
        "train_lamp",
        "train_t2m_transformer",
        "train_length_estimator",
        "train_m2t",
        "train_evaluator",
        "eval_t2m_vq",
        "eval_t2m_trans_res",
        "eval_retrieval",
        "eval_evaluator",
        "eval_follow",
    )
}
COMMANDS |= {"eval-m2t": "M2T_eval", "app": "app", "mcp": "serve_mcp", "serve-mmcp": "serve_mmcp"}
COMMANDS["to-shards"] = "prepare.shards.to_shards"


def summary(script: str) -> str:
    """First line of a script's docstring, read without running it."""
    spec = find_spec(f"lamp.{script}")
    text = ast.get_docstring(ast.parse(Path(spec.origin).read_text(encoding="utf-8"))) if spec and spec.origin else ""
    return (text or "").partition("\n")[0]


def main() -> None:
    """Run the script that the first word names; the other words are its own."""
    given = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if given in ("-h", "--help"):
        print("usage: lamp COMMAND ...\n\n" + "\n".join(f"  {name:<24}{summary(COMMANDS[name])}" for name in COMMANDS))
        print("\n`lamp COMMAND --help` lists a command's flags.")
        return
    if given not in COMMANDS:
        print(f"error: lamp has no command {given!r}; there are {', '.join(COMMANDS)}", file=sys.stderr)
        raise SystemExit(2)
    sys.argv = [f"lamp {given}", *sys.argv[2:]]
    try:
        script = import_module(f"lamp.{COMMANDS[given]}")
    except KeyboardInterrupt:  # a script's own `main` answers Ctrl-C from its beginning on
        print("interrupted", file=sys.stderr)
        raise SystemExit(130) from None
    script.main()


if __name__ == "__main__":
    main()
