"""Tests the resources in template.yaml: tables, keys, logs, API, triggers, alarms, dashboard."""

import json
import re

import cost
import pytest
from record import FUNCTIONS, has
from template import ROOT, many, table_of

TABLES = ["CredentialsTable", "PairsTable", "SecretsTable", "KeysTable", "RequestsTable", "TokenUrlsTable", "EventsTable"]
# What a first deployment that fails leaves behind would stop the next attempt, so it is deleted. A table cannot be: it is
# protected from deletion. A bucket may have files that nobody can delete.
DELETION_POLICIES = {
    "AWS::DynamoDB::Table": "Retain",
    "AWS::S3::Bucket": "Retain",
    "AWS::KMS::Key": "RetainExceptOnCreate",
    "AWS::Logs::LogGroup": "RetainExceptOnCreate",
    "AWS::SQS::Queue": "RetainExceptOnCreate",
}


def schemas():
    """Reads the tables of the local stack from local/src/tables.rs: `{name: (keys, TTL, indexes)}`."""
    code = (ROOT / "local/src/tables.rs").read_text()
    word = lambda field, text: (re.search(rf'{field}: (?:Some\()?"([\w-]+)"', text) or [None, None])[1]
    projected = lambda index: re.findall(r'"(\w+)"', re.search(r"projected: &\[(.*?)\]", index, re.S)[1])
    indexes = {
        name: (word("name", index), word("partition", index), word("sort", index), projected(index))
        for name, index in re.findall(r"const (\w+): Index = Index \{(.*?)\};", code, re.S)
    }
    return {
        name: (
            [key for key in (word("partition", schema), word("sort", schema)) if key],
            word("ttl", schema),
            [indexes[name] for name in re.findall(r"\w+", (re.search(r"indexes: vec!\[(.*?)\]", schema) or [None, ""])[1])],
        )
        for name, schema in re.findall(r"&names\.(\w+),\s*Schema \{(.*?)\}", code, re.S)
    }


def test_tables_are_the_same_as_on_the_local_stack(template):
    known = schemas()
    assert list(template.of_type("AWS::DynamoDB::Table")) == TABLES
    assert {table_of(name) for name in known} == set(TABLES)
    for name, (keys, ttl, indexes) in known.items():
        table = template.table(table_of(name))
        assert [key["AttributeName"] for key in table["KeySchema"]] == keys
        assert [key["KeyType"] for key in table["KeySchema"]] == ["HASH", "RANGE"][: len(keys)]
        assert table.get("TimeToLiveSpecification") == (ttl and {"AttributeName": ttl, "Enabled": True})
        made = [
            (
                index["IndexName"],
                *(key["AttributeName"] for key in index["KeySchema"]),
                index["Projection"].get("NonKeyAttributes", []),
            )
            for index in table.get("GlobalSecondaryIndexes", [])
        ]
        assert made == indexes
        used = set(keys) | {attribute for index in indexes for attribute in index[1:3]}
        assert {it["AttributeName"] for it in table["AttributeDefinitions"]} == used
        assert {it["AttributeType"] for it in table["AttributeDefinitions"]} == {"S"}


