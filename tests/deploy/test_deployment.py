"""What the Rust tests of the API cannot see: what the roles are worth, and what was logged. Runs after them."""

import json
import os
import urllib.error
import urllib.request
import uuid

import boto3
import pytest

API = os.environ["VAULT_URL"]
KEY = os.environ["API_KEY"]
ROLES = json.loads(os.environ["ROLES"])
LOGS = json.loads(os.environ["LOGS"])
CREDENTIALS = "/v2/zoom-credentials"
SECRET = "a-client-secret-that-nobody-logs"


class Answer:
    def __init__(self, answer):
        self.status, self.headers, self.body = answer.status, answer.headers, json.load(answer)


def call(method, path, body=None):
    headers = {"x-meeting-baas-api-key": KEY, "content-type": "application/json"}
    request = urllib.request.Request(API + path, body and json.dumps(body).encode(), headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return Answer(answer)
    except urllib.error.HTTPError as answer:
        return Answer(answer)


def create():
    return call("POST", CREDENTIALS, {"name": "My bot", "client_id": "my-app", "client_secret": SECRET})


def logged(group):
    """Every line in a log group of the stack."""
    pages = boto3.client("logs").get_paginator("filter_log_events").paginate(logGroupName=LOGS[group])
    return [event["message"] for page in pages for event in page["events"]]


@pytest.mark.parametrize(
    "function, policy, action, attempt",
    [
        ("GetCredential", "powers", "dynamodb:GetItem", lambda: call("GET", f"{CREDENTIALS}/{uuid.uuid4()}")),
        ("CreateCredential", "envelope", "kms:GenerateDataKey", create),
    ],
)
def test_a_function_without_its_powers_is_unavailable_and_logs_what_was_denied(function, policy, action, attempt):
    """And so the tests of the API show that the powers suffice."""
    iam = boto3.client("iam")
    role = ROLES[f"{function}Role"]
    document = iam.get_role_policy(RoleName=role, PolicyName=policy)["PolicyDocument"]
    expected = attempt().status
    iam.delete_role_policy(RoleName=role, PolicyName=policy)
    try:
        answer = attempt()
    finally:
        iam.put_role_policy(RoleName=role, PolicyName=policy, PolicyDocument=json.dumps(document))
    assert (answer.status, answer.body["code"]) == (503, "FST_ERR_UNAVAILABLE"), answer.body
    assert answer.headers["retry-after"]
    (line,) = [line for line in logged(f"{function}Logs") if answer.headers["x-request-id"] in line and "cause" in line]
    line = json.loads(line)
    assert action in line["cause"]
    assert line.get("kms_failed") == (1 if action.startswith("kms:") else None)
    assert attempt().status == expected


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


def test_every_test_of_the_api_went_through_the_deployed_functions():
    """Each has teams of its own, told apart by a suffix of twelve characters."""
    requests = [json.loads(line) for group in LOGS for line in logged(group) if '"message":"request"' in line]
    teams = [line["team"] for line in requests if line.get("team")]
    assert len({team[-12:] for team in teams if team != "acme"}) == int(os.environ["TESTS_RUN"])


def test_nothing_secret_was_logged():
    lines = [line for group in LOGS for line in logged(group)]
    assert len(lines) > 100
    for secret in ("zcv_", SECRET, "test-app-secret", "no-such-code", "eyJ"):
        assert not any(secret in line for line in lines), secret
