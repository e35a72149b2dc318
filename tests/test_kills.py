"""The quick version of `python -m tests.kills`: a tokenizer's training, killed twice."""

import os
import subprocess
import sys
from pathlib import Path


def test_training_that_is_killed_ends_as_if_nothing_had_happened():
    command = [sys.executable, "-m", "tests.kills", "--kills", "2", "--processes", "1", "--stages", "tokenizer"]
    env = os.environ | {"OMP_NUM_THREADS": "1"}
    result = subprocess.run(
        command, cwd=Path(__file__).parent.parent, env=env, capture_output=True, text=True, timeout=600
    )
    assert result.returncode == 0, result.stdout + result.stderr[-2000:]
    assert result.stdout.splitlines()[-1].startswith("2 kills of ")
