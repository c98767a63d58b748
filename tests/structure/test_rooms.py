# SPDX-License-Identifier: Apache-2.0
"""A room includes only rooms above it, and every room explains itself."""

import os
import pathlib
import re
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
ROOMS = (
    "base files cuda sparse ops rank optim layers models tokenizers samplers weights methods data pipelines distributed "
    "train metrics analysis"
).split()
INCLUDE = re.compile(r'^\s*#\s*include\s*["<]((?:sara|cli|tests)/[^">]+)[">]', re.MULTILINE)
TORCH = re.compile(r'^\s*#\s*include\s*["<](torch/|ATen/)', re.MULTILINE)
SOURCES = sorted(path for path in (ROOT / "sara").rglob("*") if path.suffix in {".h", ".cpp", ".cu", ".cuh"})


def room_of(path):
    return path.relative_to(ROOT / "sara").parts[0]


@pytest.mark.parametrize("room", sorted({room_of(path) for path in SOURCES}))
def test_room_includes_only_rooms_above(room):
    allowed = set(ROOMS[: ROOMS.index(room) + 1])
    wrong = []
    for path in SOURCES:
        if room_of(path) != room:
            continue
        for included in INCLUDE.findall(path.read_text()):
            parts = included.split("/")
            if parts[0] != "sara" or (len(parts) > 2 and parts[1] not in allowed):
                wrong.append(f"{path.relative_to(ROOT)} includes {included}")
            if not (ROOT / included).exists():
                wrong.append(f"{path.relative_to(ROOT)} includes {included}, which is not there")
    assert not wrong


def test_the_python_binding_uses_rooms_up_to_methods():
    allowed = set(ROOMS[: ROOMS.index("methods") + 1])
    sources = sorted((ROOT / "python" / "src").iterdir())
    assert sources
    wrong = [f"{path.name} includes {included}" for path in sources for included in INCLUDE.findall(path.read_text()) if included.split("/")[1] not in allowed]
    assert not wrong


def test_parsers_do_not_include_torch():
    wrong = [str(path) for path in SOURCES if room_of(path) in {"files", "tokenizers"} and TORCH.search(path.read_text())]
    assert not wrong


def test_kernels_need_no_torch():
    kernels = [path for path in SOURCES if path.suffix in {".cu", ".cuh"}]
    assert kernels
    allowed = {path.name for path in kernels} | {"launch.h", "emulation.h", "host_device.h", "adamw_factors.h"}
    wrong = [f"{path.name} includes {included}" for path in kernels for included in INCLUDE.findall(path.read_text()) if pathlib.PurePath(included).name not in allowed]
    assert not wrong and not [path.name for path in kernels if TORCH.search(path.read_text()) or "c10/" in path.read_text()]


@pytest.mark.parametrize("room", sorted({room_of(path) for path in SOURCES}))
def test_room_has_a_short_readme(room):
    readme = ROOT / "sara" / room / "README.md"
    assert readme.exists()
    assert len(readme.read_text().splitlines()) <= 15


def test_nothing_of_gloo_itself_is_linked():
    """sara/distributed/gloo_declarations.h may differ from the Gloo inside libtorch as long as this holds."""
    library = pathlib.Path(os.environ.get("SARA_BUILD", ROOT / "build")) / "libsara_distributed.a"
    names = subprocess.run(["nm", "-C", library], capture_output=True, text=True, check=True).stdout
    assert "c10d::ProcessGroupGloo::ProcessGroupGloo" in names
    assert not re.findall(r"^.* (?:vtable for |typeinfo for |typeinfo name for )?(?:gloo::|c10d::ProcessGroupGloo::GlooStore).*$", names, re.MULTILINE)


def test_every_source_names_its_licence():
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\n")
    wrong = []
    for name in listed:
        path = ROOT / name
        if path.suffix in {".cpp", ".h", ".cu", ".py", ".sh"} and path.exists():
            if "SPDX-License-Identifier: Apache-2.0" not in "\n".join(path.read_text().splitlines()[:3]):
                wrong.append(name)
    assert not wrong
