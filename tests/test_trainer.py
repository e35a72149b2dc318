"""The training loop: resuming is exact, the best models are kept, interruptions save."""

import json
import os
import signal
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, Sampler

from lamp.data.sampling import EpochSampler
from lamp.models.hub import LaMPModel
from lamp.options.common import TrainOptions
from lamp.utils.errors import UserError
from lamp.utils.run.accelerator import tell_slow_bfloat16
from lamp.utils.run.device import bfloat16_slowdown
from lamp.utils.run.optim import parameter_groups
from lamp.utils.run.runs import start_of
from lamp.utils.run.schedule import sharded_batches, total_iterations, warmup_cosine, warmup_multistep
from lamp.utils.run.seed import seed_everything
from lamp.utils.run.trainer import Trainer
from tests.marks import needs_compiler

BATCHES = 4


@dataclass(frozen=True)
class ToyConfig:
    width: int = 3


class Toy(LaMPModel):
    """Dropout draws random numbers, BatchNorm and `seen` are buffers that change in forward."""

    config_class = ToyConfig

    def __init__(self, config: ToyConfig) -> None:
        super().__init__()
        self.config = config
        self.layers = nn.Sequential(nn.Linear(2, config.width), nn.BatchNorm1d(config.width), nn.Dropout(0.5))
        self.head = nn.Linear(config.width, 1)
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.seen += x.abs().sum()
        return self.head(self.layers(x))


class Noisy(Dataset):
    """Items that are random, as windows cut at random places are."""

    def __len__(self) -> int:
        return 4 * BATCHES

    def __getitem__(self, index: int) -> Tensor:
        return index / 16 + torch.rand(2)


class Batches:
    """An iterable that is no DataLoader, with random order from torch's global generator."""

    def __len__(self) -> int:
        return BATCHES

    def __iter__(self) -> Any:
        for index in torch.randperm(BATCHES).tolist():
            yield {"x": index + torch.randn(4, 2)}


def step(model: nn.Module, batch: Any) -> dict[str, Tensor]:
    x = batch["x"] if isinstance(batch, dict) else batch
    loss = (model(x).squeeze(-1) - x.sum(-1)).pow(2).mean()
    return {"loss": loss, "half": loss / 2}


class Counting(Sampler[int]):
    """A sampler that notes the epochs it was told."""

    def __init__(self) -> None:
        self.epochs: list[int] = []

    def set_epoch(self, epoch: int) -> None:
        self.epochs.append(epoch)

    def __len__(self) -> int:
        return len(Noisy())

    def __iter__(self) -> Any:
        return iter(range(len(self)))


def options(folder: Path, **values: Any) -> TrainOptions:
    base = dict(name="run", checkpoints_dir=folder, gpu_id=-1, warm_up_iter=2, milestones=[5], lr=0.05, log_every=2)
    return TrainOptions(**{**base, "max_epoch": 2, "save_latest": 0, **values})


def trainer(opt: TrainOptions, **extra: Any) -> Trainer:
    seed_everything(opt.seed)
    model = Toy(ToyConfig())
    optimizer = torch.optim.AdamW(model.parameters(), lr=opt.lr)
    scheduler = warmup_multistep(optimizer, opt.warm_up_iter, opt.milestones, opt.gamma)
    return Trainer(model, optimizer, scheduler=scheduler, options=opt, **{"step": step, **extra})


def weights(folder: Path, name: str = "latest") -> dict[str, Tensor]:
    return load_file(folder / "t2m" / "run" / name / "model.safetensors")


def loader(kind: str) -> Any:
    return Batches() if kind == "iterable" else DataLoader(Noisy(), batch_size=4, shuffle=True)


def rows(folder: Path) -> list[dict[str, float]]:
    lines = (folder / "t2m" / "run" / "metrics.jsonl").read_text().splitlines()
    return [{k: v for k, v in json.loads(line).items() if "it_per_s" not in k} for line in lines]


