# SPDX-License-Identifier: Apache-2.0
"""The pool that tensors take their memory from: what it must not change. Each test in a process of its own, the pool is for good."""

import os
import subprocess
import sys
import textwrap

from probe import BUILD


def output(code):
    environment = {**os.environ, "PYTHONPATH": str(BUILD / "python")}
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=120, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


TRAIN = """
    import torch, sara
    from sara import _core
    def train(**options):
        torch.manual_seed(0)
        net = torch.nn.Sequential(torch.nn.Linear(300, 400), torch.nn.GELU(), torch.nn.Linear(400, 300))
        optimizer = sara.AdamW(net, budget="20%", lr=1e-3, **options)
        for _ in range(5):
            net(torch.randn(100, 300)).square().mean().backward()
            optimizer.step()
            optimizer.zero_grad()
        return torch.cat([p.detach().flatten() for p in net.parameters()])
"""


def test_it_is_taken_unless_told_not_to_and_changes_no_bit():
    assert output(TRAIN + """
    print(_core.tensor_memory())
    plain = train(pool_memory=False)
    print(_core.tensor_memory())
    pooled = train()
    print(_core.tensor_memory(), plain.equal(pooled))
    """) == ["libtorch", "libtorch", "pool", "True"]


def test_worker_processes_of_a_data_loader_go_on():
    assert output(TRAIN + """
    import threading
    train()
    busy = threading.Event()
    def allocate():
        while not busy.is_set():
            torch.ones(100_000).sum()
    thread = threading.Thread(target=allocate)
    thread.start()
    data = torch.arange(64 * 20_000, dtype=torch.float32).view(64, 20_000)
    total = 0.0
    for _ in range(10):
        loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(data), batch_size=8, num_workers=2, multiprocessing_context="fork")
        total += sum(batch.double().sum().item() for batch, in loader)
    busy.set()
    thread.join()
    print(total == 10 * data.double().sum().item())
    """) == ["True"]
