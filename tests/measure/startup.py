#!/usr/bin/env python3
"""What each Lambda binary costs, next to the empty function that is their floor.

    cargo build --release -p functions -p empty
    python3 tests/measure/startup.py [--folder target/release] [--runs 20] [binary …]

This plays Lambda's runtime API, and the services behind: a DynamoDB, a KMS and a Zoom that answer at once. Each run
starts a binary anew and hands it the same event twice: its own of `events/`, about a credential that does not
exist. The binaries take turns of two runs, of which the second counts: none is weighed on caches that another has
filled. What is printed are medians:

    zip     MB of the archive that is deployed
    init    ms of CPU until it asks for its first event, but for its opening of connections
    ×init   that, as a multiple of the empty function's
    start   ms of CPU until it asks for its first event, the opening of connections included
    ×start  that, as a multiple of the empty function's
    cold    ms of CPU until its first answer
    first   ms from the first event to its answer
    warm    ms from the second event to its answer
    peak    MB of memory, at most

`--tls` puts DynamoDB and KMS behind TLS, as AWS has them.

    python3 tests/measure/startup.py --gate get-credential create-credential

also holds the figures against `limits.json`, and fails on what is over its bound and on a zip that grew by more
than 5 % since its size was written there. `--commit` writes the sizes.
"""

import argparse
import fcntl
import io
import json
import os
import pathlib
import re
import select
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
import zlib

ROOT = pathlib.Path(__file__).parents[2]
LIMITS = pathlib.Path(__file__).with_name("limits.json")
FLOOR = "empty"
BINARIES = [path.stem for path in sorted((ROOT / "events").glob("*.json"))]
TABLES = ["CREDENTIALS", "SECRETS", "KEYS", "REQUESTS", "EVENTS", "TOKEN_URLS"]
AWS = ["AWS_ENDPOINT_URL_DYNAMODB", "AWS_ENDPOINT_URL_KMS"]
ZOOM = ["ZOOM_OAUTH_BASE_URL", "ZOOM_API_BASE_URL"]
ID = "01890a5d-ac96-774b-bcce-b302099a8057"


def api_key():
    """A well-formed key: its checksum is a CRC-32 in base 62."""
    digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
    text = "zcv_measured_" + 43 * "A"
    rest, checksum = zlib.crc32(text.encode()), ""
    for _ in range(6):
        rest, digit = divmod(rest, 62)
        checksum = digits[digit] + checksum
    return text + checksum


def event(binary):
    """What API Gateway hands the function; the empty one gets what lists get."""
    name = "list-credentials" if binary == FLOOR else binary
    text = (ROOT / f"events/{name}.json").read_text()
    return text.replace("API_KEY", api_key()).replace("CREDENTIAL_ID", ID).encode()


def service_answer(head, body):
    """What DynamoDB, KMS or Zoom would say: enough for each handler to reach its end."""
    target = re.search(r"x-amz-target: \S+\.(\w+)", head, re.I)
    table = json.loads(body or "{}").get("TableName")
    match target and target[1], table:
        case "GetItem", "keys":
            # Any key is known. A team's settings are not, and so are left at their defaults.
            row = json.loads(body)["Key"] | {"permission": {"S": "full"}, "created_at": {"S": "2026-01-01T00:00:00.000Z"}}
            return {"Item": row} if row["record"]["S"].startswith("key#") else {}
        case "UpdateItem", "requests":
            return {"Attributes": {"hits": {"N": "1"}}}
        case "Query", _:
            return {"Items": [], "Count": 0, "ScannedCount": 0}
        case "GenerateDataKey", _:
            return {"Plaintext": 43 * "A" + "=", "CiphertextBlob": "AAAA", "KeyId": "arn:aws:kms:us-east-1:1:key/1"}
    return {}


