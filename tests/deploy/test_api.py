"""The five endpoints and the gateway's own answers, over HTTP, in a deployment: `API` and `API_KEY` say which.

Set `ZOOM_SANDBOX` to try what needs Zoom; `ROLES`, where policies are enforced, to try what they are worth; `LOGS` to
read what was logged.
"""

import json
import os
import urllib.error
import urllib.request
import uuid

import pytest

API = os.environ["API"]
KEY = os.environ["API_KEY"]
SANDBOX = os.environ.get("ZOOM_SANDBOX")
CREDENTIALS = "/v2/zoom-credentials"
FIELDS = set(
    """credential_id name credential_type zoom_user_id zoom_account_id zoom_email zoom_display_name scopes state
    last_error_message last_error_at created_at updated_at extra""".split()
)
SECURITY = {"cache-control": "no-store", "x-content-type-options": "nosniff", "referrer-policy": "no-referrer"}

needs_zoom = pytest.mark.skipif(not SANDBOX, reason="ZOOM_SANDBOX is not set")


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, json.loads(body)

    def expect(self, status, code=None):
        assert self.status == status, (self.status, self.body)
        for name, value in SECURITY.items():
            assert self.headers[name] == value, name
        assert self.headers["x-request-id"]
        if code:
            assert self.body["success"] is False
            assert (self.body["statusCode"], self.body["code"]) == (status, code)
            return self.body
        assert self.body["success"] is True
        return self.body["data"]