# assures 35
@pytest.mark.parametrize("name", TABLES)
def test_table_is_backed_up_encrypted_and_protected_from_deletion(template, name):
    table = template.table(name)
    assert table["BillingMode"] == "PAY_PER_REQUEST"
    assert table["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
    assert table["DeletionProtectionEnabled"] is True
    assert table["SSESpecification"] == {"SSEEnabled": True, "SSEType": "KMS", "KMSMasterKeyId": "AtRestKey.Arn"}


def test_only_the_tables_of_credentials_and_events_have_a_stream(template):
    assert [name for name in TABLES if "StreamSpecification" in template.table(name)] == ["CredentialsTable", "EventsTable"]


def test_resources_with_data_outlive_the_stack(template):
    for name, resource in template.resources.items():
        if resource["Type"] in DELETION_POLICIES:
            assert resource.get("DeletionPolicy") == DELETION_POLICIES[resource["Type"]], name
            assert resource.get("UpdateReplacePolicy") == "Retain", name


def test_both_kms_keys_rotate(template):
    keys = template.of_type("AWS::KMS::Key")
    assert set(keys) == {"EnvelopeKey", "AtRestKey"}
    for key in keys.values():
        assert key["Properties"]["EnableKeyRotation"] is True
        assert key["Properties"]["PendingWindowInDays"] == 30


# assures 35
def test_every_function_has_a_log_group_and_every_log_group_has_a_retention(template):
    groups = template.of_type("AWS::Logs::LogGroup")
    for group in groups.values():
        assert group["Properties"]["RetentionInDays"] == "LogRetentionDays"
    for function in template.functions():
        assert template.properties(function)["LoggingConfig"] == {"LogFormat": "JSON", "LogGroup": f"{function}Logs"}
        (write,) = [it for it in template.statements(template.role(function)) if "logs:PutLogEvents" in it.actions]
        assert write.resources == (f"{function}Logs.Arn",)
    assert template.properties("ExecutionLogs")["LogGroupName"] == "API-Gateway-Execution-Logs_Api/live"
    # The tag makes the stage wait for the log group. Otherwise API Gateway creates one without a retention.
    assert template.properties("Api")["Tags"] == {"execution-logs": "ExecutionLogs"}


# assures 35
def test_stage_throttles_logs_only_errors_and_caches_nothing(template):
    settings, *_ = template.properties("Api")["MethodSettings"]
    assert (settings["ResourcePath"], settings["HttpMethod"]) == ("/*", "*")
    assert settings["LoggingLevel"] == "ERROR"
    assert settings["DataTraceEnabled"] is False
    assert settings["CachingEnabled"] is False
    assert (settings["ThrottlingRateLimit"], settings["ThrottlingBurstLimit"]) == ("ThrottleRate", "ThrottleBurst")
    assert not {"CacheClusterEnabled", "CacheClusterSize"} & set(template.properties("Api"))


def test_pages_that_connect_users_have_their_own_throttles(template):
    every = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
    expected = set()
    for function in template.functions():
        for method, path in template.routes(function):
            # Token URLs use the general throttle, because bots call them often. Zoom's webhook uses it too: junk
            # fills a small throttle at once, and then Zoom's own calls get a 429.
            if not path.startswith(("/v2/", "/t/", "/webhooks/")):
                escaped = "/" + path.replace("/", "~1")
                expected |= {(escaped, it) for it in (every if method == "ANY" else [method])}
    assert ("/~1connect~1{token}", "DELETE") in expected
    general, *settings = template.properties("Api")["MethodSettings"]
    assert {(it["ResourcePath"], it["HttpMethod"]) for it in settings} == expected
    assert len(settings) == len(expected)
    differing = {"ResourcePath", "HttpMethod", "ThrottlingRateLimit", "ThrottlingBurstLimit"}
    for it in settings:
        assert {name: it[name] for name in it.keys() - differing} == {name: general[name] for name in general.keys() - differing}
        assert (it["ThrottlingRateLimit"], it["ThrottlingBurstLimit"]) == ("StrangerThrottleRate", "StrangerThrottleBurst")
    parameters = template.document["Parameters"]
    for limit in ("ThrottleRate", "ThrottleBurst"):
        assert parameters[f"Stranger{limit}"]["Default"] < parameters[limit]["Default"]


# assures 23
def test_access_log_contains_no_path_and_no_query(template):
    text = template.properties("Api")["AccessLogSetting"]["Format"]
    fields = json.loads(text)
    allowed = {
        "$context.requestId",
        "$context.requestTime",
        "$context.identity.sourceIp",
        "$context.httpMethod",
        "$context.resourcePath",  # the route with placeholders such as `{id}`
        "$context.status",
        "$context.responseLatency",
        "$context.integrationLatency",
        "$context.integrationStatus",
        "$context.error.responseType",
        "$context.waf.status",
    }
    assert set(fields.values()) == allowed


# assures 35
def test_api_is_regional_and_requires_tls_1_2(template):
    api = template.properties("Api")
    assert api["EndpointConfiguration"] == {"Type": "REGIONAL"}
    for edge in (api, template.properties("Domain")):
        assert edge["SecurityPolicy"] == "SecurityPolicy_TLS13_1_2_2021_06"
        assert edge["EndpointAccessMode"] == "STRICT"


def test_domain_and_default_endpoint_are_separate_decisions(template):
    conditions = template.document["Conditions"]
    assert conditions["HidesDefaultEndpoint"] == {"Equals": ["DefaultEndpoint", "off"]}
    assert template.document["Parameters"]["DefaultEndpoint"]["Default"] == "on"
    api = template.properties("Api")
    assert api["DisableExecuteApiEndpoint"] == {"If": ["HidesDefaultEndpoint", True, False]}
    # Without a new deployment of the API, a changed endpoint would take effect at some later deployment.
    assert api["AlwaysDeploy"] is True
    rule = template.document["Rules"]["WithoutTheDefaultEndpointTheApiNeedsADomain"]
    assert rule["RuleCondition"] == {"Equals": ["DefaultEndpoint", "off"]}
    assert rule["Assertions"][0]["Assert"] == {"Not": [{"Equals": ["DomainName", ""]}]}


def test_functions_trust_the_roots_of_the_system_only_if_the_operator_wants_it(template):
    variables = template.document["Globals"]["Function"]["Environment"]["Variables"]
    assert variables["AWS_TRUST_NATIVE_ROOTS"] == {"If": ["TrustsNativeRoots", "1", ""]}
    assert template.document["Parameters"]["TrustNativeRoots"]["Default"] == "no"


# assures 35
def test_functions_are_traced_if_the_operator_wants_it_and_the_stage_never_is(template):
    assert template.document["Globals"]["Function"]["Tracing"] == {"If": ["HasTraces", "Active", "PassThrough"]}
    assert template.properties("Api")["TracingEnabled"] is False
    for function in template.functions():
        assert "Tracing" not in template.properties(function)


def test_only_functions_that_refresh_grants_outlast_the_gateway(template):
    assert template.document["Globals"]["Function"]["Timeout"] == 29
    refreshes = {function for function in template.functions() if has(template.binary(function), "grants")}
    for function in template.functions():
        # A refresh must not be abandoned. These functions continue after the gateway gave up, and commit.
        expected = {True: 300 if function == "KeepAlive" else 90, False: None}[function in refreshes]
        assert template.properties(function).get("Timeout") == expected, function


def test_keep_alive_runs_every_five_minutes_without_retries(template):
    background = [it for it in template.functions() if not template.routes(it) and not template.streams(it)]
    scheduled = [it for it in background if not template.queues(it)]
    assert scheduled == ["KeepAlive"]
    properties = template.properties("KeepAlive")
    (event,) = properties["Events"].values()
    # `Schedule` makes a rule, which needs no role. `ScheduleV2` would need one.
    assert (event["Type"], event["Properties"]["Schedule"]) == ("Schedule", "rate(5 minutes)")
    assert properties["EventInvokeConfig"]["MaximumRetryAttempts"] == 0
    assert properties["Timeout"] < 3600
    # A deployment fails if it reserves concurrency in a small account. So nothing is reserved by default.
    assert properties["ReservedConcurrentExecutions"] == {"If": ["ReservesConcurrency", 1, "AWS::NoValue"]}


def test_purge_retries_stream_records_and_then_sends_them_to_the_dead_letter_queue(template):
    assert [function for function in template.functions() if template.streams(function)] == ["Purge", "NotifyEnqueue"]
    (event,) = template.properties("Purge")["Events"].values()
    mapping = event["Properties"]
    assert mapping["Stream"] == "CredentialsTable.StreamArn"
    # Purge reads from the old image which grant and secrets a removed row used.
    assert template.table("CredentialsTable")["StreamSpecification"] == {"StreamViewType": "NEW_AND_OLD_IMAGES"}
    patterns = [json.loads(it["Pattern"]) for it in mapping["FilterCriteria"]["Filters"]]
    assert patterns == [
        # These changes mark a credential as deleted, or can give it another grant.
        {"eventName": ["MODIFY"], "dynamodb": {"NewImage": {"change": {"S": ["deleted", "updated", "active"]}}}},
        {"eventName": ["REMOVE"], "dynamodb": {"OldImage": {"deleted": {"BOOL": [True]}}}},
    ]
    assert mapping["StartingPosition"] == "TRIM_HORIZON"
    assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert mapping["BisectBatchOnFunctionError"] is True
    assert mapping["MaximumRetryAttempts"] >= 10
    assert mapping["DestinationConfig"] == {"OnFailure": {"Type": "SQS", "Destination": "LostPurges.Arn"}}
    (send,) = [it for it in template.statements("PurgeRole") if "sqs:SendMessage" in it.actions]
    assert send.resources == ("LostPurges.Arn",)
    alarm = template.properties("PurgesLost")
    assert alarm["Dimensions"] == [{"Name": "QueueName", "Value": "LostPurges.QueueName"}]


def test_token_url_and_vendor_routes_take_every_method(template):
    # `+` takes what follows a slash. Otherwise the access log would have the token in the path of an unknown route.
    assert template.routes("TokenUrl") == [("ANY", "/t/{token+}")]
    assert template.routes("Vendors") == [("ANY", "/v2/vendors/{vendor}")]
    paths = ["/v2/notification-endpoint", "/v2/notification-endpoint/test"]
    assert template.routes("NotificationEndpoint") == [("ANY", path) for path in paths]


def test_events_become_notifications_and_failed_records_go_to_a_dead_letter_queue(template):
    (event,) = template.properties("NotifyEnqueue")["Events"].values()
    mapping = event["Properties"]
    assert mapping["Stream"] == "EventsTable.StreamArn"
    patterns = [json.loads(it["Pattern"]) for it in mapping["FilterCriteria"]["Filters"]]
    assert all(pattern["eventName"] == ["INSERT"] for pattern in patterns)
    kinds, finished, refused = [pattern["dynamodb"]["NewImage"] for pattern in patterns]
    code = (ROOT / "shared/src/notification/message.rs").read_text()
    read = re.findall(r"EventKind::(\w+) => kinds", code)
    written = (ROOT / "shared/src/event/details.rs").read_text()
    words = {re.search(rf'Self::{kind} => "(\w+)"', written)[1] for kind in read}
    assert set(kinds["kind"]["S"]) == words
    assert finished == {"kind": {"S": ["updated"]}, "actor": {"M": {"type": {"S": ["connect_session"]}}}}
    assert refused == {"code": {"S": [re.search(r'APP_REFUSED: &str = "(\w+)"', code)[1]]}}
    assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert mapping["DestinationConfig"] == {"OnFailure": {"Type": "SQS", "Destination": "LostEvents.Arn"}}


def test_notifications_are_tried_as_often_as_the_function_plans(template):
    (event,) = template.properties("NotifyDeliver")["Events"].values()
    assert event["Properties"]["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    queue = template.properties("NotificationQueue")
    pauses = re.search(r"RETRY_AFTER_SECONDS: \[u64; (\d+)\] =\s*\[(.*?)\];", rust("notify_deliver.rs"), re.S)
    assert queue["RedrivePolicy"] == {"deadLetterTargetArn": "LostNotifications.Arn", "maxReceiveCount": int(pauses[1]) + 1}
    seconds = [int(it.replace("_", "")) for it in re.findall(r"[\d_]+", pauses[2])]
    assert 23 * 3600 <= sum(seconds) <= 25 * 3600
    # SQS hides a message for at most 12 hours. A pause may be a tenth longer.
    assert max(seconds) * 1.1 <= 12 * 3600
    assert queue["MessageRetentionPeriod"] >= 2 * 24 * 3600
    assert queue["VisibilityTimeout"] >= 6 * template.document["Globals"]["Function"]["Timeout"]
    (batch,) = re.findall(r"BATCH_SIZE: usize = (\d+)", (ROOT / "local/src/sqs.rs").read_text())
    assert event["Properties"]["BatchSize"] == int(batch)


def test_only_notifications_use_the_queue_of_notifications(template):
    users = {
        function: sorted(action for it in template.statements(template.role(function)) for action in it.actions if action.startswith("sqs:"))
        for function in template.functions()
        if any("NotificationQueue.Arn" in it.resources for it in template.statements(template.role(function)))
    }
    assert users == {
        "NotifyEnqueue": ["sqs:SendMessage"],
        "NotifyDeliver": ["sqs:ChangeMessageVisibility", "sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ReceiveMessage"],
    }
    keys = {it: template.powers(it, "kms") for it in ("NotificationEndpoint", "NotifyEnqueue", "NotifyDeliver")}
    assert keys == {
        "NotificationEndpoint": {"notification": {"GenerateDataKey"}},
        "NotifyEnqueue": {},
        "NotifyDeliver": {"notification": {"Decrypt"}},
    }


# ---- the gateway's own answers

# All types of gateway responses for a REST API that can be changed. REQUEST_TOO_LARGE cannot.
TYPES = set(
    """ACCESS_DENIED API_CONFIGURATION_ERROR AUTHORIZER_CONFIGURATION_ERROR AUTHORIZER_FAILURE BAD_REQUEST_BODY
    BAD_REQUEST_PARAMETERS DEFAULT_4XX DEFAULT_5XX EXPIRED_TOKEN INTEGRATION_FAILURE INTEGRATION_TIMEOUT INVALID_API_KEY
    INVALID_SIGNATURE MISSING_AUTHENTICATION_TOKEN QUOTA_EXCEEDED RESOURCE_NOT_FOUND THROTTLED
    UNAUTHORIZED UNSUPPORTED_MEDIA_TYPE WAF_FILTERED""".split()
)
# Messages that no function sends.
GATEWAY_MESSAGES = {
    "The request is malformed: check the path, the parameters and the body",
    "The request was refused before it reached the API. Ask the operator of the API",
}


def answers(template):
    return template.properties("Api")["GatewayResponses"]


def test_gateway_answers_have_the_json_envelope_of_the_functions(template):
    assert set(answers(template)) == TYPES
    code = rust("error.rs")
    for kind, answer in answers(template).items():
        (body,) = answer["ResponseTemplates"].values()
        assert "$" not in body, f"{kind} repeats parts of the request"
        body = json.loads(body)
        status = answer["StatusCode"]
        expected = {"success", "error", "code", "statusCode", "message"}
        expected |= {"details"} if status != 400 else set()
        expected |= {"retryAfter"} if status == 429 else set()
        assert set(body) == expected, kind
        assert body["success"] is False and body.get("details") is None
        assert body["statusCode"] == status, kind
        assert f'"{body["code"]}"' in code, f"{kind} has a code that no function sends"
        assert f'"{body["message"]}"' in code or body["message"] in GATEWAY_MESSAGES, kind


# assures 23, 57
def test_gateway_answers_have_the_headers_of_the_functions(template):
    code = rust("reply.rs")
    body = re.search(r"fn security_headers\(\).*?\n\}", code, re.S)[0]
    pairs = re.findall(r'header::(\w+),\s*HeaderValue::from_static\("([^"]+)"\)', body)
    sent = {name.lower().replace("_", "-"): f"'{value}'" for name, value in pairs}
    assert len(sent) == 4
    for kind, answer in answers(template).items():
        more = {"x-request-id": "context.requestId"}
        more |= {"retry-after": "'1'"} if answer["StatusCode"] == 429 else {}
        assert answer["ResponseParameters"]["Headers"] == sent | more, kind


def test_unknown_route_is_404(template):
    for kind in ("MISSING_AUTHENTICATION_TOKEN", "RESOURCE_NOT_FOUND"):
        answer = answers(template)[kind]
        assert answer["StatusCode"] == 404
        assert '"FST_ERR_NOT_FOUND"' in answer["ResponseTemplates"]["application/json"]


# ---- events, alarms, dashboard


def test_pipe_sends_state_changes_with_only_the_named_fields(template):
    pipe = template.properties("Changes")
    assert pipe["Source"] == "CredentialsTable.StreamArn"
    (pattern,) = pipe["SourceParameters"]["FilterCriteria"]["Filters"]
    changes = json.loads(pattern["Pattern"])["dynamodb"]["NewImage"]["change"]["S"]
    assert set(changes) == {"created", "updated", "invalid", "active", "deleted", "restored"}
    code = (ROOT / "shared/src/stores/credentials/row.rs").read_text()
    written = set(re.findall(r'Self::\w+ => "(\w+)"', re.search(r"fn attribute.*?\n    \}", code, re.S)[0]))
    assert written - {"quiet"} <= set(changes)
    fields = json.loads(pipe["TargetParameters"]["InputTemplate"])
    assert set(fields) == {
        "type",
        "team_id",
        "credential_id",
        "credential_type",
        "state",
        "version",
        "updated_at",
    }


def test_pipe_retries_and_splits_failed_batches_and_then_sends_them_to_the_dead_letter_queue(template):
    stream = template.properties("Changes")["SourceParameters"]["DynamoDBStreamParameters"]
    assert stream["MaximumRetryAttempts"] > 0
    assert stream["OnPartialBatchItemFailure"] == "AUTOMATIC_BISECT"
    assert stream["DeadLetterConfig"] == {"Arn": "LostChanges.Arn"}


def rust(name):
    """The text of all files with this name in the crates `functions` and `shared`."""
    paths = [path for part in ("functions", "shared") for path in (ROOT / part / "src").rglob(name)]
    assert paths, name
    return "\n".join(path.read_text() for path in paths)


def metrics():
    """The metrics in the log lines."""
    named = re.findall(r'\("(\w+)", "\w+"\)', re.search(r"const METRICS.*?\];", rust("metrics.rs"), re.S)[0])
    code = [path for part in ("functions", "shared") for path in (ROOT / part / "src").rglob("*.rs")]
    logged = {name for path in code for name in re.findall(r"\b(\w+) = ", path.read_text())}
    assert set(named) <= logged, "a metric that no log line contains"
    return set(named)


NAMESPACE = re.search(r'NAMESPACE: &str = "(\w+)"', rust("metrics.rs"))[1]
# All functions write the same metrics, so an alarm watches one metric and not one for each function.
DIMENSIONS = [{"Name": "stack", "Value": "AWS::StackName"}]


def alarms(template):
    return {name: it["Properties"] for name, it in template.of_type("AWS::CloudWatch::Alarm").items()}


def watched_metrics(alarm):
    """The metrics of an alarm: its own, or those in its expressions. A query of CloudWatch's Metrics Insights is none."""
    if "Metrics" not in alarm:
        return [alarm]
    return [it["MetricStat"]["Metric"] for it in map(unconditional, alarm["Metrics"]) if "MetricStat" in it]


def unconditional(metric):
    """A metric that exists only under a condition, without the condition."""
    return metric["If"][1] if "If" in metric else metric


def test_functions_name_the_stack_as_the_dimension_of_their_metrics(template):
    assert template.document["Globals"]["Function"]["Environment"]["Variables"]["STACK_NAME"] == "AWS::StackName"
    (dimension,) = re.findall(r'"Dimensions": \[\["(\w+)"\]\]', rust("metrics.rs"))
    assert DIMENSIONS == [{"Name": dimension, "Value": "AWS::StackName"}]
    assert 'config::optional("STACK_NAME")' in rust("runtime.rs")


def test_every_alarm_watches_an_existing_metric_of_the_stack(template):
    assert alarms(template)
    filters = template.of_type("AWS::Logs::MetricFilter").values()
    filtered = [it for filter_ in filters for it in filter_["Properties"]["MetricTransformations"]]
    assert filtered
    for metric in filtered:
        assert metric["Dimensions"] == [{"Key": "stack", "Value": "$.stack"}]
    for name, alarm in alarms(template).items():
        watched = watched_metrics(alarm)
        assert len(watched) <= 10, f"{name}: an alarm can have ten metrics at most"
        for metric in watched:
            if metric["Namespace"] == NAMESPACE:
                assert metric["MetricName"] in metrics() | {it["MetricName"] for it in filtered}, name
                assert metric["Dimensions"] == DIMENSIONS, name
            else:
                assert metric["Namespace"].startswith("AWS/"), name


def test_every_alarm_and_its_end_go_to_the_topic(template):
    for name, alarm in alarms(template).items():
        for action in ("AlarmActions", "OKActions"):
            assert alarm[action] == {"If": ["HasAlarmTopic", ["AlarmTopicArn"], "AWS::NoValue"]}, name


# Without these alarms, a lost grant, a breach, or an API that fails goes unseen.
ESSENTIAL = {
    "ServerErrors", "KmsFails", "GrantsNotStored", "RefreshOutcomesLost", "CredentialsTurnInvalid", "KeepAliveStands",
    "GrantsOverdue", "PurgesLost", "PowersChanged", "ManyDeletions",
}  # fmt: skip


def test_operator_chooses_all_alarms_or_the_essential_ones_or_none(template):
    conditions = template.document["Conditions"]
    assert conditions["HasAllAlarms"] == {"Equals": ["Alarms", "all"]}
    assert conditions["HasEssentialAlarms"] == {"Not": [{"Equals": ["Alarms", "none"]}]}
    both = [{"Condition": "ArchivesEvents"}, {"Condition": "HasEssentialAlarms"}]
    assert conditions["HasAlarmsOfArchive"] == {"And": both}
    by_condition = {}
    for name in alarms(template):
        by_condition.setdefault(template.resources[name]["Condition"], set()).add(name)
    assert by_condition["HasEssentialAlarms"] == ESSENTIAL
    assert by_condition["HasAlarmsOfArchive"] == {"EventCopiesLost", "EventFilesLate"}
    assert set(by_condition) == {"HasAllAlarms", "HasEssentialAlarms", "HasAlarmsOfArchive"}
    assert sum(len(watched_metrics(alarms(template)[name])) for name in ESSENTIAL) == 10
    assert template.document["Parameters"]["Alarms"]["Default"] == "essential"


def test_deployment_warns_if_nobody_gets_alarms(template):
    conditions = template.document["Conditions"]
    no_topic, no_alarms = ({"Not": [{"Condition": it}]} for it in ("HasAlarmTopic", "HasEssentialAlarms"))
    assert conditions["NobodyGetsAlarms"] == {"Or": [no_topic, no_alarms]}
    assert conditions["HasAlarmTopic"] == {"Not": [{"Equals": ["AlarmTopicArn", ""]}]}
    assert template.document["Outputs"]["Warning"]["Condition"] == "NobodyGetsAlarms"


def test_every_failure_metric_of_kms_and_zoom_has_an_alarm(template):
    """One metric has no alarm, because the user must act, and neither the operator nor the owner of the app."""
    watched = {metric["MetricName"] for alarm in alarms(template).values() for metric in watched_metrics(alarm)}
    failures = {name for name in metrics() if name.split("_")[0] in ("kms", "zoom")} - {"kms_calls", "zoom_calls"}
    assert failures - watched == {"zoom_grant_refused"}


def test_a_refused_app_rings_an_alarm_after_a_few_refusals_and_not_after_the_first(template):
    alarm = template.properties("ZoomRefusesApps")
    assert (alarm["MetricName"], alarm["Statistic"], alarm["Period"]) == ("zoom_app_refused", "Sum", 15 * 60)
    assert (alarm["ComparisonOperator"], alarm["Threshold"]) == ("GreaterThanThreshold", 5)
    assert "`doctor`" in alarm["AlarmDescription"]


def test_lost_grants_ring_an_alarm_at_once(template):
    for name, metric in (("GrantsNotStored", "grants_not_stored"), ("RefreshOutcomesLost", "refresh_outcome_lost")):
        alarm = template.properties(name)
        assert (alarm["MetricName"], alarm["Threshold"], alarm["DatapointsToAlarm"]) == (metric, 0, 1)


def test_functions_without_a_route_have_alarms_and_the_answers_of_the_api_tell_of_the_others(template):
    """API Gateway answers a 5xx if a function crashes, runs out of time or is throttled."""
    background = {function for function in template.functions() if not template.routes(function)}
    watched = watched_metrics(template.properties("FunctionsFail"))
    assert {(it["Namespace"], it["MetricName"]) for it in watched} == {("AWS/Lambda", "Errors")}
    assert {it["Dimensions"][0]["Value"] for it in watched} == background
    throttled = template.properties("FunctionsThrottled")
    assert (throttled["Namespace"], throttled["MetricName"]) == ("AWS/Lambda", "Throttles")
    assert "Dimensions" not in throttled


def test_alarm_rings_when_a_reader_of_a_stream_falls_behind(template):
    """A batch that fails in part counts as a success of the function."""
    alarm = template.properties("StreamReadersLate")
    readers = {function for function in template.functions() if template.streams(function)}
    assert {it["Dimensions"][0]["Value"] for it in watched_metrics(alarm)} == readers
    assert {it["MetricName"] for it in watched_metrics(alarm)} == {"IteratorAge"}
    records_live = min(
        event["Properties"]["MaximumRecordAgeInSeconds"]
        for reader in readers
        for event in template.properties(reader)["Events"].values()
    )
    assert alarm["Threshold"] == 60 * 60 * 1000 < records_live * 1000


def test_alarm_rings_when_a_pipe_fails(template):
    watched = watched_metrics(template.properties("PipesFail"))
    assert {it["Dimensions"][0]["Value"] for it in watched} == set(template.of_type("AWS::Pipes::Pipe"))
    assert {it["MetricName"] for it in watched} == {"ExecutionFailed"}


def test_alarms_of_throttled_tables_see_indexes_too(template):
    """The metrics of an index do not count for its table. A query without a schema matches both."""
    for name, metric in (("ReadsThrottled", "ReadThrottleEvents"), ("WritesThrottled", "WriteThrottleEvents")):
        (query,) = template.properties(name)["Metrics"]
        assert query["Expression"] == f'SELECT SUM({metric}) FROM "AWS/DynamoDB"'


def test_alarms_on_percentiles_ignore_minutes_with_few_requests(template):
    percentiles = {name: it for name, it in alarms(template).items() if "ExtendedStatistic" in it}
    assert set(percentiles) == {"SlowAnswers"}
    assert all(it["EvaluateLowSampleCountPercentile"] == "ignore" for it in percentiles.values())


def test_alarm_rings_when_keep_alive_does_not_run(template):
    alarm = template.properties("KeepAliveStands")
    assert (alarm["MetricName"], alarm["Statistic"]) == ("kept_alive", "SampleCount")
    assert (alarm["ComparisonOperator"], alarm["Threshold"]) == ("LessThanThreshold", 1)
    assert alarm["TreatMissingData"] == "breaching"


def test_alarm_rings_when_a_grant_is_more_than_three_days_overdue(template):
    alarm = template.properties("GrantsOverdue")
    assert (alarm["MetricName"], alarm["Statistic"]) == ("keep_alive_overdue", "Maximum")
    assert (alarm["ComparisonOperator"], alarm["Threshold"]) == ("GreaterThanThreshold", 3 * 24 * 60 * 60)


def test_a_single_error_that_an_operator_must_repair_rings_an_alarm(template):
    for metric in ("pair_counts_wrong", "two_grants_alive", "stream_records_skipped"):
        (alarm,) = [it for it in alarms(template).values() if it.get("MetricName") == metric]
        rule = (alarm["ComparisonOperator"], alarm["Threshold"], alarm["DatapointsToAlarm"])
        assert rule == ("GreaterThanThreshold", 0, 1), metric


def dashboard(template):
    """The widgets of the dashboard, as CloudWatch reads them."""
    body, words = template.properties("StackDashboard")["DashboardBody"]["Sub"]
    assert words == {"Words": {"Join": [" ", {"Split": ["-", "AWS::StackName"]}]}}
    return json.loads(body)["widgets"]


def test_dashboard_shows_every_metric_of_the_vault(template):
    expressions = [
        metric[0]["expression"]
        for widget in dashboard(template)
        for metric in widget["properties"].get("metrics", [])
        if isinstance(metric[0], dict)
    ]
    everything, some = [it for it in expressions if "{ZoomCredentials,stack}" in it]
    quoted = lambda text: set(re.findall(r'"(\w+)"', text.partition("MetricName")[2]))
    assert "NOT MetricName" in everything and "NOT" not in some
    late = ["ZoomCredentials", "keep_alive_overdue", "stack", "${AWS::StackName}"]
    assert any(late == metric[:4] for widget in dashboard(template) for metric in widget["properties"].get("metrics", []))
    assert quoted(everything) == quoted(some) | {late[1]} <= metrics()


def test_dashboard_lists_the_failures_of_every_function(template):
    (query,) = [it["properties"]["query"] for it in dashboard(template) if it["properties"]["title"] == "Latest failures"]
    assert re.findall(r"SOURCE '\$\{(\w+)Logs\}'", query) == template.functions()


def test_dashboard_refers_to_existing_resources(template):
    body, _ = template.properties("StackDashboard")["DashboardBody"]["Sub"]
    names = set(template.resources) | {"AWS::StackName", "AWS::Region", "Words"}
    assert set(re.findall(r"\$\{([\w:]+)", body)) <= names
    assert template.resources["StackDashboard"]["Condition"] == "HasDashboard"


def test_every_part_that_another_stack_needs_is_an_exported_output(template):
    outputs = {name: it for name, it in template.document["Outputs"].items() if name != "Warning"}
    for name, output in outputs.items():
        assert output["Export"] == {"Name": f"AWS::StackName-{name}"}, name
    values = [output["Value"] for output in outputs.values()]
    needed = {*TABLES, "Api", "live", "Bus", "Bus.Arn", "SealingKey", "AtRestKey.Arn", "Domain.RegionalHostedZoneId"}
    needed |= {f"{name}.Arn" for name in (*template.functions(), *map(template.role, template.functions()))}
    needed |= {f"{name}.Arn" for name in template.of_type("AWS::SQS::Queue")} | set(template.operator_policies())
    missing = needed - {value for value in values if isinstance(value, str)}
    assert not missing, f"no output has {missing}"


def test_output_exists_only_if_its_resource_does(template):
    for name, output in template.document["Outputs"].items():
        value = str(output["Value"])
        resource = template.resources.get(value.partition(".")[0], {})
        # A table that the stack does not own has a named table in its place.
        condition = None if resource.get("Type") == "AWS::DynamoDB::Table" else resource.get("Condition")
        assert output.get("Condition") in (condition, "HasDashboard", "NobodyGetsAlarms"), name


def test_every_parameter_has_a_default(template):
    for name, parameter in template.document["Parameters"].items():
        assert "Default" in parameter, name
    assert many(template.document["Globals"]["Function"]["Architectures"]) == ["Architecture"]


def test_deploy_page_explains_every_parameter(template):
    page = (ROOT / "docs/deploy.md").read_text()
    table = page[page.index("| parameter |") : page.index("### Notes on the parameters")]
    assert set(re.findall(r"`([A-Z]\w+)`", table)) >= set(template.document["Parameters"])


def test_deploy_page_names_the_alarms_that_the_emulator_refuses(template):
    """tests/deploy/variant.py removes the alarms with an expression."""
    sentence = re.search(r"The removed alarms are (.*?)\.\n", (ROOT / "docs/deploy.md").read_text(), re.S)[1]
    assert set(re.findall(r"`(\w+)`", sentence)) == {name for name, it in alarms(template).items() if "Metrics" in it}


def test_deploy_page_has_the_default_of_each_parameter(template):
    page = (ROOT / "docs/deploy.md").read_text()
    table = page[page.index("| parameter |") : page.index("### Notes on the parameters")]
    for line in filter(None, table.splitlines()):
        _, names, defaults, *_ = (cell.strip() for cell in line.split("|"))
        names = re.findall(r"`(\w+)`", names)
        described = [it.strip("` ") for it in defaults.split(",")] if defaults else [""] * len(names)
        for name, default in zip(names, described, strict=True) if names else ():
            assert str(template.document["Parameters"][name]["Default"]) == default, name
    text = " ".join(page.split())
    limit, strangers = (template.document["Parameters"][name]["Default"] for name in ("AddressLimit", "StrangerAddressLimit"))
    assert f"may send {limit:,} requests a minute to the API, and {strangers} a minute to the webhook" in text


def test_cost_page_is_up_to_date(template):
    command = "target/ci/python/bin/python tests/template/cost.py > docs/cost.md"
    page = cost.page(template, len(metrics()) + 1)
    assert (ROOT / "docs/cost.md").read_text() == page, f"docs/cost.md is out of date, run: {command}"


def test_readme_says_the_idle_floor_which_is_at_most_four_dollars(template):
    floor, acl = cost.idle_floor(template), cost.dollars(cost.web_acl(template))
    readme = " ".join((ROOT / "README.md").read_text().split())
    assert f"costs {floor} dollars a month" in readme and f"{acl} more with the web ACL" in readme
    assert float(floor) <= 4


def test_idle_floor_is_that_of_the_default_parameters(template):
    defaults = {name: template.document["Parameters"][name]["Default"] for name in ("Alarms", "Dashboard", "Tracing")}
    assert defaults == {"Alarms": "essential", "Dashboard": "no", "Tracing": "no"}


def test_deploy_page_has_no_prices(template):
    """Prices are in docs/cost.md, which a script computes. Parameters describe what they add in the same numbers."""
    assert not re.search(r"\d dollars", (ROOT / "docs/deploy.md").read_text())
    described = template.document["Parameters"]
    for name, price in (("Dashboard", "dashboard_month"), ("Tracing", "xray_million_traces"), ("WebAcl", "web_acl_million_requests")):
        amount = f"{cost.P[price]:.2f}".removesuffix(".00")
        assert f"{amount} dollars" in described[name]["Description"], name
    assert f"{cost.web_acl(template):.0f} dollars a month" in " ".join(described["WebAcl"]["Description"].split())


def test_restorable_credential_still_has_a_live_grant_at_zoom(template):
    """A grant may idle for both periods, one after the other. Zoom ends an idle grant after about 90 days."""
    parameters = [template.document["Parameters"][name] for name in ("KeepAliveAfterDays", "RestorableDays")]
    assert sum(parameter["MaxValue"] for parameter in parameters) <= 80
    assert all(parameter["Default"] <= parameter["MaxValue"] for parameter in parameters)
