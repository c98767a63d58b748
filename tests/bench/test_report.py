# SPDX-License-Identifier: Apache-2.0
import json
import pathlib
import xml.etree.ElementTree as ElementTree

import pytest

from bench.against.chart import svg, tick_step
from bench.against.report import BEGIN, END, filled
from bench.against.result import BadResult
from bench.against.tables import document, ratio_table, saved_table, step_table

ROOT = pathlib.Path(__file__).resolve().parents[2]
SVG = "{http://www.w3.org/2000/svg}"


def test_the_step_table_holds_medians_spread_and_counts(result):
    assert step_table(result).split("\n") == [
        "Batch 4:",
        "",
        "| precision | what is trained | rank | weights | step s | forward | backward | optimizer | peak GB |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
        "| fp32 | forward + input gradients (nothing trained) |  | 50,000,000 | 4.50 (4.00-5.00) | 1.00 | 2.00 | 0.50 | 8.00 |",
        "| fp32 | PEFT LoRA, all linears and convolutions | 47 | 50,000,000 | 10.50 (9.00-12.00) | 1.00 | 2.00 | 0.50 | 8.00 |",
        "| fp32 | **sara** |  | 50,000,000 | 4.50 (4.00-5.00) | 1.00 | 2.00 | 0.50 | 4.50 |",
    ]


def test_the_ratio_table_tells_bar_aim_and_verdict(result):
    table = ratio_table(result)
    assert "| our step / PEFT LoRA all layers, fp32, batch 4 | 0.429 | 0.8 | yes | 0.6 |" in table
    assert "| our step / dense selective, fp32, batch 1 | not measured | 0.4 |  | 0.25 |" in table
    result["runs"] = [dict(run, step_s=[100.0]) if run["peer"] == "sara" else run for run in result["runs"]]
    assert "| our step / forward + input gradients, fp32, batch 4 | 22.222 | 1.08 | **no** | 0.9 |" in ratio_table(result)


def test_the_table_of_activations_is_left_out_when_none_were_counted(result):
    assert "| 4 | fp32 | eager autograd, all weights trained | 0.000 | 0.000 |" in saved_table(result)
    result["runs"] = [run for run in result["runs"] if run["peer"] in ("base", "lora-all")]
    assert saved_table(result) is None


def test_the_conditions_name_machine_commit_versions_and_flags(result):
    result["settings"]["ours_flags"] = ["--rank-mode", "all"]
    result["runs"][2]["memory"] = "N1"
    words = document(result).split("\n")[0]
    machine = ("a processor", "2 cores", "24 GB", "torch 2.13.0", "PEFT 0.21.2", "up to 4% of the processor")
    for part in (*machine, "2026-01-02", "abc1234", "256 px", "50,000,000", "`--rank-mode all`", "memory N1", "rounds 2"):
        assert part in words


def test_only_what_lies_between_the_markers_is_replaced():
    assert filled(f"before\n{BEGIN}\nold\n{END}\nafter\n", "new") == f"before\n{BEGIN}\nnew\n{END}\nafter\n"
    with pytest.raises(BadResult, match="no place for the tables"):
        filled("a page without markers", "new")
    with pytest.raises(BadResult, match="no place for the tables"):
        filled(f"{END} {BEGIN}", "new")


def test_the_page_of_the_documentation_has_a_place_for_the_tables_and_shows_the_picture():
    page = (ROOT / "docs" / "performance.md").read_text()
    assert filled(page, "") and "performance.svg" in page


def test_the_picture_is_well_formed_and_has_a_curve_for_each_peer_and_quantity(result):
    again = [dict(run, batch_size=1, step_s=[1.0]) for run in result["runs"] if run["peer"] != "eager-saved"]
    result["runs"] += again
    picture = ElementTree.fromstring(svg(result))
    curves = picture.findall(f".//{SVG}polyline")
    assert len(curves) == 2 * 3  # step and memory; base, lora-all, ours
    assert all(len(curve.get("points").split()) == 2 for curve in curves)
    words = [node.text for node in picture.findall(f".//{SVG}text")]
    assert "fp32: seconds a step" in words and "PEFT LoRA, all layers" in words and "bf16 (peers: autocast): seconds a step" not in words


def test_a_point_lies_where_its_numbers_say(result):
    result["runs"] = [run for run in result["runs"] if run["peer"] == "base"]  # step 4.5 s at batch 4: axes end at 5 s and 4.2 pictures
    x, y = ElementTree.fromstring(svg(result)).find(f".//{SVG}polyline").get("points").split(",")
    assert float(x) == pytest.approx(60 + 330 / 1.05, abs=0.06)
    assert float(y) == pytest.approx(40 + 210 * (1 - 4.5 / 5), abs=0.06)


def test_ticks_are_round_and_few():
    assert [tick_step(highest) for highest in (4.5, 6, 6.1, 15, 0.3)] == [1, 1, 2, 5, pytest.approx(0.05)]


def test_nothing_is_drawn_of_nothing(result):
    result["runs"] = []
    assert svg(result) is None


def test_report_fills_the_page_and_draws_the_picture(against, result, tmp_path):
    (tmp_path / "performance.md").write_text(f"# Performance\n{BEGIN}\n{END}\n")
    (tmp_path / "result.json").write_text(json.dumps(result))
    done = against(tmp_path / "result.json", "--write", "--docs", tmp_path, module="bench.against.report")
    assert done.returncode == 0, done.stderr
    assert "From `result.json`." in (tmp_path / "performance.md").read_text() and "**sara**" in (tmp_path / "performance.md").read_text()
    ElementTree.fromstring((tmp_path / "performance.svg").read_text())


def test_the_picture_may_come_from_another_result(against, result, tmp_path):
    (tmp_path / "performance.md").write_text(f"# Performance\n{BEGIN}\n{END}\n")
    (tmp_path / "tables.json").write_text(json.dumps(result))
    (tmp_path / "sizes.json").write_text(json.dumps({**result, "runs": [run for run in result["runs"] if run["peer"] == "base"]}))
    done = against(tmp_path / "tables.json", "--write", "--picture", tmp_path / "sizes.json", "--docs", tmp_path, module="bench.against.report")
    assert done.returncode == 0, done.stderr
    assert "From `tables.json`; the picture above from `sizes.json`." in (tmp_path / "performance.md").read_text()
    assert len(ElementTree.fromstring((tmp_path / "performance.svg").read_text()).findall(f".//{SVG}polyline")) == 2


@pytest.mark.parametrize(
    "content, message",
    [
        ("{", "no JSON"),
        ("[]", "another format (expected sara-bench-against 1, got list)"),
        ('{"format": "x"}', "another format (expected sara-bench-against 1, got ['x', None])"),
        ('{"format": "sara-bench-against", "version": 1}', "incomplete (expected bench, machine, versions, settings, commit, date, runs)"),
    ],
)
def test_a_file_that_is_no_result_is_refused_in_one_line(against, tmp_path, content, message):
    (tmp_path / "bad.json").write_text(content)
    done = against(tmp_path / "bad.json", module="bench.against.report")
    assert done.returncode == 1 and message in done.stderr and "Fix:" in done.stderr and done.stderr.count("\n") == 1
