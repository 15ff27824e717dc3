#!/usr/bin/env python3
"""Counts the instructions of each operation with callgrind, and compares them with `counts.json`.

    deploy/build.sh x86_64 micro
    python3 benches/micro/counts.py [--folder target/lambda] [--commit] [operation …]

The program is compiled as the functions of a release are. Each operation runs t times in one process and 2 t times in
another: the difference is what t operations take, without the start of the program. Instructions do not depend on how
busy the machine is, so a small change can be seen. The program fails if an operation takes more instructions than its
bound: the number in `counts.json`, and the slack there. It also fails if a list is not linear, or if the list of 10,000
credentials takes more memory than the limit there. `--commit` writes the new numbers.

Under valgrind, a program sees a processor with AES-NI and AVX2 and without AVX-512, whatever the processor has. So the
numbers are the same on all x86_64 machines with AVX2. Another compiler or C library changes them a little.
"""

import argparse
import concurrent.futures
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).parents[2]
BOUNDS = pathlib.Path(__file__).with_name("counts.json")
# These run nothing of ours. `cargo bench` compares the envelope with them.
NOT_OURS = ("raw-", "cipher-")


def operations(program):
    """`{name: how often the operation runs}`"""
    lines = subprocess.run([program], check=True, capture_output=True, text=True).stdout.splitlines()
    pairs = (line.split() for line in lines)
    return {name: int(times) for name, times in pairs if not name.startswith(NOT_OURS)}


def instructions(program, name, times):
    """The instructions of one run."""
    return (of_process(program, name, 2 * times) - of_process(program, name, times)) // times


def of_process(program, name, times):
    """The instructions of a process that runs the operation so often."""
    with tempfile.NamedTemporaryFile() as out:
        command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out.name}", program, name, str(times)]
        run = subprocess.run(command, capture_output=True, text=True)
        total = re.search(r"^totals: (\d+)$", pathlib.Path(out.name).read_text(), re.M)
    if run.returncode or not total:
        sys.exit(f"{name}: callgrind counted nothing\n{run.stderr}")
    return int(total[1])


def peak_mb(program, name):
    """The largest memory of the program, which also holds the rows that DynamoDB has.

    Linux counts from before the program starts, when the process was a copy of this one. So the result is never less
    than the memory of Python.
    """
    process = subprocess.Popen([program, name])
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{name}: failed")
    return usage.ru_maxrss / 1024


def findings(program, counts, bounds):
    """What is over its bound."""
    slack = 1 + bounds["slack"]
    for name, count in counts.items():
        bound = bounds["instructions"].get(name)
        if bound is None:
            yield f"{name} has no bound in {BOUNDS.name}"
        elif count > bound * slack:
            yield f"{name} takes {count:,} instructions, {count / bound - 1:+.1%} to the {bound:,} of {BOUNDS.name}"
    for name in bounds["instructions"].keys() - operations(program).keys():
        yield f"{name} is in {BOUNDS.name}, and is no operation"
    for kind in ("list", "filter"):
        few, many = counts.get(f"{kind}-1000"), counts.get(f"{kind}-10000")
        if few and many and many > 10 * few * slack:
            yield f"{kind} is not linear: 10,000 credentials take {many / few:.1f} times the instructions of 1,000"
    if "list-10000" in counts:
        peak, limit = peak_mb(program, "list-10000"), bounds["peak_mb"]
        print(f"list-10000: {peak:.1f} MB at most")
        if peak > limit:
            yield f"list-10000 takes {peak:.1f} MB, more than {limit} MB"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("operation", nargs="*")
    parser.add_argument("--folder", type=pathlib.Path, default=ROOT / "target/lambda")
    parser.add_argument("--commit", action="store_true", help="write the numbers to counts.json")
    arguments = parser.parse_args()
    if not shutil.which("valgrind"):
        sys.exit("valgrind is not installed")
    program = arguments.folder / "micro/bootstrap"
    known = operations(program)
    if unknown := set(arguments.operation) - known.keys():
        sys.exit(f"no such operation: {', '.join(sorted(unknown))}")
    wanted = {name: times for name, times in known.items() if name in arguments.operation or not arguments.operation}
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        counts = dict(zip(wanted, pool.map(lambda name: instructions(program, name, wanted[name]), wanted)))

    bounds = json.loads(BOUNDS.read_text())
    for name, count in counts.items():
        bound = bounds["instructions"].get(name)
        print(f"{name:<20}{count:>14,}" + (f"{count / bound - 1:>+8.1%}" if bound else ""))
    if arguments.commit:
        kept = {name: count for name, count in bounds["instructions"].items() if name in known}
        bounds["instructions"] = kept | counts
        BOUNDS.write_text(json.dumps(bounds, indent=2) + "\n")
        return
    found = list(findings(program, counts, bounds))
    print("\n".join(found) or "instruction counts: ok")
    sys.exit(bool(found))


main()