def draw(model: nn.Module, epoch: int) -> dict[str, float]:
    """An evaluation that uses up random numbers."""
    return {"draw": torch.rand(()) + epoch}


def scripted(values: list[float]) -> Any:
    """An evaluation that gives these numbers, one an epoch."""
    return lambda model, epoch: {"fid": values[epoch - 1], "top1": values[epoch - 1]}


def state_of(folder: Path) -> Path:
    return max((folder / "t2m" / "run" / "state").iterdir(), key=lambda state: int(state.name))


@pytest.mark.parametrize("kind", ["iterable", "DataLoader"])
@pytest.mark.parametrize("extra", [{}, {"ema_decay": 0.9, "gradient_accumulation_steps": 2, "grad_clip": 0.1}])
def test_resumed_run_equals_uninterrupted_run(tmp_path: Path, kind: str, extra: dict[str, Any]) -> None:
    last = 6 // extra.get("gradient_accumulation_steps", 1)
    middle = (last + 1) // 2  # inside the first epoch, or, where batches are accumulated, inside the second
    trainer(options(tmp_path / "a", max_iter=last, **extra), evaluate=draw).fit(loader(kind))
    first = trainer(options(tmp_path / "b", max_iter=middle, **extra), evaluate=draw).fit(loader(kind))
    assert first.iteration == middle and first.finished
    again = trainer(options(tmp_path / "b", max_iter=last, is_continue=True, **extra), evaluate=draw)
    torch.rand(5)  # what a script draws before training must not matter
    assert again.fit(loader(kind)).iteration == last
    whole, parts = weights(tmp_path / "a"), weights(tmp_path / "b")
    assert whole.keys() == parts.keys() and all(torch.equal(whole[key], parts[key]) for key in whole)
    a, b = (torch.load(state_of(tmp_path / run) / "optimizer.bin") for run in "ab")
    assert a["param_groups"] == b["param_groups"]
    assert all(torch.equal(a["state"][i][key], b["state"][i][key]) for i in a["state"] for key in a["state"][i])
    assert rows(tmp_path / "a")[-1] == rows(tmp_path / "b")[-1]


def test_an_epoch_is_not_repeated_with_the_same_data(tmp_path: Path) -> None:
    seen = []
    trainer(options(tmp_path), step=lambda m, b: seen.append(b["x"]) or step(m, b)).fit(Batches())
    assert len(seen) == 2 * BATCHES
    assert len({float(x.sum()) for x in seen}) == len(seen)


def test_best_models_are_kept_by_metric_and_mode(tmp_path: Path) -> None:
    run = trainer(
        options(tmp_path, max_epoch=3), evaluate=scripted([2.0, 1.0, 3.0]), best={"fid": "min", "top1": "max"}
    )
    progress = run.fit(Batches())
    assert progress.best == {"fid": 1.0, "top1": 3.0}
    folders = {"net_best_fid": 2, "net_best_top1": 3, "latest": 3}
    for name, epoch in folders.items():
        assert Toy.from_pretrained(run.space / name).meta["epoch"] == epoch
    assert Toy.from_pretrained(run.space / "net_best_fid").meta["metrics"]["fid"] == 1.0
    assert {path.name for path in run.space.iterdir()} == {*folders, "state", "logs", "opt.json", "metrics.jsonl"}
    assert [row["val/fid"] for row in rows(tmp_path) if "val/fid" in row] == [2.0, 1.0, 3.0]


def test_losses_are_logged_as_means_over_the_window(tmp_path: Path) -> None:
    seen = []
    record = lambda m, b: seen.append(step(m, b)) or seen[-1]  # noqa: E731
    trainer(options(tmp_path, max_epoch=1), step=record).fit(Batches())
    losses = [values["loss"].item() for values in seen]
    logged = rows(tmp_path)
    assert [row["iteration"] for row in logged] == [2, 4]
    assert logged[0]["train/loss"] == pytest.approx(sum(losses[:2]) / 2)
    assert logged[1]["train/half"] == pytest.approx(sum(losses[2:]) / 4)
    assert "iteration 4/4" in (tmp_path / "t2m/run/logs/train.log").read_text()


