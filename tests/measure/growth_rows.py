"""Fills the tables of a local stack with copies of rows that the vault wrote, and plays Lambda for one function.

`growth.py` imports this module.
"""

import base64
import concurrent.futures
import hashlib
import http.client
import json
import queue
import random
import subprocess
import threading
import time
import urllib.parse
import uuid

import emulator

# DynamoDB takes 25 rows in a batch. A credential has four rows.
CREDENTIALS_IN_BATCH = 6
TEAM_SIZE = 100
HOME_TEAM = "local"


def text(value):
    return {"S": str(value)}


def uuid7():
    millis = time.time_ns() // 1_000_000
    value = millis << 80 | 7 << 76 | random.getrandbits(12) << 64 | 2 << 62 | random.getrandbits(62)
    return str(uuid.UUID(int=value))


def pair_id(team, client_id, user):
    """The key of a pair's row, as shared/src/pair.rs makes it."""
    digest = hashlib.sha256()
    for part in (team, client_id, user):
        digest.update(len(part.encode()).to_bytes(8, "big") + part.encode())
    return "pair#" + base64.urlsafe_b64encode(digest.digest()).decode().rstrip("=")


class Service:
    """DynamoDB or KMS of a local stack, called directly. The emulators read the access key id, and no signature."""

    def __init__(self, url, prefix, access_key_id):
        self.address, self.prefix, self.local = urllib.parse.urlparse(url).netloc, prefix, threading.local()
        self.headers = {
            "content-type": "application/x-amz-json-1.0", "x-amz-date": "20260101T000000Z",
            "authorization": f"AWS4-HMAC-SHA256 Credential={access_key_id}/20260101/us-east-1/aws/aws4_request, "
                             "SignedHeaders=host, Signature=0",
        }

    def call(self, operation, request):
        if not hasattr(self.local, "connection"):
            self.local.connection = http.client.HTTPConnection(self.address, timeout=60)
        headers = self.headers | {"x-amz-target": f"{self.prefix}.{operation}"}
        self.local.connection.request("POST", "/", json.dumps(request), headers)
        answer = self.local.connection.getresponse()
        body = answer.read()
        if answer.status != 200:
            raise SystemExit(f"{operation}: {answer.status} {body[:300]}")
        return json.loads(body or b"{}")