class Server:
    """HTTP/1 as plain as it gets, to be a small part of what is timed. A thread for each connection."""

    def __init__(self, answer, tls=None):
        self.answer, self.tls = answer, tls
        self.socket = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.address = "127.0.0.1:%d" % self.socket.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        try:
            if self.tls:
                connection = self.tls.wrap_socket(connection, server_side=True)
            with connection, connection.makefile("rb") as stream:
                while line := stream.readline():
                    head = line.decode()
                    while (line := stream.readline()) not in (b"\r\n", b""):
                        head += line.decode()
                    length = re.search(r"content-length: (\d+)", head, re.I)
                    body = stream.read(int(length[1]) if length else 0)
                    headers, body = self.answer(head, body)
                    headers |= {"content-length": len(body)}
                    said = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
                    sent = b"" if head.startswith("HEAD") else body
                    connection.sendall(f"HTTP/1.1 200 OK\r\n{said}\r\n".encode() + sent)
        except OSError:
            pass  # the process was killed

    def close(self):
        # Wakes accept, which close alone would not.
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()


def services_behind(tls, folder):
    """Starts the services; the environment that leads to them."""
    def answer(head, body):
        return {"content-type": "application/x-amz-json-1.0"}, json.dumps(service_answer(head, body)).encode()

    endpoints = dict.fromkeys(AWS + ZOOM, f"http://{Server(answer).address}")
    if tls:
        certificate, context = tls_for(folder)
        endpoints |= dict.fromkeys(AWS, f"https://{Server(answer, context).address}")
        endpoints |= {"AWS_TRUST_NATIVE_ROOTS": "1", "SSL_CERT_FILE": certificate}
    return endpoints


def tls_for(folder):
    """A certificate of 127.0.0.1, and a server's side of TLS with it."""
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    subprocess.run(["openssl", "req", "-x509", "-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                    "-subj", "/CN=measured", "-addext", "subjectAltName=IP:127.0.0.1",
                    "-addext", "basicConstraints=critical,CA:FALSE", "-keyout", key, "-out", certificate],
                   check=True, capture_output=True)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    return certificate, tls


