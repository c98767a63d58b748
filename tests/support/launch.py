# SPDX-License-Identifier: Apache-2.0
"""Starts one command in several processes, as torchrun would, without the seconds that torchrun takes."""

import os
import socket
import subprocess


def environment(rank, count, port):
    """Of one rank: torchrun's variables, and one thread."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith("SARA_")}
    ours = {"RANK": rank, "WORLD_SIZE": count, "LOCAL_RANK": rank, "LOCAL_WORLD_SIZE": count, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    return clean | {key: str(value) for key, value in ours.items()} | {"OMP_NUM_THREADS": "1"}


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def start(count, command, of_rank=lambda rank: ()):
    """The running processes of `command`; `of_rank(rank)`: further words of one rank."""
    port = free_port()
    return [
        subprocess.Popen([*map(str, command), *map(str, of_rank(rank))], text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(rank, count, port))
        for rank in range(count)
    ]


def finished(processes, timeout=120):
    """[(exit code, stdout, stderr)], one a rank; kills those that do not end."""
    out = []
    for process in processes:
        try:
            texts = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            texts = process.communicate()
            texts = texts[0], texts[1] + "\n(killed by the test)"
        out.append((process.returncode, *texts))
    return out
