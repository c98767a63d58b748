# SPDX-License-Identifier: Apache-2.0
"""Where numbers come from: processor, memory, versions, commit."""

import hashlib
import importlib.metadata
import os
import pathlib
import platform
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]
PACKAGES = ("torch", "diffusers", "peft")


def peak_resident_bytes():
    """VmHWM of this process (Linux)."""
    for line in pathlib.Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise SystemExit("/proc/self/status: no VmHWM. Fix: run on Linux")


def versions():
    return {"python": platform.python_version(), **{name: importlib.metadata.version(name) for name in PACKAGES}}


def _field(path, key):
    for line in pathlib.Path(path).read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() == key:
            return value.strip()
    return None


def machine():
    flags = (_field("/proc/cpuinfo", "flags") or "").split()
    return {
        "cpu": _field("/proc/cpuinfo", "model name") or platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gb": round(int(_field("/proc/meminfo", "MemTotal").split()[0]) * 1024 / 1e9, 1),
        "extensions": [name for name in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if name in flags],
    }


class OtherProcesses:
    """share() -> how much of the machine's processor time went to processes that are not ours, since construction. Ours are this one
    and its children that have ended."""

    def __init__(self):
        self.start = self._ticks()

    @staticmethod
    def _ticks():
        user, nice, system, idle, wait, irq, softirq, steal = map(int, pathlib.Path("/proc/stat").read_text().splitlines()[0].split()[1:9])
        busy = user + nice + system + irq + softirq + steal
        own = sum(os.times()[:4]) * os.sysconf("SC_CLK_TCK")
        return busy, busy + idle + wait, own

    def share(self):
        busy, total, own = (now - before for now, before in zip(self._ticks(), self.start))
        return max(0.0, (busy - own) / total) if total else 0.0


def bench_digest():
    """Of the Python sources that measure (not of those that count, draw and report)."""
    here = pathlib.Path(__file__).parent
    digest = hashlib.sha256()
    for path in [*sorted((here / "peers").glob("*.py")), *(here / name for name in ("model.py", "unet.py", "worker.py", "processes.py", "saved_tensors.py"))]:
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def commit():
    """Short hash of the sources' commit, with -dirty when tracked files differ from it; None outside a git work tree."""
    done = subprocess.run(["git", "describe", "--always", "--dirty", "--exclude=*", "--abbrev=7"], cwd=ROOT, capture_output=True, text=True)
    return done.stdout.strip() if done.returncode == 0 else None
