"""Writes what `growth.py` measured: the tables of "Measured growth" in docs/scale.md, and docs/growth.svg."""

import math
import os
import re

from emulator import ROOT

PAGE, CHART = ROOT / "docs/scale.md", ROOT / "docs/growth.svg"
BEGIN, END = "<!-- growth: begin -->", "<!-- growth: end -->"
COMMAND = "python3 tests/measure/growth.py --write --sizes"
ON_PAPER = 1_000_000
COMMANDS = ("rewrap", "credentials sweep", "doctor")

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 700, 400, 62, 212, 40, 44
LABEL_GAP = 14
STYLE = """
  text { font: 12px system-ui, sans-serif; fill: #1f2328 }
  .grid { stroke: #d1d9e0 } .constant { stroke: #0969da; fill: #0969da } .linear { stroke: #bc4c00; fill: #bc4c00 }
  polyline { fill: none; stroke-width: 2 } .paper { stroke-dasharray: 3 4 } text.constant, text.linear { stroke: none }
  polyline.constant, polyline.linear { fill: none }
  @media (prefers-color-scheme: dark) {
    text { fill: #f0f6fc } .grid { stroke: #3d444d }
    .constant { stroke: #4493f8; fill: #4493f8 } .linear { stroke: #f0883e; fill: #f0883e }
  }"""


def figure(value):
    return f"{value:,.0f}" if value >= 10 or value == round(value) else f"{value:.1f}"


def same(values):
    """One figure if all are equal. Otherwise the smallest and the largest."""
    texts = list(dict.fromkeys(figure(it) for it in sorted(values)))
    return texts[0] if len(texts) == 1 else f"{texts[0]} to {texts[-1]}"


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "| " + " | ".join("---" for _ in head) + " |"]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def on_paper(sizes, values, size):
    """A straight line through the last two sizes."""
    (x1, x2), (y1, y2) = sizes[-2:], values[-2:]
    return y2 + (y2 - y1) / (x2 - x1) * (size - x2)


def columns(results):
    """The sizes of each layout: `(title, result)`. The smallest size has one team in each layout."""
    (_, one), *others = results.items()
    found = [(f"{size:,}", it) for size, it in sorted(one.items())]
    return found + [(f"{size:,} in {layout}", it) for layout, more in others for size, it in sorted(more.items())[1:]]


def operations(results):
    shown = columns(results)
    names = [name for name in shown[0][1]["operations"] if name not in COMMANDS]
    head = ["operation", "round trips", "DynamoDB", "KMS", "read units", "write units"]
    rows = []
    for name in names:
        found = [it["operations"][name] for _, it in shown]
        cells = [same([it[unit] for it in found]) for unit in ("trips", "calls", "kms", "reads", "writes")]
        # Keep-alive handles many grants at a time, so its round trips are in no series.
        cells[0] = "" if name == "keep-alive" else cells[0]
        rows.append([f"{name} of 100 grants" if name == "keep-alive" else name, *cells])
    times = table(
        ["operation, p50 in ms", *(title for title, _ in shown)],
        [[name, *(figure(round(it["operations"][name]["ms"])) for _, it in shown)] for name in names],
    )
    return table(head, rows), times


def commands(results):
    shown, one = columns(results), next(iter(results.values()))
    sizes, rows = sorted(one), []
    units = [("calls to DynamoDB", "calls", 1), ("calls to KMS", "kms", 1), ("read units", "reads", 1),
             ("write units", "writes", 1), ("seconds", "ms", 1000), ("memory of the command, MB", "memory", 1)]
    for name in (it for it in COMMANDS if it in shown[0][1]["operations"]):
        for title, unit, scale in units:
            values = [it["operations"][name][unit] / scale for _, it in shown]
            if any(values):
                last = on_paper(sizes, values[:len(sizes)], ON_PAPER)
                rows.append([f"`{name}`: {title}", *(figure(it) for it in values), figure(last)])
    for title, moment in (("before the calls", "before"), ("after the calls", "after")):
        values = [it["functions"][moment] for _, it in shown]
        rows.append([f"memory of all functions {title}, MB", *(figure(it) for it in values), ""])
    return table(["", *(title for title, _ in shown), f"{ON_PAPER:,}, computed"], rows)


def machine():
    model = re.search(r"model name\s*: (.*)", (open("/proc/cpuinfo").read()))
    return f"{os.cpu_count()} cores ({model[1].strip() if model else 'unknown'})"


