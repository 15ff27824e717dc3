"""What the read and the mint share: the tables, the caller's key, and the answer."""

import hashlib
import json
import os
import re
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import boto3
from boto3.dynamodb.types import TypeDeserializer
from botocore.config import Config

dynamodb = boto3.client("dynamodb", config=Config(tcp_keepalive=True))
together = ThreadPoolExecutor(4)
from_dynamodb = TypeDeserializer().deserialize

API_KEY = re.compile(r"zcv_(.+)_[\w-]{43}[0-9A-Za-z]{6}", re.A)


class Refused(Exception):
    def __init__(self, status, code):
        super().__init__(code)
        self.status, self.code = status, code


def now():
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def api_key(event):
    """The team that the caller's key names, and the row's sort key."""
    key = (event.get("headers") or {}).get("x-meeting-baas-api-key", "")
    match = API_KEY.fullmatch(key)
    if not match:
        raise Refused(401, "unauthorized")
    return match[1], "key#" + hashlib.sha256(key.encode()).hexdigest()


def read(table, **key):
    answer = dynamodb.get_item(
        TableName=os.environ[table], Key={name: {"S": value} for name, value in key.items()}, ConsistentRead=True
    )
    item = answer.get("Item")
    return item and {name: from_dynamodb(value) for name, value in item.items()}


def key_and_credential(team, record, credential_id, may_do):
    """Reads the row of the key and the row of the credential at the same time."""
    reading = together.submit(read, "KEYS_TABLE", team_id=team, record=record)
    credential = read("CREDENTIALS_TABLE", team_id=team, credential_id=credential_id)
    key = reading.result()
    if not key or key.get("revoked_at") or key.get("suspended_at") or key.get("expires_at", "~") <= now():
        raise Refused(401, "unauthorized")
    if key["permission"] not in ("full", may_do):
        raise Refused(403, "forbidden")
    if not credential or credential["deleted"]:
        raise Refused(404, "not_found")
    return credential


def answer(status, body):
    headers = {"content-type": "application/json; charset=utf-8", "cache-control": "no-store"}
    return {"statusCode": status, "headers": headers, "body": json.dumps(body)}


def handler(route, work):
    """The handler of Lambda that answers with what `work` returns, and logs one line."""

    def handle(event, context):
        started, cause = time.perf_counter(), None
        try:
            sent = answer(200, {"success": True, "data": work(event)})
        except Refused as refused:
            cause = refused.code
            sent = answer(refused.status, {"success": False, "code": refused.code})
        except Exception as error:
            cause = repr(error)
            sent = answer(500, {"success": False, "code": "internal"})
        line = {
            "level": "INFO",
            "request_id": event.get("requestContext", {}).get("requestId"),
            "route": route,
            "status": sent["statusCode"],
            "cause": cause,
            "latency_ms": round((time.perf_counter() - started) * 1000),
        }
        print(json.dumps(line))
        return sent

    return handle
