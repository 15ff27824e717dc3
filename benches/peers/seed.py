"""The rows that every program reads. A real vault makes them: the program `local`, whose database they are read from.

The vault's own format of a secret stays the vault's. So the other programs get one row of a simple format for the same
credential: `sealed` is the nonce, the ciphertext and the tag of AES-256-GCM, under a data key that KMS has wrapped.
"""

import base64
import contextlib
import json
import os
import pathlib
import re
import secrets
import subprocess
import sys
import time
import urllib.request

sys.path[:0] = [str(pathlib.Path(__file__).parents[2] / "tests" / folder) for folder in ("measure", "golden")]
import decode
from emulator import batch, counted, operation, table_in

# The attributes of each table's key.
KEYS = {"keys": ("team_id", "record"), "credentials": ("team_id", "credential_id"), "secrets": ("secret_id",)}


def base64_of(data):
    return base64.b64encode(data).decode()


def ask(url, body, headers):
    """Sends a JSON body. Returns the JSON of the answer."""
    request = urllib.request.Request(url, json.dumps(body).encode(), {"content-type": "application/json"} | headers)
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


class Vault:
    """A running program `local`."""

    def __init__(self, binary, folder):
        self.folder, self.log = folder / "vault", folder / "vault.log"
        command = [binary, "--port", "0", "--data-dir", self.folder]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        self.variables = self.started()

    def started(self):
        """Waits for the file with the addresses. Returns its variables."""
        for _ in range(300):
            with contextlib.suppress(FileNotFoundError):
                lines = (self.folder / "env").read_text().splitlines()
                if variables := dict(line.split("=", 1) for line in lines if line and line[0] != "#"):
                    return variables
            time.sleep(0.1)
        sys.exit(f"the local stack does not start: {self.log.read_text()}")

    def create(self):
        """Creates a user credential. Returns the API's answer about it, and the API key."""
        key = (self.folder / "api-key").read_text().strip()
        app = {"client_id": "sandbox-app", "redirect_uri": "http://localhost:3000/callback"}
        consent = app | {"user_id": "ada-sandbox-user"}
        code = ask(self.variables["ZOOM_OAUTH_BASE_URL"] + "/sandbox/codes", consent, {})["code"]
        body = app | {"name": "Ada", "client_secret": "sandbox-secret", "authorization_code": code,
                      "extra": {"tenant": "acme", "bot": "note taker"}}
        url = self.variables["API_URL"] + "/v2/zoom-credentials"
        return ask(url, body, {"x-meeting-baas-api-key": key})["data"], key

    def aws(self, service, target, body):
        """Calls the stack's DynamoDB or KMS. They check the access key and the headers, and no signature."""
        scope = f"{self.variables['AWS_ACCESS_KEY_ID']}/20260101/us-east-1/{service.lower()}/aws4_request"
        headers = {"x-amz-target": target, "content-type": "application/x-amz-json-1.0",
                   "x-amz-date": "20260101T000000Z",
                   "authorization": f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host;x-amz-date, Signature=0"}
        return ask(self.variables[f"AWS_ENDPOINT_URL_{service}"], body, headers)

    def scan(self, table):
        return self.aws("DYNAMODB", "DynamoDB_20120810.Scan", {"TableName": table})["Items"]

    def stop(self):
        self.process.terminate()
        self.process.wait()


class Services:
    """The answers of DynamoDB, KMS and Zoom, from the rows of a vault."""

    def __init__(self, vault):
        self.vault = vault
        self.credential, self.api_key = vault.create()
        self.rows = {}
        for table in KEYS:
            for row in vault.scan(table):
                self.add(table, row)
        self.data_keys = {}
        self.zoom_token, self.access_token = secrets.token_urlsafe(64), secrets.token_urlsafe(64)
        self.bearers, self.unexpected = set(), []
        self.seal()

    def add(self, table, row):
        self.rows[table, self.identity({name: row[name] for name in KEYS[table]})] = row

    @staticmethod
    def identity(key):
        return json.dumps(key, sort_keys=True)

    def seal(self):
        """Adds the row that the programs in other languages open."""
        team, secret_id = decoded_team(self.api_key), f"peer#{self.credential['credential_id']}"
        data_key, nonce, wrapped = os.urandom(32), os.urandom(12), os.urandom(184)
        text = json.dumps({"access_token": self.access_token}).encode()
        sealed = gcm_seal(data_key, nonce, f"{team}/{secret_id}".encode(), text)
        expires_at = int((time.time() + 24 * 3600) * 1000)
        self.add("secrets", {"secret_id": {"S": secret_id}, "dek": {"B": base64_of(wrapped)},
                             "sealed": {"B": base64_of(sealed)}, "access_expires_at": {"N": str(expires_at)}})
        self.data_keys[base64_of(wrapped)] = self.decrypted(base64_of(data_key))

    @staticmethod
    def decrypted(data_key):
        return {"Plaintext": data_key, "KeyId": "arn:aws:kms:us-east-1:000000000000:key/measured",
                "EncryptionAlgorithm": "SYMMETRIC_DEFAULT"}

    def decrypt(self, request):
        """The answer of KMS. The vault's KMS is asked once for each data key of the vault's own rows."""
        blob = request["CiphertextBlob"]
        if blob not in self.data_keys:
            self.data_keys[blob] = self.vault.aws("KMS", "TrentService.Decrypt", request | {
                "KeyId": self.vault.variables["ENVELOPE_KEY_ID"]})
        return self.data_keys[blob]

    def row(self, table, key):
        return self.rows.get((table, self.identity(key)))

    def answer(self, head, body):
        """The answer to a request of a measured program."""
        if not body:
            if head.startswith("GET /v2/users/me/token?"):
                bearer = re.search(r"authorization: bearer (\S+)", head, re.I)
                self.bearers.add(bearer and bearer[1])
                return {"token": self.zoom_token}
            return {}  # the opening of connections
        table, request = table_in(body)
        action = operation(head)
        if action == "GetItem":
            # The opening of connections reads rows that do not exist.
            row = self.row(table, request["Key"])
            return {"Item": row} if row else {}
        if action == "BatchGetItem":
            return batch(request, self.row)
        if action == "Decrypt":
            return self.decrypt(request)
        if (action, table) == ("UpdateItem", "requests"):
            return counted(request)
        if (action, table) != ("PutItem", "events"):
            self.unexpected.append(f"{action} {table}")
        return {}


def decoded_team(api_key):
    """The team in an API key: what is between `zcv_` and the random part."""
    return api_key[4:-50]


def gcm_seal(key, nonce, aad, text):
    """AES-256-GCM with the parts of the decoder in tests/golden, so that this needs Python alone."""
    keys = decode.round_keys(key)
    stream = b"".join(decode.aes(keys, nonce + (2 + i).to_bytes(4, "big")) for i in range((len(text) + 15) // 16))
    sealed = bytes(a ^ b for a, b in zip(text, stream))
    h = int.from_bytes(decode.aes(keys, bytes(16)), "big")
    mask = decode.aes(keys, nonce + b"\0\0\0\1")
    return nonce + sealed + bytes(a ^ b for a, b in zip(decode.ghash(h, aad, sealed), mask))