def cpu(process):
    """ms over all threads, from schedstat's nanoseconds: stat counts in ticks of 10 ms."""
    tasks = pathlib.Path(f"/proc/{process.pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e6


class Turnstile:
    """A standard output that lets one line in at a time: whoever logs waits there, and can be weighed."""

    def __init__(self):
        # As packets, and with room for one, which is there already.
        self.reader, self.writer = os.pipe2(os.O_DIRECT)
        fcntl.fcntl(self.writer, fcntl.F_SETPIPE_SZ, 1)
        os.write(self.writer, b"-")

    def line(self, process):
        """Waits for a process to log a line, and lets it in: its ms of CPU until then, and the line before."""
        deadline = time.monotonic() + 30
        select.select([self.reader], [], [])  # the line before is in, so what follows is not about that one
        while "pipe" not in pathlib.Path(f"/proc/{process.pid}/wchan").read_text():
            if process.poll() is not None or time.monotonic() > deadline:
                sys.exit("it does not say that it opens connections")
            time.sleep(0.0002)
        return cpu(process), os.read(self.reader, 4096)

    def open(self):
        """Lets every line in from here on."""
        os.close(self.writer)
        threading.Thread(target=self.drain, daemon=True).start()

    def drain(self):
        while os.read(self.reader, 4096):
            pass
        os.close(self.reader)


def opening_of_connections(process, output):
    """ms of CPU that it takes, between the two lines that are logged about it."""
    began, _ = output.line(process)
    ended, line = output.line(process)
    if b"opening connections" not in line:
        sys.exit(f"it logs other lines: {line}")
    return ended - began


def run(folder, binary, services):
    """One life of a Lambda, up to its asking for a third event: its figures by name."""
    figures, started, ended, payload = {}, threading.Event(), threading.Event(), event(binary)

    def runtime(head, body):
        started.wait()
        if head.startswith("GET"):
            figures.setdefault("start", cpu(process))
            if "warm" in figures:
                ended.set()
                threading.Event().wait()
            # The clock starts when the event leaves, not when the figures are taken.
            figures["sent"] = time.perf_counter()
            headers = {"lambda-runtime-aws-request-id": "1", "lambda-runtime-invoked-function-arn": "arn",
                       "lambda-runtime-deadline-ms": int(time.time() * 1000) + 29_000}
            return headers, payload
        took = (time.perf_counter() - figures["sent"]) * 1000
        if "/response" not in head:
            figures["failure"] = body.decode()
            ended.set()
            return {}, b""
        figures["warm" if "first" in figures else "first"] = took
        figures.setdefault("cold", cpu(process))
        figures.setdefault("status", json.loads(body)["statusCode"])
        return {}, b""

    lambda_api = Server(runtime)
    environment = {
        "AWS_LAMBDA_RUNTIME_API": lambda_api.address,
        "AWS_LAMBDA_FUNCTION_NAME": binary,
        "AWS_LAMBDA_FUNCTION_VERSION": "1",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256",
        "AWS_LAMBDA_LOG_LEVEL": "DEBUG",  # at which the opening of connections is logged
        "AWS_LAMBDA_LOG_GROUP_NAME": "group",
        "AWS_LAMBDA_LOG_STREAM_NAME": "stream",
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "measured",
        "AWS_SECRET_ACCESS_KEY": "measured",
        "ENVELOPE_KEY_ID": "measured",
    } | {f"{table}_TABLE": table.lower() for table in TABLES} | services
    output = Turnstile()
    process = subprocess.Popen([folder / binary], env=environment, stdout=output.writer)
    opening = 0 if binary == FLOOR else opening_of_connections(process, output)
    output.open()
    started.set()
    if not ended.wait(30) or "failure" in figures:
        sys.exit(f"{binary}: {figures.get('failure', 'no answer in 30 s')}")
    figures["init"] = figures["start"] - opening
    status = pathlib.Path(f"/proc/{process.pid}/status").read_text()
    figures["peak"] = int(re.search(r"VmHWM:\s+(\d+)", status)[1]) / 1024
    process.kill()
    process.wait()
    lambda_api.close()
    return figures


def zipped(binary):
    """Bytes of the archive that deploys it, as `sam package` makes them: one file, deflated."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("bootstrap", binary.read_bytes())
    return len(archive.getvalue())


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("binaries", nargs="*", default=BINARIES, metavar="binary",
                           help="whose start to measure; otherwise that of each that has an event in events/")
    arguments.add_argument("--folder", type=pathlib.Path, default=ROOT / "target/release")
    arguments.add_argument("--runs", type=int, default=20)
    arguments.add_argument("--tls", action="store_true")
    arguments.add_argument("--gate", action="store_true")
    arguments.add_argument("--commit", action="store_true")
    given = arguments.parse_args()
    binaries = [FLOOR, *given.binaries]
    lives = {binary: [] for binary in binaries}
    with tempfile.TemporaryDirectory() as folder:
        services = services_behind(given.tls, pathlib.Path(folder))
        for _ in range(given.runs):
            for binary in binaries:
                run(given.folder, binary, services)
                lives[binary].append(run(given.folder, binary, services))

    limits, missed = json.loads(LIMITS.read_text()), []
    columns = ["zip", "init", "×init", "start", "×start", "cold", "first", "warm", "peak"]
    print(f"{'':18}  status " + " ".join(f"{column:>7}" for column in columns))
    for binary in binaries:
        size = zipped(given.folder / binary)
        figures = {name: statistics.median(life[name] for life in lives[binary])
                   for name in ("init", "start", "cold", "first", "warm", "peak")}
        if binary == FLOOR:
            floor = figures["start"]
        figures |= {"zip": size / 1e6, "×init": figures["init"] / floor, "×start": figures["start"] / floor}
        status = lives[binary][0]["status"]
        print(f"{binary:18} {status:7} " + " ".join(f"{figures[column]:7.2f}" for column in columns))
        if binary == FLOOR:
            continue
        bounds = limits["bounds"]["light" if binary in limits["light"] else "others"]
        for name, bound in bounds.items():
            if figures[name] > bound:
                missed.append(f"{binary}: {name} is {figures[name]:.2f}, over {bound}")
        if given.commit:
            limits["zips"][binary] = size
        committed = limits["zips"].get(binary, 0)
        if size > committed * 1.05:
            missed.append(f"{binary}: the zip grew from {committed} to {size} bytes. Where that is worth it: --commit")
    if given.commit:
        LIMITS.write_text(json.dumps(limits, indent=2, ensure_ascii=False) + "\n")
    if missed and given.gate:
        sys.exit("\n".join(missed))


if __name__ == "__main__":
    main()