def call(method, path, body=None, key=KEY, **headers):
    if key:
        headers["x-meeting-baas-api-key"] = key
    if body is not None:
        headers["content-type"] = "application/json"
        body = json.dumps(body).encode()
    request = urllib.request.Request(API + path, body, {k.replace("_", "-"): v for k, v in headers.items()}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return Answer(answer.status, answer.headers, answer.read())
    except urllib.error.HTTPError as answer:
        return Answer(answer.code, answer.headers, answer.read())


def app(**more):
    return {"name": "My bot", "client_id": "my-app", "client_secret": "my-app-secret", **more}


def authorized(**more):
    body = {"client_id": "sandbox-app", "redirect_uri": "http://localhost:3000/callback", "user_id": "ada-sandbox-user"}
    request = urllib.request.Request(
        f"{SANDBOX}/sandbox/codes", json.dumps(body).encode(), {"content-type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        code = json.load(answer)["code"]
    return {"authorization_code": code, "redirect_uri": body["redirect_uri"], **more}


def user(**more):
    return authorized(name="Ada", client_id="sandbox-app", client_secret="sandbox-secret", **more)


@pytest.mark.parametrize(
    "method, path",
    [("GET", "/nowhere"), ("PUT", CREDENTIALS), ("POST", f"{CREDENTIALS}/x"), ("GET", f"{CREDENTIALS}/x/y")],
)
def test_a_route_that_is_not_there_is_a_404_in_the_envelope(method, path):
    assert call(method, path).expect(404, "FST_ERR_NOT_FOUND")["message"] == "Route not found"


@pytest.mark.parametrize("key", [None, "nonsense", "zcv_acme_" + "A" * 49])
def test_a_key_that_is_not_good_is_a_401(key):
    call("GET", CREDENTIALS, key=key).expect(401, "FST_ERR_UNAUTHORIZED")


def test_a_body_that_breaks_a_rule_is_a_400():
    body = call("POST", CREDENTIALS, {"name": "x"}).expect(400, "FST_ERR_VALIDATION")
    assert "body/client_id" in body["message"]


def test_an_app_credential_is_created_listed_changed_and_deleted():
    made = call("POST", CREDENTIALS, app(extra={"tenant": "acme"})).expect(201)
    assert set(made) == FIELDS
    assert (made["credential_type"], made["state"], made["extra"]) == ("app", "active", {"tenant": "acme"})
    one = f"{CREDENTIALS}/{made['credential_id']}"

    assert call("GET", one).expect(200) == made
    assert made in call("GET", CREDENTIALS).expect(200)
    assert call("GET", f"{CREDENTIALS}?extra=tenant:nobody").expect(200) == []

    renamed = call("PATCH", one, {"name": "Your bot", "extra": None}).expect(200)
    assert (renamed["name"], renamed["extra"]) == ("Your bot", None)
    call("PATCH", one, {"client_id": "other-app", "client_secret": "my-app-secret"}).expect(200)

    call("DELETE", one).expect(200)
    for gone in (call("GET", one), call("PATCH", one, {}), call("DELETE", one)):
        gone.expect(404, "FST_ERR_ZOOM_CREDENTIAL_NOT_FOUND_BY_ID")
    assert made["credential_id"] not in [it["credential_id"] for it in call("GET", CREDENTIALS).expect(200)]


def test_a_request_that_is_sent_twice_is_done_once():
    key = str(uuid.uuid4())
    first = call("POST", CREDENTIALS, app(), idempotency_key=key).expect(201)
    assert call("POST", CREDENTIALS, app(), idempotency_key=key).expect(201) == first
    call("POST", CREDENTIALS, app(name="Other"), idempotency_key=key).expect(422, "FST_ERR_IDEMPOTENCY_KEY_REUSED")


@needs_zoom
def test_a_user_is_connected_and_connected_again():
    made = call("POST", CREDENTIALS, user()).expect(201)
    assert (made["credential_type"], made["zoom_email"]) == ("user", "ada@example.com")
    # Under the client secret that is stored, which only this function may open.
    again = call("PATCH", f"{CREDENTIALS}/{made['credential_id']}", authorized()).expect(200)
    assert (again["state"], again["zoom_email"]) == ("active", "ada@example.com")


@needs_zoom
def test_a_code_that_zoom_refuses_is_a_400_and_leaves_nothing():
    before = call("GET", CREDENTIALS).expect(200)
    body = user() | {"authorization_code": "never-issued"}
    call("POST", CREDENTIALS, body).expect(400, "FST_ERR_ZOOM_CODE_EXCHANGE_FAILED")
    assert call("GET", CREDENTIALS).expect(200) == before


@pytest.mark.skipif("ROLES" not in os.environ, reason="ROLES is not set")
@pytest.mark.parametrize(
    "function, policy, action, attempt",
    [
        ("GetCredential", "powers", "dynamodb:GetItem", lambda: call("GET", f"{CREDENTIALS}/{uuid.uuid4()}")),
        ("CreateCredential", "envelope", "kms:GenerateDataKey", lambda: call("POST", CREDENTIALS, app())),
    ],
)
def test_a_function_without_its_powers_is_unavailable_and_logs_what_was_denied(function, policy, action, attempt):
    """And so the rest of this file shows that the powers suffice."""
    import boto3

    iam = boto3.client("iam")
    role = json.loads(os.environ["ROLES"])[f"{function}Role"]
    document = iam.get_role_policy(RoleName=role, PolicyName=policy)["PolicyDocument"]
    expected = attempt().status
    iam.delete_role_policy(RoleName=role, PolicyName=policy)
    try:
        answer = attempt()
    finally:
        iam.put_role_policy(RoleName=role, PolicyName=policy, PolicyDocument=json.dumps(document))
    answer.expect(503, "FST_ERR_UNAVAILABLE")
    assert answer.headers["retry-after"]
    (line,) = [line for line in logged(f"{function}Logs") if answer.headers["x-request-id"] in line and "cause" in line]
    line = json.loads(line)
    assert action in line["cause"]
    assert line.get("kms_failed") == (1 if action.startswith("kms:") else None)
    assert attempt().status == expected


@pytest.mark.skipif("LOGS" not in os.environ, reason="LOGS is not set")
def test_a_request_is_one_line_in_its_functions_own_log():
    answer = call("GET", CREDENTIALS)
    lines = [json.loads(line) for line in logged("ListCredentialsLogs") if answer.headers["x-request-id"] in line]
    (line,) = [line for line in lines if line.get("message") == "request"]
    assert (line["route"], line["team"], line["status"]) == (f"GET {CREDENTIALS}", "acme", 200)
    assert (line["dynamodb_calls"], line["kms_calls"], line["zoom_calls"]) == (2, 0, 0)
    (directive,) = line["_aws"]["CloudWatchMetrics"]
    assert (directive["Namespace"], directive["Dimensions"]) == ("ZoomCredentials", [["function"]])
    assert {it["Name"] for it in directive["Metrics"]} == {"latency_ms", "dynamodb_calls", "kms_calls", "zoom_calls"}
    assert "ListCredentials" in line["function"]


@pytest.mark.skipif("LOGS" not in os.environ, reason="LOGS is not set")
def test_nothing_secret_was_logged():
    lines = [line for group in json.loads(os.environ["LOGS"]) for line in logged(group)]
    assert len(lines) > 20
    for secret in (KEY, "my-app-secret", "sandbox-secret", "never-issued"):
        assert not any(secret in line for line in lines)


def logged(group):
    """Everything in a log group of the stack."""
    import boto3

    name = json.loads(os.environ["LOGS"])[group]
    pages = boto3.client("logs").get_paginator("filter_log_events").paginate(logGroupName=name)
    return [event["message"] for page in pages for event in page["events"]]
