# SPDX-License-Identifier: Apache-2.0
"""Step time and peak memory over batch size as one SVG (the paper's Fig. 5), drawn from a result without any library."""

import math
from html import escape

from bench.against.result import summaries

# Colours that stay apart for colour-blind readers; ours is the heavy line.
SERIES = {
    "sara": ("sara", "#000000"),
    "sara-python": ("sara.AdamW in Python", "#7f7f7f"),
    "base": ("forward + input gradients", "#56b4e9"),
    "lora-attention": ("PEFT LoRA, attention only", "#e69f00"),
    "lora-all": ("PEFT LoRA, all layers", "#d55e00"),
    "shira": ("PEFT SHiRA", "#009e73"),
    "dense-selective": ("dense selective", "#cc79a7"),
    "full": ("full AdamW", "#0072b2"),
}
ROWS = (("fp32", ("fp32",)), ("bf16 (peers: autocast)", ("bf16-autocast", "bf16")))
COLUMNS = (("step_s", "seconds a step"), ("peak_rss_gb", "peak memory, GB"))
WIDTH, HEIGHT, LEFT, TOP, GAP = 330, 210, 60, 40, 80


def curves(result, precisions, field):
    """{peer: [(batch size, value)]}, ours in bf16 weights, peers in the first precision that applies to them."""
    found = {}
    for cell, line in summaries(result).items():
        own = "bf16" if cell.peer == "sara" and precisions != ("fp32",) else precisions[0]
        if cell.peer in SERIES and cell.precision == own and field in line:
            found.setdefault(cell.peer, []).append((cell.batch_size, line[field]))
    return {peer: sorted(points) for peer, points in found.items()}


def tick_step(highest):
    """A round number that cuts [0, highest] into at most six."""
    raw = highest / 6
    power = 10 ** math.floor(math.log10(raw))
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor >= raw)


def text(x, y, words, anchor="middle", size=12, extra=""):
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}"{extra}>{escape(words)}</text>'


def line(x1, y1, x2, y2, colour="#cccccc"):
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}"/>'


def panel(x0, y0, name, lines):
    """One plot at (x0, y0); linear axes from 0."""
    batches = sorted({batch for points in lines.values() for batch, _ in points})
    highest = max(value for points in lines.values() for _, value in points)
    step = tick_step(highest)
    top = step * math.ceil(highest / step)

    def at(batch, value):
        return x0 + WIDTH * batch / (batches[-1] * 1.05), y0 + HEIGHT * (1 - value / top)

    parts = [text(x0 + WIDTH / 2, y0 - 10, name, size=13)]
    for k in range(round(top / step) + 1):
        y = at(0, k * step)[1]
        parts += [line(x0, y, x0 + WIDTH, y), text(x0 - 6, y + 4, f"{k * step:g}", "end")]
    for batch in batches:
        parts.append(text(at(batch, 0)[0], y0 + HEIGHT + 16, str(batch)))
    parts.append(text(x0 + WIDTH / 2, y0 + HEIGHT + 32, "batch size"))
    for peer, points in lines.items():
        colour, width = SERIES[peer][1], 3 if peer == "sara" else 1.5
        places = [at(*point) for point in points]
        parts.append(f'<polyline fill="none" stroke="{colour}" stroke-width="{width}" points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in places)}"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{width + 1}" fill="{colour}"/>' for x, y in places]
    return parts


def svg(result):
    """The whole picture, or None when no step was measured."""
    body, shown, y0 = [], [], TOP
    for row_name, precisions in ROWS:
        columns = [(name, curves(result, precisions, field)) for field, name in COLUMNS]
        if not columns[0][1]:
            continue
        for k, (name, lines) in enumerate(columns):
            body += panel(LEFT + k * (WIDTH + GAP), y0, f"{row_name}: {name}", lines)
            shown += [peer for peer in lines if peer not in shown]
        y0 += HEIGHT + TOP + 50
    if not shown:
        return None
    total_width = LEFT + 2 * WIDTH + GAP + 20
    for k, peer in enumerate(name for name in SERIES if name in shown):
        label, colour = SERIES[peer]
        x, y = LEFT + (k % 4) * (total_width - LEFT) / 4, y0 - 5 + 20 * (k // 4)
        body += [f'<rect x="{x:.1f}" y="{y - 9:.1f}" width="16" height="9" fill="{colour}"/>', text(x + 21, y, label, "start")]
    total_height = y0 + 20 * math.ceil(len(shown) / 4) + 5
    settings = result["settings"]
    label = f"Seconds a step and peak memory over batch size, {settings['model']}, {settings['resolution']} px, {settings['budget']:,} weights"
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {total_width} {total_height}" width="{total_width}" height="{total_height}" font-family="sans-serif" role="img">',
            f"<title>{escape(label)}</title>",
            f'<rect width="{total_width}" height="{total_height}" fill="white"/>',
            *body,
            "</svg>\n",
        ]
    )