def test_accumulated_gradients_equal_one_larger_batch(tmp_path: Path) -> None:
    def plain(model: nn.Module, batch: Tensor) -> dict[str, Tensor]:
        return {"loss": model.head(model.layers[0](batch)).pow(2).mean()}

    # The second iteration has what is left: one batch.
    data = torch.randn(12, 2)
    common = {"max_epoch": 1, "lr": 0.1, "grad_clip": 0.01}
    trainer(options(tmp_path / "a", **common), step=plain).fit([data[:8], data[8:]])
    run = trainer(options(tmp_path / "b", gradient_accumulation_steps=2, **common), step=plain)
    assert run.fit([data[:4], data[4:8], data[8:]]).iteration == 2
    a, b = weights(tmp_path / "a"), weights(tmp_path / "b")
    assert all(torch.allclose(a[key], b[key], atol=1e-6) for key in a)


def test_a_draw_of_the_trainer_is_each_step_another_and_the_same_again(tmp_path: Path) -> None:
    drawn: dict[str, list[int]] = {"a": [], "b": []}

    def drawing(folder: str) -> Any:
        return lambda m, b: drawn[folder].append(run.draw(1000)) or step(m, b)

    run = trainer(options(tmp_path / "a"), step=drawing("a"))
    run.fit(Batches())
    for limit in (3, 8):
        run = trainer(options(tmp_path / "b", max_iter=limit, is_continue=limit == 8), step=drawing("b"))
        run.fit(Batches())
    assert drawn["a"] == drawn["b"] and len(set(drawn["a"])) > 4


