#!/usr/bin/env python3
"""Measures the start-up of each Lambda binary, and compares it with a function that does nothing.

    deploy/build.sh x86_64 functions && deploy/build.sh x86_64 empty
    python3 tests/measure/startup.py [--folder target/lambda] [--runs 20] [binary …]

This program plays Lambda's runtime API, and a DynamoDB, a KMS and a Zoom that answer immediately. Each run starts a
new process and sends the same event twice: the binary's own event in `events/`, about a credential that does not exist.
Each binary runs twice in a row, and only the second run counts, so that no binary depends on caches that another binary
filled. The program prints medians:

    zip     MB of the deployed archive
    init    ms of CPU until the process asks for its first event, without the opening of connections
    ×init   init, as a multiple of the empty function's
    start   ms of CPU until the process asks for its first event, with the opening of connections
    ×start  start, as a multiple of the empty function's
    cold    ms of CPU until the first answer
    first   ms from the first event to its answer
    warm    ms from the second event to its answer
    peak    MB of memory, at most

`--tls` serves DynamoDB and KMS over TLS, as AWS does.

    python3 tests/measure/startup.py --gate get-credential create-credential

also compares the results with `limits.json`. It fails if a result is over its limit, or if a zip grew by more than 5 %
over the size in that file. `--commit` writes the new sizes to the file.
"""

# assures 66
import argparse
import fcntl
import json
import os
import pathlib
import select
import statistics
import subprocess
import sys
import tempfile
import threading
import time

import emulator
from emulator import ROOT, cpu

LIMITS = pathlib.Path(__file__).with_name("limits.json")
BASELINE = "empty"
BINARIES = [path.stem for path in sorted((ROOT / "events").glob("*.json"))]
ID = "01890a5d-ac96-774b-bcce-b302099a8057"


def event(binary):
    """The event that API Gateway sends to the function. The empty function gets the event of list-credentials."""
    return emulator.event("list-credentials" if binary == BASELINE else binary, emulator.api_key(), ID)


def row(table, key):
    """Every API key exists, and no other row. No team has settings, so the defaults apply."""
    if table != "keys" or not key["record"]["S"].startswith("key#"):
        return None
    return {"permission": {"S": "full"}, "created_at": {"S": "2026-01-01T00:00:00.000Z"}} | key


def service_answer(head, body):
    """The answer of DynamoDB, KMS or Zoom: just enough for each handler to complete."""
    table, request = emulator.table_in(body)
    match emulator.operation(head), table:
        case "GetItem", _:
            found = row(table, request["Key"])
            return {"Item": found} if found else {}
        case "BatchGetItem", _:
            return emulator.batch(request, row)
        case "UpdateItem", "requests":
            return emulator.counted(request)
        case "Query", _:
            return {"Items": [], "Count": 0, "ScannedCount": 0}
        case "GenerateDataKey", _:
            return {"Plaintext": 43 * "A" + "=", "CiphertextBlob": "AAAA", "KeyId": "arn:aws:kms:us-east-1:1:key/1"}
    return {}


class BlockingOutput:
    """A standard output that accepts one line at a time. A process that logs blocks there: its CPU time can be read."""

    def __init__(self):
        # A pipe in packet mode with room for one packet. The first packet fills it, so the next write blocks.
        self.reader, self.writer = os.pipe2(os.O_DIRECT)
        fcntl.fcntl(self.writer, fcntl.F_SETPIPE_SZ, 1)
        os.write(self.writer, b"-")

    def accept_line(self, process):
        """Waits until the process blocks on its next line, then accepts that line.

        Returns the process's ms of CPU until then, and the line before.
        """
        deadline = time.monotonic() + 30
        select.select([self.reader], [], [])  # the pipe holds the line before
        while "pipe" not in pathlib.Path(f"/proc/{process.pid}/wchan").read_text():
            if process.poll() is not None or time.monotonic() > deadline:
                sys.exit("the process does not log that it opens connections")
            time.sleep(0.0002)
        return cpu(process), os.read(self.reader, 4096)

    def accept_all(self):
        """Accepts all further lines."""
        os.close(self.writer)
        threading.Thread(target=self.drain, daemon=True).start()

    def drain(self):
        while os.read(self.reader, 4096):
            pass
        os.close(self.reader)


