"""The training loop that all training scripts share: they bring a model, a step and an evaluation, it does the rest.

A run lives in its space: `latest/` and `net_best_<metric>/` are model folders, `state/` is what resuming needs, `logs/`
has the log and TensorBoard's events, `metrics.jsonl` every logged number.  A resumed run is the same, bit for bit on
the CPU, as one that never stopped: an epoch's data come from a random stream of their own, which is replayed.

Several processes start from the same weights and then draw their own dropout and noise. Draws that belong to a sample
are keyed by it (`keyed_uniform`), so that two processes train as one with their batches put together.
"""

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Generic, Literal, Protocol, TypeVar, cast, runtime_checkable

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torch.utils.data import DataLoader
from tqdm import tqdm

from lamp.utils.cli import save_options
from lamp.utils.errors import UserError
from lamp.utils.files import atomic_folder
from lamp.utils.run.accelerator import make_accelerator
from lamp.utils.run.compiling import compile_in_place, uncompiled
from lamp.utils.run.logging import LossWindow, MetricsRecorder, run_logger
from lamp.utils.run.optim import AveragedWeights
from lamp.utils.run.runs import ANIMATIONS, Animation, Batches, Progress, RunOptions, start_of, stop_signals
from lamp.utils.run.schedule import set_base_rates, total_iterations
from lamp.utils.run.seed import RandomStream, combined_seed, seed_everything
from lamp.utils.run.state import (
    BEGUN_FILE,
    clear_run,
    enter_space,
    load_state,
    newest_number,
    save_state,
)
from lamp.utils.threads.yielding import mind_others

Model = TypeVar("Model", bound=nn.Module)
Batch = TypeVar("Batch")

# What scripts bring, see `Trainer`. A step gets the model as several processes wrap it, the others the model itself.
Step = Callable[[nn.Module, Batch], dict[str, Tensor]]
Evaluate = Callable[[Model, int], dict[str, float]]
Save = Callable[[Model, Path, dict[str, Any]], None]


class _Saves(Protocol):
    """What a model without a `save` of its own has."""

    def save_pretrained(self, folder: Path, *, meta: dict[str, Any]) -> None: ...


@runtime_checkable
class _LearnsInForward(Protocol):
    """A module that changes in `forward`, and must know whether more batches of the same iteration follow."""

    def expect_more(self, more: bool) -> None: ...


def _save_pretrained(model: nn.Module, folder: Path, meta: dict[str, Any]) -> None:
    cast(_Saves, model).save_pretrained(folder, meta=meta)


