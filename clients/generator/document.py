"""Reads what the clients need from docs/openapi.json."""

import json
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
DOCUMENT = ROOT / "docs/openapi.json"

# A second request does no harm if the first one took effect, although the method is not GET. The clients repeat these
# operations without an answer too. Operations with an `Idempotency-Key` need no entry. Leave an operation out if a
# second request creates a second thing, ends an earlier one, or could undo what another caller has done since the first
# one. So a PUT is not here, nor the DELETE of what can be created again or restored. A rotation is here, because the
# vault stores only a secret that Zoom accepts now.
REPEATABLE = {
    "checkZoomCredential",
    "deleteChoosingUrl",
    "deleteTokenUrl",
    "mintZoomToken",
    "rotateZoomAppSecret",
}

# The field of the body without which the vault ignores the `Idempotency-Key`. Then the operation is not repeatable.
KEY_NEEDS = {"updateZoomCredential": "authorization_code"}


class Operation:
    """An operation that needs an API key. The clients have those that send and receive JSON."""

    def __init__(self, method, path, described):
        self.method, self.path, self.described = method.upper(), path, described
        self.id = described["operationId"]
        parameters = described.get("parameters", [])
        self.path_parameters = [it for it in parameters if it["in"] == "path"]
        self.query = [it for it in parameters if it["in"] == "query"]
        self.takes_key = any(it["name"] == "Idempotency-Key" for it in parameters)
        self.key_needs = KEY_NEEDS.get(self.id)
        self.repeatable = method == "get" or self.takes_key or self.id in REPEATABLE
        self.has_cursor = any(it["name"] == "cursor" for it in self.query)
        self.body = self.json(described.get("requestBody", {}))
        self.body_required = described.get("requestBody", {}).get("required", False)
        self.successes = [answer for status, answer in described["responses"].items() if status.startswith("2")]
        parts = [described.get("requestBody", {}), *self.successes]
        self.is_json = all(self.json(part) is not None for part in parts if part.get("content"))

    @staticmethod
    def json(part):
        return part.get("content", {}).get("application/json", {}).get("schema")


class Document:
    def __init__(self, path=DOCUMENT):
        self.json = json.loads(path.read_text())
        self.schemas = self.json["components"]["schemas"]
        self.version = self.json["info"]["version"]
        self.codes = self.schemas["ErrorBody"]["properties"]["code"]["enum"]
        operations = [
            Operation(method, path, described)
            for path, methods in self.json["paths"].items()
            if path.startswith("/v2/")
            for method, described in methods.items()
            if method in ("get", "post", "put", "patch", "delete") and described.get("security") != [{}]
        ]
        self.operations = [operation for operation in operations if operation.is_json]
        unknown = sorted((REPEATABLE | KEY_NEEDS.keys()) - {operation.id for operation in self.operations})
        if unknown:
            sys.exit(f"clients/generate: operations of REPEATABLE or KEY_NEEDS are not in the document: {unknown}")

    def resolve(self, schema):
        while "$ref" in schema:
            schema = self.schemas[schema["$ref"].rsplit("/", 1)[1]]
        return schema
