"""The machine that a benchmark runs on: what it is, waiting for its device, and its peak memory."""

import contextlib
import os
import platform
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lamp.utils.run.device import peak_memory
from lamp.utils.run.provenance import commit


def synchronize(device: torch.device) -> None:
    """Wait for the device: its work goes on when a call has come back."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def reset_peak_memory(device: torch.device) -> None:
    """Forget the peak so far, where the system can (Linux, CUDA)."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # proc(5): resets VmHWM


def current_peak_memory(device: torch.device) -> float | None:
    """GB since `reset_peak_memory`: of the process, Python and PyTorch included, or of the tensors on a CUDA device.

    On macOS it is the peak since the process began; on Windows there is none.
    """
    status = Path("/proc/self/status")
    if device.type != "cuda" and status.is_file():
        for line in status.read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1e6
    try:
        return peak_memory(device)
    except ImportError:
        return None


def describe_machine(device: torch.device) -> dict[str, Any]:
    """What the numbers depend on: processor, device, threads, versions, and how busy the machine was before."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    memory = None
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        memory = round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9, 1)
    return {
        "system": platform.platform(),
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gb": memory,
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "threads": torch.get_num_threads(),
        "load_before": load,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "commit": commit(),
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def thread_counts() -> list[int]:
    """1, 2, 4, ... and the number of cores."""
    cores = os.cpu_count() or 1
    return sorted({count for count in (1, 2, 4, 8, 16, 32, 64) if count < cores} | {cores})
