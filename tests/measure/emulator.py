"""Plays Lambda's runtime API and the services behind a function, and reads what a process used.

`startup.py` and `benches/peers/run.py` import this module.
"""

import io
import json
import pathlib
import re
import socket
import ssl
import subprocess
import threading
import time
import zipfile
import zlib

TABLES = ["CREDENTIALS", "PAIRS", "SECRETS", "KEYS", "REQUESTS", "EVENTS", "TOKEN_URLS"]
AWS = ["AWS_ENDPOINT_URL_DYNAMODB", "AWS_ENDPOINT_URL_KMS"]
ZOOM = ["ZOOM_OAUTH_BASE_URL", "ZOOM_API_BASE_URL"]
ROOT = pathlib.Path(__file__).parents[2]


def api_key():
    """A well-formed API key. Its checksum is a CRC-32 in base 62."""
    digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
    text = "zcv_measured_" + 43 * "A"
    rest, checksum = zlib.crc32(text.encode()), ""
    for _ in range(6):
        rest, digit = divmod(rest, 62)
        checksum = digits[digit] + checksum
    return text + checksum


def event(name, key, credential):
    """The event in `events/` that API Gateway sends to the function, with this API key, about this credential."""
    text = (ROOT / f"events/{name}.json").read_text()
    return text.replace("API_KEY", key).replace("CREDENTIAL_ID", credential).encode()


def event_headers():
    """The headers with which Lambda sends an event."""
    return {"content-type": "application/json",
            "lambda-runtime-aws-request-id": "1", "lambda-runtime-invoked-function-arn": "arn",
            "lambda-runtime-deadline-ms": int(time.time() * 1000) + 29_000}


class Server:
    """A minimal HTTP/1 server with one thread per connection. It adds little to the measured times."""

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
                    body = stream.read(int(length[1])) if length else b""
                    if re.search(r"transfer-encoding: chunked", head, re.I):
                        body = b"".join(chunks(stream))
                    headers, body = self.answer(head, body)
                    headers |= {"content-length": len(body)}
                    header_lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
                    sent = b"" if head.startswith("HEAD") else body
                    connection.sendall(f"HTTP/1.1 200 OK\r\n{header_lines}\r\n".encode() + sent)
        except OSError:
            pass  # the measured process was killed

    def close(self):
        # close alone would not wake the thread in accept.
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()


def chunks(stream):
    """The parts of a body in chunks."""
    while size := int(stream.readline().split(b";")[0], 16):
        yield stream.read(size)
        stream.readline()
    stream.readline()


def services_behind(service_answer, tls, folder):
    """Starts the services. Returns the environment variables with their endpoints.

    `service_answer(head, body)` returns the JSON that DynamoDB, KMS or Zoom answers. With `tls`, DynamoDB and KMS use
    TLS, as AWS does. Each program of each language then trusts the certificate by the last three variables.
    """
    def answer(head, body):
        return {"content-type": "application/x-amz-json-1.0"}, json.dumps(service_answer(head, body)).encode()

    endpoints = dict.fromkeys(AWS + ZOOM, f"http://{Server(answer).address}")
    if tls:
        certificate, context = tls_for(folder)
        endpoints |= dict.fromkeys(AWS, f"https://{Server(answer, context).address}")
        endpoints |= {"AWS_TRUST_NATIVE_ROOTS": "1"}
        endpoints |= dict.fromkeys(["SSL_CERT_FILE", "AWS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS"], certificate)
    return endpoints


def tls_for(folder):
    """Creates a certificate for 127.0.0.1. Returns its path and a TLS context for a server."""
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    subprocess.run(["openssl", "req", "-x509", "-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                    "-subj", "/CN=measured", "-addext", "subjectAltName=IP:127.0.0.1",
                    "-addext", "basicConstraints=critical,CA:FALSE", "-keyout", key, "-out", certificate],
                   check=True, capture_output=True)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    return certificate, tls


def batch(request, row):
    """The answer to a BatchGetItem, where `row(table, key)` is a row or None."""
    tables = request["RequestItems"].items()
    found = {table: [row(table, key) for key in wanted["Keys"]] for table, wanted in tables}
    return {"Responses": {table: [it for it in rows if it] for table, rows in found.items()}, "UnprocessedKeys": {}}


def table_in(body):
    """The table that a request to DynamoDB names, and the request."""
    request = json.loads(body or "{}")
    return request.get("TableName"), request


def operation(head):
    """The operation that a request to DynamoDB or KMS names. `None` for a request to Zoom."""
    target = re.search(r"x-amz-target: \S+\.(\w+)", head, re.I)
    return target and target[1]


def counted(request):
    """The answer to an update of a rate's row: the counters of the team and of the key."""
    counters = ["hits", *request.get("ExpressionAttributeNames", {}).values()]
    return {"Attributes": dict.fromkeys(counters, {"N": "1"})}


def environment(name, lambda_api, services, log_level):
    """The environment variables of a function: those of Lambda and those of the template."""
    return {
        "AWS_LAMBDA_RUNTIME_API": lambda_api,
        "AWS_LAMBDA_FUNCTION_NAME": name,
        "AWS_LAMBDA_FUNCTION_VERSION": "1",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256",
        "AWS_LAMBDA_LOG_LEVEL": log_level,
        "AWS_LAMBDA_LOG_GROUP_NAME": "group",
        "AWS_LAMBDA_LOG_STREAM_NAME": "stream",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "measured",
        "AWS_SECRET_ACCESS_KEY": "measured",
        "ENVELOPE_KEY_ID": "measured",
    } | {f"{table}_TABLE": table.lower() for table in TABLES} | services


def cpu(process):
    """ms of CPU of all threads. Reads schedstat, which counts nanoseconds: stat counts ticks of 10 ms."""
    tasks = pathlib.Path(f"/proc/{process.pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e6


def peak(process):
    """MB of memory that the process had at most."""
    status = pathlib.Path(f"/proc/{process.pid}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+)", status)[1]) / 1024


def zipped(files):
    """Bytes of the deployed archive of these files: `{path in the archive: content}`. It is deflated, as an archive of
    `sam package`."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        for path, content in files.items():
            file.writestr(path, content)
    return len(archive.getvalue())