def opening_of_connections(process, output):
    """ms of CPU to open connections: the time between the two lines that the process logs about it."""
    start, _ = output.accept_line(process)
    end, line = output.accept_line(process)
    if b"opening connections" not in line:
        sys.exit(f"the process logs another line before it opens connections: {line}")
    return end - start


def run(folder, binary, services):
    """Runs one process until it asks for a third event. Returns the figures by name."""
    figures, started, ended, payload = {}, threading.Event(), threading.Event(), event(binary)

    def runtime(head, body):
        started.wait()
        if head.startswith("GET"):
            figures.setdefault("start", cpu(process))
            if "warm" in figures:
                ended.set()
                threading.Event().wait()
            # Start the clock after reading the CPU time, just before the event leaves.
            figures["sent"] = time.perf_counter()
            return emulator.event_headers(), payload
        took = (time.perf_counter() - figures["sent"]) * 1000
        if "/response" not in head:
            figures["failure"] = body.decode()
            ended.set()
            return {}, b""
        figures["warm" if "first" in figures else "first"] = took
        figures.setdefault("cold", cpu(process))
        figures.setdefault("status", json.loads(body)["statusCode"])
        return {}, b""

    lambda_api = emulator.Server(runtime)
    output = BlockingOutput()
    # The two lines about connections have the level DEBUG.
    variables = emulator.environment(binary, lambda_api.address, services, "DEBUG")
    process = subprocess.Popen([folder / binary / "bootstrap"], env=variables, stdout=output.writer)
    opening = 0 if binary == BASELINE else opening_of_connections(process, output)
    output.accept_all()
    started.set()
    if not ended.wait(30) or "failure" in figures:
        sys.exit(f"{binary}: {figures.get('failure', 'no answer in 30 s')}")
    figures["init"] = figures["start"] - opening
    figures["peak"] = emulator.peak(process)
    process.kill()
    process.wait()
    lambda_api.close()
    return figures


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("binaries", nargs="*", default=BINARIES, metavar="binary",
                           help="the binary to measure; default: each binary with an event in events/")
    arguments.add_argument("--folder", type=pathlib.Path, default=ROOT / "target/lambda")
    arguments.add_argument("--runs", type=int, default=20)
    arguments.add_argument("--tls", action="store_true")
    arguments.add_argument("--gate", action="store_true")
    arguments.add_argument("--commit", action="store_true")
    given = arguments.parse_args()
    binaries = [BASELINE, *given.binaries]
    runs_of = {binary: [] for binary in binaries}
    with tempfile.TemporaryDirectory() as folder:
        services = emulator.services_behind(service_answer, given.tls, pathlib.Path(folder))
        for _ in range(given.runs):
            for binary in binaries:
                run(given.folder, binary, services)
                runs_of[binary].append(run(given.folder, binary, services))

    limits, missed = json.loads(LIMITS.read_text()), []
    columns = ["zip", "init", "×init", "start", "×start", "cold", "first", "warm", "peak"]
    print(f"{'':18}  status " + " ".join(f"{column:>7}" for column in columns))
    for binary in binaries:
        size = emulator.zipped({"bootstrap": (given.folder / binary / "bootstrap").read_bytes()})
        figures = {name: statistics.median(result[name] for result in runs_of[binary])
                   for name in ("init", "start", "cold", "first", "warm", "peak")}
        if binary == BASELINE:
            baseline = figures["start"]
        figures |= {"zip": size / 1e6, "×init": figures["init"] / baseline, "×start": figures["start"] / baseline}
        status = runs_of[binary][0]["status"]
        print(f"{binary:18} {status:7} " + " ".join(f"{figures[column]:7.2f}" for column in columns))
        if binary == BASELINE:
            continue
        bounds = limits["bounds"]["light" if binary in limits["light"] else "others"]
        for name, bound in bounds.items():
            if figures[name] > bound:
                missed.append(f"{binary}: {name} is {figures[name]:.2f}, over the limit of {bound}")
        if given.commit:
            limits["zips"][binary] = size
        committed = limits["zips"].get(binary, 0)
        if size > committed * 1.05:
            missed.append(f"{binary}: the zip grew from {committed} to {size} bytes. To accept this, run with --commit")
    if given.commit:
        LIMITS.write_text(json.dumps(limits, indent=2, ensure_ascii=False) + "\n")
    if missed and given.gate:
        sys.exit("\n".join(missed))


if __name__ == "__main__":
    main()
