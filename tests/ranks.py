"""Runs training scripts without dropout as one of several processes, and writes what each of them ends with.

torchrun --nproc_per_node 2 -m tests.ranks FOLDER '[["train_vq", "--name", "vq", ...], ["train_lamp", ...]]'
"""

import importlib
import json
import sys
from pathlib import Path
from typing import Any

import torch
from torch import nn

from lamp.utils.run.trainer import Trainer


def without_dropout(model: nn.Module) -> None:
    """Take the dropout from networks whose options do not offer that."""
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0


def main() -> None:
    """The scripts, with a trainer that leaves `<FOLDER>/<run>.<process>.pt` behind."""
    folder, scripts = sys.argv[1:]
    fit = Trainer.fit

    def fit_and_tell(self: Trainer, *args: Any, **kwargs: Any) -> Any:
        without_dropout(self.model)
        progress = fit(self, *args, **kwargs)
        model = self.accelerator.unwrap_model(self.model)
        found = {"weights": dict(model.state_dict()), "random": torch.rand(4), "rates": self.scheduler.get_last_lr()}
        torch.save(found, Path(folder) / f"{self.space.name}.{self.accelerator.process_index}.pt")
        return progress

    Trainer.fit = fit_and_tell  # type: ignore[method-assign]
    torch.set_num_threads(1)
    for script, *arguments in json.loads(scripts):
        sys.argv = [f"{script}.py", *arguments]
        importlib.import_module(script).main()


if __name__ == "__main__":
    main()
