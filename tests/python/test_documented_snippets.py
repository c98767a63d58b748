# SPDX-License-Identifier: Apache-2.0
"""Every Python snippet of docs/python.md runs, one after the other."""

import pathlib
import re

import torch

DOCS = pathlib.Path(__file__).resolve().parents[2] / "docs"


def test_the_snippets_of_the_python_page_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    snippets = re.findall(r"```python\n(.*?)```", (DOCS / "python.md").read_text(), re.DOTALL)
    assert len(snippets) >= 5
    names = {}
    for number, snippet in enumerate(snippets):
        exec(compile(snippet, f"docs/python.md, snippet {number}", "exec"), names)
    assert {"style.safetensors", "state.pt", "linear.safetensors", "copy.safetensors"} <= {path.name for path in tmp_path.iterdir()}
    assert "StepReport" in capsys.readouterr().out
