import json
import os
import time
import urllib.parse
import uuid
from datetime import UTC, datetime, timedelta

import boto3
import urllib3
import vault
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

kms = boto3.client("kms")
http = urllib3.PoolManager(timeout=20, retries=False)

LIFETIME = timedelta(hours=2)
MARGIN_MS = 10 * 60_000
RETENTION_SECONDS = 90 * 24 * 3600
# Access tokens that were opened in the last minute, by the credential's id.
opened = {}


def count(team, key_id):
    """Counts the call in the team's window of this second."""
    second = int(time.time())
    counted = vault.dynamodb.update_item(
        TableName=os.environ["REQUESTS_TABLE"],
        Key={"request_id": {"S": f"mint#{team}#{second}"}},
        UpdateExpression="ADD hits :one, #own :one SET expires_at = :end",
        ExpressionAttributeNames={"#own": f"key_{key_id}"},
        ExpressionAttributeValues={":one": {"N": "1"}, ":end": {"N": str(second + 60)}},
        ReturnValues="UPDATED_NEW",
    )
    return int(counted["Attributes"]["hits"]["N"])


def access_token(team, credential_id, row):
    if not row:
        raise vault.Refused(409, "reconnect")
    expires_at = int(row["access_expires_at"])
    if expires_at <= time.time() * 1000 + MARGIN_MS:
        raise vault.Refused(503, "no refresh in this program")
    context = {"team": team, "secret_id": row["secret_id"]}
    key = kms.decrypt(CiphertextBlob=row["dek"].value, EncryptionContext=context)["Plaintext"]
    sealed = row["sealed"].value
    text = AESGCM(key).decrypt(sealed[:12], sealed[12:], f"{team}/{row['secret_id']}".encode())
    token = json.loads(text)["access_token"]
    opened[credential_id] = token, expires_at, time.time() + 60
    return token


def known_token(credential_id):
    """The token in memory."""
    token, expires_at, until = opened.get(credential_id, (None, 0, 0))
    return token if until > time.time() and expires_at > time.time() * 1000 + MARGIN_MS else None


def ask_zoom(token_type, token):
    query = urllib.parse.urlencode({"type": token_type})
    url = f"{os.environ['ZOOM_API_BASE_URL']}/v2/users/me/token?{query}"
    answer = http.request("GET", url, headers={"authorization": f"Bearer {token}"})
    if answer.status != 200:
        raise vault.Refused(502, "zoom")
    return answer.json()["token"]


def write_event(team, credential_id, token_type, request_id):
    row = {
        "credential_id": {"S": credential_id},
        "event_id": {"S": str(uuid.uuid4())},
        "team_id": {"S": team},
        "kind": {"S": "mint"},
        "outcome": {"S": "succeeded"},
        "token_type": {"S": token_type},
        "request_id": {"S": request_id},
        "at": {"S": vault.now()},
        "purge_at": {"N": str(int(time.time()) + RETENTION_SECONDS)},
    }
    vault.dynamodb.put_item(
        TableName=os.environ["EVENTS_TABLE"], Item=row, ConditionExpression="attribute_not_exists(event_id)"
    )


def work(event):
    team, record = vault.api_key(event)
    body = json.loads(event["body"] or "{}")
    credential_id, token_type = body.get("credential_id"), body.get("type")
    if not isinstance(credential_id, str) or token_type not in ("onbehalf", "zak"):
        raise vault.Refused(400, "validation")
    vault.key_and_credential(team, record, credential_id, "mint")

    counting = vault.together.submit(count, team, record[4:16])
    reading = vault.together.submit(vault.read, "KEYS_TABLE", team_id=team, record="settings")
    access = known_token(credential_id)
    row = None if access else vault.read("SECRETS_TABLE", secret_id=f"peer#{credential_id}")
    hits, settings = counting.result(), reading.result() or {}
    if settings.get("suspended_at"):
        raise vault.Refused(401, "unauthorized")
    if hits > int(settings.get("mint_rate", 50)):
        raise vault.Refused(429, "rate_limited")

    access = access or access_token(team, credential_id, row)
    expires_at = datetime.now(UTC) + LIFETIME
    writing = vault.together.submit(
        write_event, team, credential_id, token_type, event["requestContext"]["requestId"]
    )
    token = ask_zoom(token_type, access)
    writing.result()
    return {
        "type": token_type,
        "token": token,
        "expires_at": expires_at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "credential_id": credential_id,
    }


handler = vault.handler("POST /v2/zoom-tokens", work)
