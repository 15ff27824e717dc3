"""Finds out how many calls a second the local stack answers, with more and more connections.

The client is one process with one thread. It sends a call on each connection as soon as the last answer is there. It
measures the CPU time of all parts, so that the report shows which part is the limit.
"""

import json
import multiprocessing
import os
import pathlib
import selectors
import shutil
import socket
import tempfile
import time
import urllib.request

from stack import APP, SECRET, Process, vault

CONNECTIONS = (1, 2, 4, 8, 16, 32, 64)
STEP_SECONDS, WARM_SECONDS = 6, 1
# Two steps that bring less than this end the search.
MIN_GAIN = 1.03
CREDENTIALS = 200
KEY_HEADER = "x-meeting-baas-api-key"


def post(url, body, headers=None):
    headers = {"content-type": "application/json"} | (headers or {})
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=60) as answer:
        text = answer.read()
        return json.loads(text) if text else None


def message(method, path, port, key, body=None):
    data = json.dumps(body).encode() if body else b""
    lines = [f"{method} {path} HTTP/1.1", f"host: 127.0.0.1:{port}", f"{KEY_HEADER}: {key}"]
    lines += [f"content-length: {len(data)}"]
    lines += ["content-type: application/json"] if data else []
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + data


def percentile(times, share):
    return sorted(times)[min(len(times) - 1, int(len(times) * share))] if times else 0.0


def client(port, messages, connections, results):
    """Calls for STEP_SECONDS after WARM_SECONDS. Reports the answers in that time, and the CPU time of this process."""
    selector, turn = selectors.DefaultSelector(), 0
    started, got = {}, {}
    for _ in range(connections):
        it = socket.create_connection(("127.0.0.1", port))
        it.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        selector.register(it, selectors.EVENT_READ)
        it.sendall(messages[turn % len(messages)])
        started[it], got[it], turn = time.perf_counter(), b"", turn + 1
    begin = time.perf_counter() + WARM_SECONDS
    end, cpu, times, failed = begin + STEP_SECONDS, None, [], 0
    while (now := time.perf_counter()) < end:
        if cpu is None and now >= begin:
            cpu = time.process_time()
        for event, _ in selector.select(0.1):
            it = event.fileobj
            got[it] += it.recv(1 << 16)
            head, split, body = got[it].partition(b"\r\n\r\n")
            if not split or len(body) < int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0]):
                continue
            now = time.perf_counter()
            if now >= begin:
                times.append(now - started[it])
                failed += not head.startswith(b"HTTP/1.1 200 ")
            it.sendall(messages[turn % len(messages)])
            started[it], got[it], turn = time.perf_counter(), b"", turn + 1
    results.put((times, failed, time.process_time() - cpu))


def step(port, messages, connections, parts):
    results = multiprocessing.Queue()
    process = multiprocessing.Process(target=client, args=(port, messages, connections, results))
    process.start()
    time.sleep(WARM_SECONDS)
    before = {name: part.cpu() for name, part in parts.items()}
    time.sleep(STEP_SECONDS)
    used = {name: part.cpu() - before[name] for name, part in parts.items()}
    times, failed, cpu = results.get(timeout=60)
    process.join()
    calls = max(1, len(times))
    return {
        "connections": connections, "per_second": len(times) / STEP_SECONDS, "failed": failed,
        "p50_ms": percentile(times, 0.5) * 1000, "p99_ms": percentile(times, 0.99) * 1000,
        "client_cpu": cpu / STEP_SECONDS, "vault_ms": used["vault"] / calls * 1000,
        "services_ms": used["services"] / calls * 1000,
    }


def search(port, messages, parts):
    steps = []
    for connections in CONNECTIONS:
        steps.append(step(port, messages, connections, parts))
        line = "  {connections:3} connections: {per_second:7.0f}/s, p50 {p50_ms:.1f} ms, p99 {p99_ms:.1f} ms"
        print(line.format(**steps[-1]), flush=True)
        rates = [it["per_second"] for it in steps]
        if len(steps) > 3 and max(rates[-2:]) < MIN_GAIN * max(rates[:-2]):
            break
    return steps


def measure(options):
    # The database syncs each write to its disk. In memory, the disk is not what is measured.
    shared = pathlib.Path("/dev/shm")
    work = pathlib.Path(tempfile.mkdtemp(dir=shared if shared.is_dir() else None))
    services = Process(options.local, work / "services").start()
    target = vault(options.local, work / "vault", services)
    try:
        target.start()
        key = (services.data / "api-key").read_text().strip()
        zoom, ids = services.env()["ZOOM_OAUTH_BASE_URL"], []
        for number in range(CREDENTIALS):
            user = f"user-{number}"
            post(f"{zoom}/sandbox/users", {"id": user, "account_id": "load", "email": f"{user}@load.example"})
            code = post(f"{zoom}/sandbox/codes", {**APP, "user_id": user})["code"]
            body = {**APP, "name": user, "client_secret": SECRET, "authorization_code": code}
            created = post(f"{target.api}/v2/zoom-credentials", body, {KEY_HEADER: key})
            ids.append(created["data"]["credential_id"])
        parts = {"vault": target, "services": services}
        gets = [message("GET", f"/v2/zoom-credentials/{it}", target.port, key) for it in ids]
        wanted = [{"credential_id": it, "type": "onbehalf"} for it in ids]
        mints = [message("POST", "/v2/zoom-tokens", target.port, key, it) for it in wanted]
        print("saturation: get", flush=True)
        result = {"program": os.path.relpath(options.local), "get": search(target.port, gets, parts)}
        print("saturation: mint", flush=True)
        result["mint"] = search(target.port, mints, parts)
        return result
    finally:
        target.stop()
        services.stop()
        shutil.rmtree(work)