class Trainer(Generic[Model, Batch]):
    """Trains one model. Scripts may use `accelerator` (device, processes), `progress` and `log`."""

    def __init__(
        self,
        model: Model,
        optimizer: Optimizer,
        *,
        scheduler: LRScheduler,
        options: RunOptions,
        step: Step[Batch],
        evaluate: Evaluate[Model] | None = None,
        best: Mapping[str, Literal["min", "max"]] | None = None,
        save: Save[Model] | None = None,
        animation: Animation[Model] | None = None,
        space: Path | None = None,
        meta: dict[str, Any] | None = None,
    ) -> None:
        """Prepare a run.

        Args:
            model: what is trained.
            optimizer: over its parameters.
            scheduler: stepped once an iteration (an update of the weights), whatever the number of processes.
            options: what the run is called, where it lives and how long it trains.
            step: `step(model, batch)` gives scalar tensors; "loss" is minimised, the mean of each is logged as
                train/<key>. It calls `model(...)` and not its methods, so that several processes work, and draws what
                all of them must have alike by the trainer's `draw`. Of several batches an iteration
                (`--gradient_accumulation_steps`) each counts alike, however many tokens or frames it has.
            evaluate: `evaluate(model, epochs done)`, on the unwrapped model (with `--ema_decay` the averaged one) in
                eval mode without gradients; its numbers are logged as val/<key>. All processes run it.
            best: evaluation numbers for which the best model is kept in `net_best_<key>/`, and which way is better.
            save: `save(model, folder, meta)`; by default the model's `save_pretrained`.
            animation: what shows how far the model is, for people; its files go to `animations/`.
            space: folder of the run; by default `options.space`.
            meta: facts that are saved with the model, such as what it is trained on.

        Raises:
            UserError: there is nothing to resume, or a run that is not to be resumed.
        """
        self.options, self.space, self.progress = options, Path(space or options.space), Progress()
        self.step, self.evaluate, self.best = step, evaluate, best or {}
        self._meta = meta or {}
        self.save, self.animation = save or _save_pretrained, animation
        self._lock, self._resume = enter_space(self.space, options.is_continue, options.overwrite)
        self._state, self._saves = self._resume, newest_number(self.space)
        self.average = AveragedWeights(model, options.ema_decay) if options.ema_decay else None
        self.accelerator = make_accelerator(options)
        self._runs_ahead = self.accelerator.dataloader_config.non_blocking
        self._learners = [module for module in model.modules() if isinstance(module, _LearnsInForward)]
        self._shared = torch.Generator()
        if options.compile != "no":
            compile_in_place(model, options.compile)
        self.model, self.optimizer, self.scheduler = self.accelerator.prepare(model, optimizer, scheduler)
        self.accelerator.register_for_checkpointing(self.progress)
        if self.average:
            self.average.model.to(self.accelerator.device)
            self.accelerator.register_for_checkpointing(self.average)
        self.main = self.accelerator.is_main_process
        if self.main and options.overwrite:
            clear_run(self.space)
        if self.main and not self._resume:
            save_options(options, self.space / "opt.json")
            (self.space / BEGUN_FILE).touch()
        self.accelerator.wait_for_everyone()
        if rank := self.accelerator.process_index:
            # Until here all drew alike, to build the same model. The first goes on as a single process would.
            seed_everything(combined_seed(options.seed, rank))
        self.log = run_logger(self.space, self.main)

    def draw(self, high: int) -> int:
        """A random number 0 ... high - 1 for the step under way, the same in all processes."""
        return int(torch.randint(high, (), generator=self._shared))

    def fit(self, loader: Batches[Batch], set_epoch: Callable[[int], None] | None = None) -> Progress:
        """Train until `--max_epoch` or `--max_iter`, or until `--max_minutes`, Ctrl-C or SIGTERM interrupt.

        Args:
            loader: the batches of an epoch, anew each time it is iterated, with a length: a torch DataLoader, or any
                iterable (which gives each of several processes its own). Resuming inside an epoch draws and drops the
                batches done, unless the loader, or a DataLoader's sampler (see `start_of`), has a `start_at`.
            set_epoch: called before each epoch; by default that of a DataLoader's sampler, if it has one. A loader's
                own `set_epoch` is called in any case.

        Returns:
            How far the run is; `finished` tells whether it was interrupted.
        """
        try:
            return self._fit(loader, set_epoch)
        finally:
            if self._lock:
                self._lock.release()

    def _fit(self, loader: Batches[Batch], set_epoch: Callable[[int], None] | None) -> Progress:
        self._start_at = getattr(loader, "start_at", None)
        if isinstance(loader, DataLoader):
            set_epoch = set_epoch or getattr(loader.sampler, "set_epoch", None)
            self._start_at = start_of(loader, self.accelerator.num_processes)
            loader = self.accelerator.prepare(loader)
        if not len(loader):
            count = self.accelerator.num_processes
            each = f" for each of {count} processes" if count > 1 else ""
            raise UserError(
                f"the training data give no batch of --batch_size {self.options.batch_size}{each}; lower it"
            )
        self._begin(len(loader))
        with stop_signals(lambda reason: setattr(self, "_asked", reason)), self._bar:
            while not self._done() and not self._interrupt:
                self._run_epoch(loader, set_epoch)
            self.progress.finished = self._done()
            if self.progress.finished:
                self._run_evaluation()
                self._run_animation()
            self._save_all()
        if self._recorder:
            self._recorder.close()
        ended = "finished" if self.progress.finished else f"{self._interrupt}: state saved, --is_continue resumes"
        where = f"epoch {self.progress.epoch}, iteration {self.progress.iteration}"
        self.log.info(f"{ended} ({where}, {self.progress.seconds / 60:.1f} minutes in all); models in {self.space}")
        return self.progress

    def _begin(self, batches: int) -> None:
        """Load the state to resume from, and set up what lives as long as `fit`."""
        progress, options = self.progress, self.options
        if self._resume:
            # Schedule and learning rate are those of the options, which may have changed.
            rates = [group["initial_lr"] for group in self.optimizer.param_groups]
            load_state(self.accelerator, self.space, self._resume)
            set_base_rates(self.scheduler.scheduler, rates)
            self.log.info(f"resuming {self.space} at epoch {progress.epoch}, iteration {progress.iteration}")
            self._resume = None
        self._total = total_iterations(
            batches,
            epochs=options.max_epoch,
            accumulation=options.gradient_accumulation_steps,
            max_iter=options.max_iter,
        )
        if self._done():
            self.log.info("nothing left to train; raise --max_epoch or --max_iter to go on")
        now = time.monotonic()
        self._deadline = now + options.max_minutes * 60 if options.max_minutes else math.inf
        self._clock, self._logged = now, progress.iteration
        self._window, self._asked, self._interrupt = LossWindow(), "", ""
        self._animated = progress.iteration if progress.finished else -1
        self._recorder = MetricsRecorder(self.space, progress.iteration) if self.main else None
        hidden = None if self.main else True  # None: where stderr is no terminal
        self._bar = tqdm(total=self._total, initial=progress.iteration, disable=hidden, leave=False, dynamic_ncols=True)

    def _done(self) -> bool:
        return self.progress.epoch >= self.options.max_epoch or self.progress.iteration >= self._total

    def _run_epoch(self, loader: Batches[Batch], set_epoch: Callable[[int], None] | None) -> None:
        """Train to the end of the epoch, or to where training stops inside it."""
        progress, options = self.progress, self.options
        for tell in (set_epoch, getattr(loader, "set_epoch", None)):
            if tell is not None:
                tell(progress.epoch)
        self.model.train()
        for batch in self._batches(loader):
            accumulated = options.gradient_accumulation_steps
            # The last iteration of an epoch has what is left of its batches.
            parts = min(accumulated, len(loader) - progress.batch // accumulated * accumulated)
            progress.batch += 1
            last = progress.batch == len(loader)
            if not self._train_batch(batch, parts, update=last or progress.batch % accumulated == 0):
                continue
            if progress.iteration % options.log_every == 0:
                self._log_window()
            if options.eval_iter and progress.iteration % options.eval_iter == 0:
                self._run_evaluation()
            if options.save_latest and progress.iteration % options.save_latest == 0 and not last:
                self._save_all()
            self._check_interrupt()
            if (self._interrupt or self._done()) and not (last and self._done()):
                return
        progress.epoch, progress.batch = progress.epoch + 1, 0
        if options.save_every_e and progress.epoch % options.save_every_e == 0:
            self._save_model(f"epoch_{progress.epoch:04d}")
        if self._done() or (options.eval_every_e and progress.epoch % options.eval_every_e == 0):
            self._run_evaluation()
        if self.animation and progress.epoch % self.animation.every == 0:
            self._run_animation()
        if not self._done():
            self._save_all()

    def _batches(self, loader: Batches[Batch]) -> Iterator[Batch]:
        """Batches of the epoch from the one under way, drawn in the epoch's own random stream."""
        from accelerate.utils import send_to_device

        stream, skip = RandomStream(self.options.seed * 1_000_003 + self.progress.epoch), self.progress.batch
        with stream:
            if skip and self._start_at:
                self._start_at(skip)
                skip = 0
            batches = iter(loader)
            for _ in range(skip):
                next(batches, None)
        while True:
            with stream:
                batch = next(batches, None)
            if batch is None:
                return
            yield send_to_device(batch, self.accelerator.device, non_blocking=self._runs_ahead)

    def _train_batch(self, batch: Batch, parts: int, update: bool) -> bool:
        """Add the gradient of a batch, one of `parts`; with `update` also change the weights. Gives `update` back."""
        mind_others()
        accelerator, progress = self.accelerator, self.progress
        self._shared.manual_seed(combined_seed(self.options.seed, progress.epoch, progress.batch))
        for module in self._learners:
            module.expect_more(not update)
        replays = self.options.compile == "reduce-overhead"
        if replays:
            torch.compiler.cudagraph_mark_step_begin()
        with nullcontext() if update else accelerator.no_sync(self.model):
            values = self.step(self.model, batch)
            accelerator.backward(values["loss"] / parts)
        # The next replay of a CUDA graph overwrites what this one gave.
        values = {key: value.detach().clone() if replays else value.detach() for key, value in values.items()}
        if update:
            if self.options.grad_clip:
                norm = accelerator.clip_grad_norm_(self.model.parameters(), self.options.grad_clip)
                values["grad_norm"] = norm.detach()
            # Accelerate's wrapper looks for optional packages on disk at every step; only fp16 needs it.
            optimizer = self.optimizer if accelerator.scaler else self.optimizer.optimizer
            optimizer.step()
            if not self.optimizer.step_was_skipped:
                self.scheduler.step()
            optimizer.zero_grad(set_to_none=True)
        self._window.add(progress.iteration + 1, values)
        if update:
            progress.iteration += 1
            self._bar.update()
            if self.average:
                self.average.update(accelerator.unwrap_model(self.model), progress.iteration)
        return update

    def _log_window(self) -> None:
        """Log the means since the last time; the only place where training waits for the device."""
        if not self._window:
            return
        progress, now = self.progress, time.monotonic()
        means = self._window.means(overflows=self.options.mixed_precision == "fp16")
        if self.accelerator.num_processes > 1:
            together = torch.tensor(list(means.values()), device=self.accelerator.device)
            means = dict(zip(means, self.accelerator.reduce(together, "mean").tolist(), strict=True))
        rate = (progress.iteration - self._logged) / max(now - self._clock, 1e-9)
        progress.seconds += now - self._clock
        self._clock, self._logged = now, progress.iteration
        if self._recorder:
            values = {f"train/{key}": mean for key, mean in means.items()}
            values |= {"train/lr": self.scheduler.get_last_lr()[0], "train/it_per_s": rate}
            self._recorder.add(progress.iteration, progress.epoch, values)
            line = f"epoch {progress.epoch}  " + "  ".join(f"{key} {mean:.4g}" for key, mean in means.items())
            self._bar.set_postfix_str(line)
            left = tqdm.format_interval((self._total - progress.iteration) / max(rate, 1e-9))
            # On a terminal the bar shows it; the file has it in any case.
            tell = self.log.info if self._bar.disable else self.log.debug
            tell(f"iteration {progress.iteration}/{self._total}  {line}  {rate:.3g} it/s  {left} left")

    def _run_evaluation(self) -> None:
        """Evaluate, log, and keep the model in `best_<key>/` for each number that is the best so far."""
        progress = self.progress
        if self.evaluate is None or progress.evaluated == progress.iteration:
            return
        self._log_window()
        progress.evaluated = progress.iteration
        model = self._weights().eval()
        stream, plain = RandomStream(self.options.seed, devices=True), uncompiled(self.options.compile)
        with stream, plain, torch.no_grad():
            results = {key: float(value) for key, value in self.evaluate(model, progress.epoch).items()}
        self.model.train()
        if self._recorder:
            self._recorder.add(progress.iteration, progress.epoch, {f"val/{key}": v for key, v in results.items()})
        numbers = "  ".join(f"{key} {value:.4g}" for key, value in results.items())
        self.log.info(f"evaluation after epoch {progress.epoch}, iteration {progress.iteration}: {numbers}")
        for key, mode in self.best.items():
            sign = 1 if mode == "min" else -1
            if sign * results[key] < sign * progress.best.get(key, sign * math.inf):
                progress.best[key] = results[key]
                self._save_model(f"net_best_{key}", results)

    def _run_animation(self) -> None:
        """Show the model as it is now, by the main process only; what fails there does not stop training."""
        iteration = self.progress.iteration
        if self.animation is None or self._recorder is None or self._animated == iteration:
            return
        self._animated, model = iteration, self._weights().eval()
        place = self.space / ANIMATIONS / f"iteration_{iteration:07d}"
        stream, plain = RandomStream(self.options.seed, devices=True), uncompiled(self.options.compile)
        try:
            with stream, plain, torch.no_grad(), atomic_folder(place) as aside:
                image = self.animation(model, aside, f"{self.space.name}, iteration {iteration}")
                self._recorder.picture(iteration, ANIMATIONS, image)
        except UserError as error:
            self.log.warning(f"no animations of iteration {iteration}: {error}")
        self.model.train()

    def _weights(self) -> Model:
        """The model that is evaluated and saved."""
        return self.average.model if self.average else self.accelerator.unwrap_model(self.model)

    def _save_model(self, folder: str, metrics: dict[str, float] | None = None) -> None:
        if self.main:
            options, progress = self.options, self.progress
            meta = {"dataset": options.dataset_name, "name": options.name, "seed": options.seed}
            meta |= self._meta | {"iteration": progress.iteration, "epoch": progress.epoch, "metrics": metrics or {}}
            with atomic_folder(self.space / folder) as aside:
                self.save(self._weights(), aside, meta)

    def _save_all(self) -> None:
        """Write `latest/` and the state."""
        self._log_window()
        self._save_model("latest")
        self._saves += 1
        self._state = save_state(self.accelerator, self.space, self._saves, self._state)

    def _check_interrupt(self) -> None:
        """Find out whether to stop; several processes agree on it each time they log."""
        if time.monotonic() > self._deadline and not self._asked:
            self._asked = f"--max_minutes {self.options.max_minutes:g} are over"
        if self.accelerator.num_processes == 1:
            self._interrupt = self._asked
        elif self.progress.iteration % self.options.log_every == 0:
            votes = torch.tensor(float(bool(self._asked)), device=self.accelerator.device)
            if self.accelerator.reduce(votes, "sum").item() > 0:
                self._interrupt = self._asked or "another process was asked to stop"