@pytest.mark.parametrize(("batches", "drop_last", "each"), [(9, True, 4), (9, False, 5), (1, True, 0)])
def test_iterations_are_counted_by_processes_and_accumulation(batches: int, drop_last: bool, each: int) -> None:
    assert sharded_batches(batches, 2, drop_last) == each
    assert total_iterations(each, epochs=3, accumulation=4) == 3 * -(-each // 4)
    assert total_iterations(each, epochs=3, max_iter=2) == min(2, 3 * each)


def test_averaged_weights_are_evaluated_and_saved(tmp_path: Path) -> None:
    evaluated = []
    run = trainer(
        options(tmp_path, ema_decay=0.9), evaluate=lambda m, e: evaluated.append(m) or {"training": float(m.training)}
    )
    run.fit(Batches())
    assert all(model is run.average.model for model in evaluated)
    assert [row["val/training"] for row in rows(tmp_path) if "val/training" in row] == [0.0, 0.0]
    saved, trained = weights(tmp_path), run.accelerator.unwrap_model(run.model).state_dict()
    assert not torch.equal(saved["head.weight"], trained["head.weight"])
    assert torch.equal(saved["seen"], trained["seen"]) and saved["seen"] > 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_after_the_iteration_and_saves(tmp_path: Path, number: int) -> None:
    def interrupted(model: nn.Module, batch: Any) -> dict[str, Tensor]:
        if run.progress.iteration == 2:
            os.kill(os.getpid(), number)
        return step(model, batch)

    before = signal.getsignal(number)
    run = trainer(options(tmp_path), step=interrupted)
    progress = run.fit(Batches())
    assert (progress.iteration, progress.finished) == (3, False)
    assert signal.getsignal(number) is before
    assert trainer(options(tmp_path, is_continue=True)).fit(Batches()).iteration == 2 * BATCHES


def test_time_limit_stops_and_resumes(tmp_path: Path) -> None:
    progress = trainer(options(tmp_path, max_minutes=1e-9)).fit(Batches())
    assert (progress.iteration, progress.finished) == (1, False)
    progress = trainer(options(tmp_path, is_continue=True)).fit(Batches())
    assert progress.finished and progress.epoch == 2


def test_a_failed_save_keeps_the_state_before(tmp_path: Path) -> None:
    trainer(options(tmp_path, max_iter=2)).fit(Batches())
    run = trainer(options(tmp_path, is_continue=True))
    run.accelerator.save_state = lambda folder, **_: (Path(folder).mkdir(parents=True), 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run.fit(Batches())
    assert trainer(options(tmp_path, is_continue=True)).fit(Batches()).iteration == 2 * BATCHES
    state_of(tmp_path)  # and the unfinished one is gone


def test_mistakes_are_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no state to resume"):
        trainer(options(tmp_path, is_continue=True))
    trainer(options(tmp_path, max_iter=1)).fit(Batches())
    with pytest.raises(UserError, match=r"--is_continue.*--overwrite"):
        trainer(options(tmp_path))
    assert trainer(options(tmp_path, max_iter=2, overwrite=True)).fit(Batches()).iteration == 2
    with pytest.raises(UserError, match="--batch_size"):
        trainer(options(tmp_path, overwrite=True)).fit([])
    with pytest.raises(UserError, match="--data_on_gpu yes and --num_workers"):
        options(tmp_path, data_on_gpu="yes", num_workers=2)
    with pytest.raises(UserError, match="accumulate gradients"):
        options(tmp_path, compile="reduce-overhead", gradient_accumulation_steps=2)


@pytest.mark.parametrize("mode", ["default", "reduce-overhead"])
@needs_compiler
def test_a_compiled_model_trains_as_the_plain_one(tmp_path: Path, mode: str) -> None:
    losses = []
    for how in ("no", mode):
        run = trainer(options(tmp_path / how, compile=how, max_iter=6, ema_decay=0.9, log_every=1), evaluate=draw)
        # The compiler draws other random numbers.
        run.accelerator.unwrap_model(run.model).layers[2].p = 0.0
        assert run.fit(Batches()).finished
        Toy.from_pretrained(tmp_path / how / "t2m" / "run" / "latest")
        losses.append([row["train/loss"] for row in rows(tmp_path / how) if "train/loss" in row])
    assert len(losses[0]) == 6 and losses[1] == pytest.approx(losses[0], rel=1e-3)


def test_without_a_compiler_there_is_no_compiling(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(UserError, match=r"--compile needs a C\+\+ compiler"):
        trainer(options(tmp_path, compile="default"))


def test_a_loss_that_is_not_finite_stops_and_saves_nothing(tmp_path: Path) -> None:
    def broken(model: nn.Module, batch: Any) -> dict[str, Tensor]:
        return {"loss": step(model, batch)["loss"] * (float("nan") if run.progress.iteration == 2 else 1)}

    run = trainer(options(tmp_path, log_every=50), step=broken)
    with pytest.raises(UserError, match="iteration 3"):
        run.fit(Batches())
    assert not (run.space / "latest").exists() and not (run.space / "state").exists()


def test_a_resumed_run_takes_the_learning_rate_of_the_options(tmp_path: Path) -> None:
    trainer(options(tmp_path, max_iter=3)).fit(Batches())
    run = trainer(options(tmp_path, max_iter=4, lr=0.001, is_continue=True))
    run.fit(Batches())
    assert run.scheduler.get_last_lr() == [0.001]


def test_loader_may_start_inside_an_epoch(tmp_path: Path) -> None:
    class Seekable(Batches):
        start = 0

        def start_at(self, batch: int) -> None:
            self.start = batch

        def __iter__(self) -> Any:
            first, self.start = self.start, 0
            return iter([{"x": torch.full((4, 2), float(i))} for i in range(first, BATCHES)])

    trainer(options(tmp_path / "a", max_iter=7)).fit(Seekable())
    for stop in (3, 7):
        trainer(options(tmp_path / "b", max_iter=stop, is_continue=stop == 7)).fit(Seekable())
    a, b = weights(tmp_path / "a"), weights(tmp_path / "b")
    assert all(torch.equal(a[key], b[key]) for key in a)


def test_a_sampler_that_can_starts_inside_an_epoch(tmp_path: Path) -> None:
    class Counted(Dataset):
        drawn = 0

        def __len__(self) -> int:
            return 4 * BATCHES

        def __getitem__(self, index: int) -> Tensor:
            self.drawn += 1
            return torch.tensor([index, index % 3]) / 16

    def run(folder: str, stop: int, resume: bool = False) -> int:
        data = Counted()
        loader = DataLoader(data, batch_size=4, sampler=EpochSampler(len(data), shuffle=True), drop_last=True)
        trainer(options(tmp_path / folder, max_iter=stop, is_continue=resume)).fit(loader)
        return data.drawn

    run("a", 7), run("b", 7 - 2)
    assert run("b", 7, resume=True) <= 3 * 4  # two batches, and the one that the loader draws ahead
    a, b = weights(tmp_path / "a"), weights(tmp_path / "b")
    assert all(torch.equal(a[key], b[key]) for key in a)


def test_the_start_counts_the_batches_of_all_processes() -> None:
    sampler = EpochSampler(64, shuffle=False)
    whole, rest = (DataLoader(range(64), batch_size=4, sampler=sampler, drop_last=drop) for drop in (True, False))
    start = start_of(whole, 2)
    assert start is not None
    start(3)
    assert next(iter(sampler)) == 24
    assert start_of(rest, 1) is not None and start_of(rest, 2) is None
    assert start_of(DataLoader(range(64), batch_size=4), 1) is None


def test_schedules() -> None:
    def rates(make: Any, iterations: int) -> list[float]:
        optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
        schedule, out = make(optimizer), []
        for _ in range(iterations):
            out.append(schedule.get_last_lr()[0])
            optimizer.step()
            schedule.step()
        return out

    steps = rates(lambda o: warmup_multistep(o, warm_up_iter=3, milestones=[6, 5], gamma=0.1), 7)
    assert steps == pytest.approx([0.25, 0.5, 0.75, 1, 1, 0.1, 0.01])
    cosine = rates(lambda o: warmup_cosine(o, 8, warm_up_iter=2, start_factor=0.2, end_factor=0.1), 10)
    assert cosine == pytest.approx([0.2, 0.6, 1, *cosine[3:5], 0.55, *cosine[6:8], 0.1, 0.1])
    assert all(a > b for a, b in pairwise(cosine[2:9]))


def test_fp16_needs_a_gpu(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--mixed_precision fp16"):
        trainer(options(tmp_path, mixed_precision="fp16"))


@pytest.mark.parametrize(("slowdown", "noted"), [(3.0, True), (0.5, False)])
def test_bfloat16_without_units_for_it_is_noted(capsys: pytest.CaptureFixture, slowdown: float, noted: bool) -> None:
    tell_slow_bfloat16(slowdown)
    assert ("3.0 times longer" in capsys.readouterr().err) is noted
    assert 0 < bfloat16_slowdown() < 1000


def test_a_state_of_another_model_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer(options(tmp_path, max_iter=1)).fit(Batches())
    monkeypatch.setattr(ToyConfig.__init__, "__defaults__", (5,))
    with pytest.raises(UserError, match=r"does not fit this model.*opt\.json"):
        trainer(options(tmp_path, is_continue=True)).fit(Batches())


def test_the_sampler_is_told_the_epoch(tmp_path, monkeypatch):
    sampler, run = Counting(), trainer(options(tmp_path))
    # Not every version of accelerate tells the samplers of several processes.
    monkeypatch.setattr(run.accelerator, "prepare", lambda loader: loader)
    run.fit(DataLoader(Noisy(), batch_size=4, sampler=sampler))
    assert sampler.epochs == [0, 1]


def test_biases_and_norms_do_not_decay():
    model = Toy(ToyConfig())
    model.head.weight.requires_grad_(False)
    decayed, plain = parameter_groups(model, 0.1)
    assert decayed["weight_decay"] == 0.1 and plain["weight_decay"] == 0.0
    assert [p.ndim for p in decayed["params"]] == [2] and {p.ndim for p in plain["params"]} == {1}
