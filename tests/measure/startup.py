#!/usr/bin/env python3
"""What each Lambda binary costs: its size, the CPU it uses up to its first request for work, and its peak memory.

    python3 tests/measure/startup.py [folder of binaries, default target/release] [runs, default 20]

A Lambda asks its runtime API for work (`GET …/invocation/next`) once it is ready. This plays that API, and at the
first request reads the process's CPU time and peak memory from /proc, then kills it. Medians over the runs.
"""

import gzip
import http.server
import os
import pathlib
import statistics
import subprocess
import sys
import threading

BINARIES = [path.stem for path in sorted(pathlib.Path("functions/src/bin").glob("*.rs"))]


class RuntimeApi(http.server.BaseHTTPRequestHandler):
    """Answers nothing: the first request is the event that is waited for."""

    def do_GET(self):
        self.server.ready.set()
        self.server.measured.wait()

    def log_message(self, *args):
        pass


def run(binary):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), RuntimeApi)
    server.ready, server.measured = threading.Event(), threading.Event()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    environment = {
        "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{server.server_port}",
        "AWS_LAMBDA_FUNCTION_NAME": binary.name,
        "AWS_LAMBDA_FUNCTION_VERSION": "1",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256",
        "AWS_LAMBDA_LOG_GROUP_NAME": "group",
        "AWS_LAMBDA_LOG_STREAM_NAME": "stream",
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "measured",
        "AWS_SECRET_ACCESS_KEY": "measured",
        "ENVELOPE_KEY_ID": "measured",
    } | {f"{table}_TABLE": table.lower() for table in ("CREDENTIALS", "SECRETS", "KEYS", "REQUESTS")}
    process = subprocess.Popen([binary], env=environment)
    if not server.ready.wait(10):
        sys.exit(f"{binary.name} never asked for work")
    # Fields 14 and 15 of stat count in ticks of 10 ms; schedstat counts nanoseconds, over all threads.
    tasks = pathlib.Path(f"/proc/{process.pid}/task")
    cpu = sum(int((task / "schedstat").read_text().split()[0]) for task in tasks.iterdir())
    status = pathlib.Path(f"/proc/{process.pid}/status").read_text()
    peak = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
    process.kill()
    process.wait()
    server.measured.set()
    server.shutdown()
    return cpu / 1e6, peak / 1024


def main():
    folder = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "target/release")
    runs = int(sys.argv[2]) if len(sys.argv) > 2 else 20
    print(f"{'binary':20} {'size MB':>8} {'gzip MB':>8} {'CPU ms':>8} {'peak MB':>8}")
    for name in BINARIES:
        binary = folder / name
        measured = [run(binary) for _ in range(runs)]
        cpu, peak = (statistics.median(column) for column in zip(*measured))
        size, packed = os.path.getsize(binary), len(gzip.compress(binary.read_bytes()))
        print(f"{name:20} {size / 1e6:8.2f} {packed / 1e6:8.2f} {cpu:8.2f} {peak:8.1f}")


main()