def text(results):
    units, times = operations(results)
    shown = [it for _, it in columns(results)]
    loads, date = [it["load"] for it in shown], max(it["date"] for it in shown)
    sizes = " ".join(str(it) for it in sorted(next(iter(results.values()))))
    return "\n\n".join([
        f"Measured on {date} by `{COMMAND} {sizes}`, on a virtual machine with\n"
        f"{machine()} that other builds used too: the load average was {min(loads):.0f} to {max(loads):.0f}.\n"
        "The programs were debug builds, and DynamoDB and KMS were emulators, so of the times only the growth counts.",
        units, times, commands(results),
    ])


# The chart


def total(cost):
    return cost["reads"] + cost["writes"]


def lines_of(results):
    """`[(name, is a command, points)]`: the units of each operation, in one team. The last point is on paper."""
    one = next(iter(results.values()))
    sizes, found = sorted(one), []
    for name in one[sizes[0]]["operations"]:
        values = [total(one[size]["operations"][name]) for size in sizes]
        last = on_paper(sizes, values, ON_PAPER) if name in COMMANDS else values[-1]
        shown = f"{name}, 100 grants" if name == "keep-alive" else name
        found.append((shown, name in COMMANDS, [*zip(sizes, values), (ON_PAPER, last)]))
    return found


def power(exponent):
    return "10" + "".join("⁰¹²³⁴⁵⁶⁷⁸⁹"[int(digit)] for digit in str(exponent))


def chart(results):
    lines = lines_of(results)
    first = min(size for _, _, points in lines for size, _ in points)
    lowest = 1
    highest = 10 ** math.ceil(math.log10(max(units for _, _, points in lines for _, units in points)))

    def x(size):
        share = math.log10(size / first) / math.log10(ON_PAPER / first)
        return LEFT + share * (WIDTH - LEFT - RIGHT)

    def y(units):
        share = math.log10(max(units, lowest) / lowest) / math.log10(highest / lowest)
        return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)

    parts = [f'<text x="{LEFT}" y="20">Read and write units of one call, by the number of credentials in a team</text>']
    for exponent in range(int(math.log10(highest)) + 1):
        at = y(10**exponent)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at:.0f}" y2="{at:.0f}"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{at + 4:.0f}" text-anchor="end">{power(exponent)}</text>')
    for exponent in range(math.ceil(math.log10(first)), int(math.log10(ON_PAPER)) + 1):
        at = x(10**exponent)
        parts.append(f'<line class="grid" x1="{at:.0f}" x2="{at:.0f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>')
        parts.append(f'<text x="{at:.0f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{power(exponent)}</text>')
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(f'<text x="{middle:.0f}" y="{HEIGHT - 8}" text-anchor="middle">credentials (dashed: computed)</text>')
    labels = []
    for name, is_command, points in lines:
        kind = "linear" if is_command else "constant"
        placed = [f"{x(size):.1f},{y(units):.1f}" for size, units in points]
        parts.append(f'<polyline class="{kind}" points="{" ".join(placed[:-1])}"/>')
        parts.append(f'<polyline class="{kind} paper" points="{" ".join(placed[-2:])}"/>')
        for it in placed[:-1]:
            parts.append('<circle class="{}" cx="{}" cy="{}" r="2.5"/>'.format(kind, *it.split(",")))
        labels.append([y(points[-1][1]), kind, f"{name}: {figure(points[-1][1])}"])
    # Labels of close lines move apart: downwards first, and back up from the bottom.
    labels.sort()
    for before, label in zip(labels, labels[1:]):
        label[0] = max(label[0], before[0] + LABEL_GAP)
    limit = HEIGHT - BOTTOM
    for label in reversed(labels):
        label[0] = limit = min(label[0], limit)
        limit -= LABEL_GAP
    for at, kind, name in labels:
        parts.append(f'<text class="{kind}" x="{WIDTH - RIGHT + 8}" y="{at + 4:.0f}">{name}</text>')
    body = "\n".join(parts)
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}">'
    return f"{head}\n<title>Growth of the vault's operations</title>\n<style>{STYLE}\n</style>\n{body}\n</svg>\n"


def write(results):
    CHART.write_text(chart(results))
    before, begin, rest = PAGE.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise SystemExit(f"{PAGE} has no {BEGIN} and {END}")
    PAGE.write_text(f"{before}{BEGIN}\n\n{text(results)}\n\n{END}{after}")
