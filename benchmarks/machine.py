"""Facts of the machine that a report is of: what is in it, what runs on it, and how fast its memory is."""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import re
import statistics
import subprocess
import threading
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

_PACKAGES = ("llama-cpp-python", "llguidance", "onnxruntime", "faiss-cpu", "tokenizers", "numpy")
_MEGABYTES = 256  # that each thread reads, more than any cache holds


def facts() -> dict[str, Any]:
    """Return what can be known of this machine."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return {
        "chip": _chip(),
        "cores": cores,
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "memory_bandwidth_gb_s": round(memory_bandwidth(cores), 1),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        "offload": "GPU" if _offloads() else "CPU",
        "packages": {name: version(name) for name in _PACKAGES},
        "load_before": [round(load, 2) for load in os.getloadavg()],
    }


def name(known: dict[str, Any]) -> str:
    """Return a name for the machine that a file can have."""
    return re.sub(r"[^a-z0-9]+", "-", f"{known['chip']} {known['cores']} cores".casefold()).strip("-")


def memory_bandwidth(threads: int, *, rounds: int = 5) -> float:
    """Return how many gigabytes a second all threads together read from memory: the median of some rounds.

    What is timed is `memchr` over memory that does not hold the byte: it only reads, with the widest instructions there are, and Python
    lets the threads run beside one another.
    """
    library = ctypes.CDLL(None)
    library.memchr.restype = ctypes.c_void_p
    library.memchr.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]
    blocks = [np.full(_MEGABYTES << 20, 1, np.uint8) for _ in range(threads)]
    speeds = []
    for _ in range(rounds):
        readers = [
            threading.Thread(target=library.memchr, args=(block.ctypes.data, 7, block.nbytes)) for block in blocks
        ]
        started = time.perf_counter()
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join()
        speeds.append(sum(block.nbytes for block in blocks) / (time.perf_counter() - started) / 1e9)
    return statistics.median(speeds)


def model_facts(path: Path) -> dict[str, Any]:
    """Return what identifies a model's file."""
    content = path.read_bytes()
    return {"file": path.name, "megabytes": round(len(content) / 1e6, 1), "sha256": hashlib.sha256(content).hexdigest()}


def _chip() -> str:
    if platform.system() == "Darwin":
        command = ["sysctl", "-n", "machdep.cpu.brand_string"]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip() or "Apple"
    try:
        found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text("utf-8"), re.MULTILINE)
    except OSError:
        found = None
    return found[1] if found else platform.processor() or platform.machine()


def _offloads() -> bool:
    import llama_cpp

    return bool(llama_cpp.llama_supports_gpu_offload())
