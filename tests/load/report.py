"""Turns the result of a run into JSON and into a page."""

import datetime
import os
import pathlib
import platform
import statistics
import subprocess
import textwrap

from documented import ROOT

PAGE = pathlib.Path(__file__).with_name("report.md")
PARTS = ("saturation", "soak", "hostile")


def shell(*command):
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    return done.stdout.strip()


def machine():
    lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    cpu = next((it.split(":")[1].strip() for it in lines if it.startswith("model name")), platform.machine())
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return f"{os.cpu_count()} cores ({cpu}), {memory / 1e9:.0f} GB, {platform.system()} {platform.release()}"


def when():
    commit = shell("git", "rev-parse", "--short=12", "HEAD")
    changed = shell("git", "status", "--porcelain", "--untracked-files=no", "--", ":!tests/load/report.md")
    return {
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": commit + (" with changes" if changed else ""),
        "machine": machine(),
        "load average": os.getloadavg()[1],
    }


def percentiles(times):
    ordered = sorted(times)
    return {"p50_ms": statistics.median(ordered) * 1000, "p99_ms": ordered[int(len(ordered) * 0.99)] * 1000}


def of(soak, flat, seconds):
    options = soak.options
    last = [it for it in soak.samples if it[0] == len(soak.kills)]
    return {
        **when(),
        "program": os.path.relpath(options.local, ROOT), "seed": soak.seed, "seconds": round(seconds),
        "soak_seconds": options.minutes * 60, "rate": options.rate, "workers": options.workers,
        "users": options.users, "credentials": len(soak.credentials),
        "successes": dict(soak.done), "failures": dict(soak.failures),
        "times": {kind: percentiles(times) for kind, times in sorted(soak.times.items())},
        "kills": len(soak.kills), "cut_off": soak.cut_off, "faults": dict(soak.faults), "met": dict(soak.proxy.met),
        "calls_of_the_vault": dict(soak.proxy.calls),
        "refreshes": sum(it.executed for all_ in soak.proxy.zoom.refreshes.values() for it in all_),
        "lost_by_a_kill": soak.lost, "capsules": soak.capsules,
        "refused_after_removal": soak.refused_removed,
        "at_the_end": {"minted": soak.minted_at_end, "had to connect again, and could": soak.reconnect_at_end},
        "flat": flat, "stretch_without_kills": len(last),
        "peak": {
            "vault, memory": max(it[2] for it in soak.samples), "vault, files": max(it[3] for it in soak.samples),
        },
        "samples": soak.samples,
        "wrong": soak.wrong,
    }


def paragraph(text):
    return textwrap.fill(text, 120, break_long_words=False, break_on_hyphens=False)


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "| " + " | ".join("---" for _ in head) + " |"]
    lines += ["| " + " | ".join(str(it) for it in row) + " |" for row in rows]
    return "\n".join(lines)


def saturation_text(saturated):
    parts = []
    for kind in ("get", "mint"):
        rows = [
            (
                it["connections"], f"{it['per_second']:,.0f}", f"{it['p50_ms']:.1f}", f"{it['p99_ms']:.1f}",
                it["failed"],
                f"{it['client_cpu']:.0%}", f"{it['vault_ms']:.2f}", f"{it['services_ms']:.2f}",
            )
            for it in saturated[kind]
        ]
        head = (
            "connections", "calls/s", "p50, ms", "p99, ms", "failed", "CPU of the client",
            "CPU of a call, vault, ms", "services, ms",
        )
        parts.append(f"**{kind}**\n\n" + table(head, rows))
    return "\n\n".join(parts)


def soak_text(it):
    by_count = sorted(it["successes"].items(), key=lambda pair: -pair[1])
    times = {kind: (f"{took['p50_ms']:.0f}", f"{took['p99_ms']:.0f}") for kind, took in it["times"].items()}
    rows = [(kind, f"{count:,}", *times.get(kind, ("", ""))) for kind, count in by_count]
    at_the_end, calls = it["at_the_end"], it["calls_of_the_vault"]
    flat = [
        (
            name,
            *(f"{value / 1e6:.1f} MB" if "memory" in name else f"{value:.0f}" for value in values),
        )
        for name, values in (it["flat"] or {}).items()
    ]
    unexplained = sum(not lost["honest"] for lost in it["lost_by_a_kill"])
    summary = [
        ("wrong answers", len(it["wrong"])),
        ("grants lost without a kill during their refresh", unexplained),
        ("grants lost because a kill hit their refresh", len(it["lost_by_a_kill"]) - unexplained),
        ("refreshes that Zoom executed", f"{it['refreshes']:,}"),
        ("recovery capsules in the log", it["capsules"]),
        ("kills", it["kills"]),
        ("calls without an answer, all during a kill and a restart", it["cut_off"]),
        ("live credentials that minted at the end", at_the_end["minted"]),
        ("users who had to connect again at the end, and could", at_the_end["had to connect again, and could"]),
        ("mints refused after the user had removed the app", it["refused_after_removal"]),
        *((f"the vault's calls to {name}", f"{count:,}") for name, count in sorted(calls.items())),
        ("calls that met a fault of AWS", f"{sum(it['met'].values()):,}"),
    ]
    text = [
        paragraph(
            f"Soak of {it['soak_seconds'] / 60:g} minutes, {it['rate']:g} operations a second by {it['workers']} "
            f"callers, {it['users']} credentials at the start and {it['credentials']} at the end, seed {it['seed']}, "
            f"`{it['program']}`."
        ),
        table(("result", ""), summary),
        table(("operation", "successes", "p50 of all answers, ms", "p99, ms"), rows),
        table(("failure", "count"), sorted(((k, f"{v:,}") for k, v in it["failures"].items()))),
        table(("fault", "times"), sorted(it["faults"].items())),
    ]
    if flat:
        stretch = f"stretch of {it['stretch_without_kills']} s without kills"
        text.append(table((stretch, "median of the second quarter", "of the last"), flat))
    return "\n\n".join(text)


def head(it):
    return paragraph(
        f"{it['date']}, commit {it['commit']}, {it['machine']}, load average {it['load average']:.1f} (5 minutes)."
    )


def write(result, part):
    """Replaces one part of the page, and keeps the other."""
    marks = {name: f"<!-- {name} -->" for name in PARTS}
    texts = {name: "Not run yet.\n" for name in PARTS}
    if PAGE.exists():
        old = PAGE.read_text()
        for name, following in zip(PARTS, (*PARTS[1:], None)):
            if marks[name] in old:
                text = old.partition(marks[name])[2]
                texts[name] = (text.partition(marks[following])[0] if following else text).strip("\n") + "\n"
    if part == "saturation":
        parts = ["# The last report: saturation", head(result), saturation_text(result)]
    elif part == "soak":
        parts = ["# The last report: soak", head(result), soak_text(result)]
    else:
        import hostile

        parts = ["# The last report: hostile traffic", head(result), hostile.text(result)]
    texts[part] = "\n\n".join(parts) + "\n"
    start = "<!-- Written by soak.py --report and hostile.py --report. docs/load.md explains it. -->"
    PAGE.write_text("\n\n".join([start, *(f"{marks[name]}\n\n{texts[name].strip()}" for name in PARTS)]) + "\n")