class Rows:
    """The rows of a local stack."""

    def __init__(self, env):
        key = env["AWS_ACCESS_KEY_ID"]
        self.dynamodb = Service(env["AWS_ENDPOINT_URL_DYNAMODB"], "DynamoDB_20120810", key)
        self.kms = Service(env["AWS_ENDPOINT_URL_KMS"], "TrentService", key)
        self.table = {name: env[f"{name.upper()}_TABLE"] for name in ("credentials", "pairs", "secrets", "keys")}
        self.copies = 0

    def get(self, table, **key):
        key = {name: text(value) for name, value in key.items()}
        request = {"TableName": self.table[table], "Key": key, "ConsistentRead": True}
        return self.dynamodb.call("GetItem", request)["Item"]

    def delete(self, table, **key):
        key = {name: text(value) for name, value in key.items()}
        self.dynamodb.call("DeleteItem", {"TableName": self.table[table], "Key": key})

    def rows_of(self, credential):
        """The rows of a user's credential: credential, pair, grant, client secret."""
        row = self.get("credentials", team_id=HOME_TEAM, credential_id=credential)
        pair = self.get("pairs", pair_id=row["pair_id"]["S"])
        grant = self.get("secrets", secret_id=f"grant#{row['grant_id']['S']}")
        return row, pair, grant, self.get("secrets", secret_id=f"app#{credential}")

    def remove_quietly(self, row):
        """Removes the row of a deleted credential, so that the stream of the local stack does not purge it first."""
        self.write([{"credentials": [row | {"deleted": {"BOOL": False}}]}])
        self.delete("credentials", team_id=row["team_id"]["S"], credential_id=row["credential_id"]["S"])

    def remove(self, rows):
        """Removes what a purged credential leaves until keep-alive comes."""
        row, pair, grant, app = rows
        self.delete("credentials", team_id=row["team_id"]["S"], credential_id=row["credential_id"]["S"])
        self.delete("pairs", pair_id=pair["pair_id"]["S"])
        self.delete("secrets", secret_id=grant["secret_id"]["S"])
        self.delete("secrets", secret_id=app["secret_id"]["S"])

    def make_due(self, grants, since):
        """Makes grants look unused since this time, with an access token that has expired since."""
        for grant in grants:
            self.dynamodb.call("UpdateItem", {
                "TableName": self.table["secrets"], "Key": {"secret_id": text(grant)},
                "UpdateExpression": "SET idle_since = :since, refreshed_at = :since, access_expires_at = :past",
                "ExpressionAttributeValues": {":since": text(since), ":past": {"N": "1"}},
            })

    def copy(self, rows, team, number, kid):
        """The rows of another credential. Its secrets are copies, so nothing can open them: their data key is bound to
        the row that they were copied from. Each row has the size and the keys that the vault gives it."""
        row, pair, grant, app = rows
        credential, grant_id, user = uuid7(), str(uuid.uuid4()), f"copy-{number:07}"
        pair_key = pair_id(team, row["client_id"]["S"], user)
        shared = {"team_id": text(team), "pair_id": text(pair_key)}
        named = shared | {"credential_id": text(credential)}
        sealed = {"team_id": text(team), "kid": text(kid)}
        wanted = {"name": text(user), "zoom_user_id": text(user), "zoom_email": text(f"{user}@growth.example")}
        return {
            "credentials": [row | named | wanted | {"grant_id": text(grant_id)}],
            "pairs": [pair | shared | {"zoom_user_id": text(user), "grants": {"SS": [grant_id]}}],
            "secrets": [
                grant | named | sealed | {"secret_id": text(f"grant#{grant_id}"), "due_shard": text(grant_id[0])},
                app | sealed | {"secret_id": text(f"app#{credential}")},
            ],
        }

    def write(self, groups):
        """Writes rows in one batch."""
        items = {}
        for group in groups:
            for table, rows in group.items():
                puts = [{"PutRequest": {"Item": row}} for row in rows]
                items.setdefault(self.table[table], []).extend(puts)
        while items:
            items = self.dynamodb.call("BatchWriteItem", {"RequestItems": items}).get("UnprocessedItems")

    def fill(self, count, credential, kid, has_many_teams):
        """Copies a credential until there are `count` copies: in its team, or in teams of 100."""
        rows = self.rows_of(credential)
        settings = [row for row in self.keys() if row["team_id"]["S"] == HOME_TEAM]

        def team(number):
            return f"team-{number // TEAM_SIZE:05}" if has_many_teams else HOME_TEAM

        def batch(numbers):
            self.write(self.copy(rows, team(number), number, kid) for number in numbers)
            new = {team(number) for number in numbers if number % TEAM_SIZE == 0} if has_many_teams else ()
            for it in new:
                self.write([{"keys": [row | {"team_id": text(it)} for row in settings]}])

        missing = range(self.copies, count)
        batches = [missing[at:at + CREDENTIALS_IN_BATCH] for at in range(0, len(missing), CREDENTIALS_IN_BATCH)]
        with concurrent.futures.ThreadPoolExecutor(3) as pool:
            for _ in pool.map(batch, batches):
                pass
        self.copies = max(count, self.copies)

    def keys(self):
        request = {
            "TableName": self.table["keys"], "KeyConditionExpression": "team_id = :team",
            "ExpressionAttributeValues": {":team": text(HOME_TEAM)},
        }
        return self.dynamodb.call("Query", request)["Items"]


class Function:
    """A function behind no route: its Lambda binary, and Lambda's runtime API."""

    def __init__(self, program, env, seconds):
        self.seconds, self.events, self.answers = seconds, queue.Queue(), queue.Queue()
        self.server = emulator.Server(self.answer)
        environment = emulator.environment(program.name, self.server.address, env, "ERROR")
        self.process = subprocess.Popen(
            [program], env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    def answer(self, head, body):
        if head.startswith("GET"):
            event = self.events.get()
            deadline = int((time.time() + self.seconds) * 1000)
            return emulator.event_headers() | {"lambda-runtime-deadline-ms": deadline}, event
        self.answers.put((head.split()[1], body))
        return {}, b""

    def invoke(self, event):
        self.events.put(json.dumps(event).encode())
        path, body = self.answers.get(timeout=self.seconds)
        if not path.endswith("/response"):
            raise SystemExit(f"a function failed: {path} {body[:300]}")
        return json.loads(body or b"null")

    def stop(self):
        self.process.kill()
        self.process.wait()
        self.server.close()
