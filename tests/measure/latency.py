#!/usr/bin/env python3
"""Measures how long the running local stack takes to answer.

    cargo run --release &
    python3 tests/measure/latency.py [data directory, default .local] [requests, default 2000] [base URL]

Creates a credential, reads it many times over one connection, and deletes it.
"""

import http.client
import json
import pathlib
import statistics
import sys
import time
import urllib.parse

data_dir = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ".local")
requests = int(sys.argv[2]) if len(sys.argv) > 2 else 2000
base = urllib.parse.urlparse(sys.argv[3] if len(sys.argv) > 3 else "http://127.0.0.1:3000")
headers = {"x-meeting-baas-api-key": (data_dir / "api-key").read_text().strip(), "content-type": "application/json"}
connection = http.client.HTTPConnection(base.hostname, base.port)


def call(method, path, body=None):
    start = time.perf_counter()
    connection.request(method, path, body and json.dumps(body), headers)
    response = connection.getresponse()
    text = response.read()
    if response.status >= 300:
        sys.exit(f"{method} {path} failed: {response.status} {text.decode()}")
    return (time.perf_counter() - start) * 1000, json.loads(text)


body = {"name": "measured", "client_id": "measured", "client_secret": "measured"}
_, created = call("POST", "/v2/zoom-credentials", body)
path = f"/v2/zoom-credentials/{created['data']['credential_id']}"
times = sorted(call("GET", path)[0] for _ in range(requests))
call("DELETE", path)
p50, p99 = statistics.median(times), times[int(len(times) * 0.99)]
print(f"GET: {requests} requests, p50 {p50:.2f} ms, p99 {p99:.2f} ms")
