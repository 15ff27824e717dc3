"""Tests the guards in template.yaml: against people who may deploy, against strangers, and against mass deletion."""

import json
import re

from template import ROOT, many

# Calls that can give somebody the secrets. CloudTrail appends a version to the names of Lambda's calls.
WATCHED = {
    "AttachRolePolicy",
    "CreateDeployment",
    "CreateFunction20150331",
    "CreateGrant",
    "CreatePolicyVersion",
    "DisableKey",
    "DeleteFunctionCodeSigningConfig",
    "PutFunctionCodeSigningConfig",
    "PutIntegration",
    "PutKeyPolicy",
    "PutResourcePolicy",
    "PutRestApi",
    "PutRolePolicy",
    "ReplicateKey",
    "ScheduleKeyDeletion",
    "SetDefaultPolicyVersion",
    "UpdateAssumeRolePolicy",
    "UpdateFunctionCode20150331v2",
    "UpdateFunctionConfiguration20150331v2",
    "UpdateIntegration",
    "UpdatePrimaryRegion",
    "UpdateRestApi",
    "UpdateStage",
}


def event_pattern(template):
    return template.properties("PowerChanges")["EventPattern"]


def test_every_function_accepts_only_signed_code_if_the_operator_names_a_profile(template):
    for function in template.functions():
        config = template.properties(function)["CodeSigningConfigArn"]
        assert config == {"If": ["HasSigningProfile", "SignedCodeOnly", "AWS::NoValue"]}, function
    assert template.resources["SignedCodeOnly"]["Condition"] == "HasSigningProfile"
    config = template.properties("SignedCodeOnly")
    assert config["AllowedPublishers"] == {"SigningProfileVersionArns": ["SigningProfileVersionArn"]}
    assert config["CodeSigningPolicies"] == {"UntrustedArtifactOnDeployment": "Enforce"}


def test_rule_reports_each_call_that_can_give_somebody_the_secrets(template):
    pattern = event_pattern(template)
    assert pattern["detail-type"] == ["AWS API Call via CloudTrail"]
    assert set(pattern["source"]) == {"aws.apigateway", "aws.dynamodb", "aws.iam", "aws.kms", "aws.lambda"}
    names = [name for part in pattern["detail"]["$or"] for name in part["eventName"]]
    matches = lambda call, name: call.startswith(name["prefix"]) if isinstance(name, dict) else call == name
    for call in WATCHED:
        assert any(matches(call, name) for name in names), f"the rule does not report {call}"


def test_rule_reports_only_calls_on_parts_of_this_stack(template):
    functions, passed_roles, keys, roles, policies, api, tables = event_pattern(template)["detail"]["$or"]
    assert functions["requestParameters"] == {"functionName": [{"wildcard": "*AWS::StackName-*"}]}
    assert passed_roles["requestParameters"] == {"role": [{"wildcard": "*:role/AWS::StackName-*"}]}
    # Without the key of the tables, nothing can be read. So its end is reported too.
    assert keys["resources"] == {"ARN": ["EnvelopeKey.Arn", "AtRestKey.Arn", "SealingKey", "PreviousKey"]}
    assert roles["requestParameters"] == {"roleName": [{"prefix": "AWS::StackName-"}]}
    assert policies["requestParameters"] == {"policyArn": [{"wildcard": "*:policy/AWS::StackName-*"}]}
    assert api["requestParameters"] == {"restApiId": ["Api"]}
    assert tables["requestParameters"] == {"resourceArn": [{"wildcard": "*:table/AWS::StackName-*"}]}


def test_reported_calls_are_kept_in_a_queue_and_ring_an_alarm(template):
    (target,) = template.properties("PowerChanges")["Targets"]
    assert target["Arn"] == "PowerChangeRecords.Arn"
    policy = template.properties("PowerChangeRecordsPolicy")
    assert policy["Queues"] == ["PowerChangeRecords"]
    (send,) = policy["PolicyDocument"]["Statement"]
    assert (send["Principal"], send["Action"]) == ({"Service": "events.amazonaws.com"}, "sqs:SendMessage")
    assert send["Condition"] == {"ArnEquals": {"aws:SourceArn": "PowerChanges.Arn"}}
    alarm = template.properties("PowersChanged")
    assert (alarm["Namespace"], alarm["MetricName"], alarm["Statistic"]) == ("AWS/Events", "Invocations", "Sum")
    assert alarm["Dimensions"] == [{"Name": "RuleName", "Value": "PowerChanges"}]
    assert (alarm["ComparisonOperator"], alarm["Threshold"]) == ("GreaterThanThreshold", 0)


ARCHIVE = {name for name in """
    EventArchive EventArchivePolicy EventFiles EventFilesRole EventCopies EventCopiesRole EventCopiesPowers
    LostEventCopies EventCopiesLost EventFilesLate""".split()}


def test_archive_of_events_exists_only_if_the_operator_wants_it(template):
    assert template.document["Parameters"]["EventArchiveDays"]["Default"] == 0
    assert template.document["Conditions"]["ArchivesEvents"] == {"Not": [{"Equals": ["EventArchiveDays", 0]}]}
    conditions = ("ArchivesEvents", "HasAlarmsOfArchive")
    conditional = {name for name, it in template.resources.items() if it.get("Condition") in conditions}
    assert conditional == ARCHIVE


def test_nobody_can_change_or_delete_the_archive_of_events_before_its_time(template):
    archive = template.properties("EventArchive")
    assert archive["ObjectLockEnabled"] is True
    rule = archive["ObjectLockConfiguration"]["Rule"]
    assert rule == {"DefaultRetention": {"Mode": "COMPLIANCE", "Days": "EventArchiveDays"}}
    assert archive["VersioningConfiguration"] == {"Status": "Enabled"}
    assert set(archive["PublicAccessBlockConfiguration"].values()) == {True}
    assert template.resources["EventArchive"]["DeletionPolicy"] == "Retain"


def test_archive_gets_every_record_of_the_table_of_events_and_reports_what_it_could_not_copy(template):
    pipe = template.properties("EventCopies")
    assert (pipe["Source"], pipe["Target"]) == ("EventsTable.StreamArn", "EventFiles.Arn")
    parameters = pipe["SourceParameters"]
    assert "FilterCriteria" not in parameters
    assert "InputTemplate" not in pipe.get("TargetParameters", {})
    assert parameters["DynamoDBStreamParameters"]["DeadLetterConfig"] == {"Arn": "LostEventCopies.Arn"}
    lost, late = (template.properties(name) for name in ("EventCopiesLost", "EventFilesLate"))
    assert lost["Dimensions"] == [{"Name": "QueueName", "Value": "LostEventCopies.QueueName"}]
    assert late["Dimensions"] == [{"Name": "DeliveryStreamName", "Value": "EventFiles"}]
    assert late["Threshold"] < 24 * 60 * 60
    (write, find) = template.properties("EventFilesRole")["Policies"][0]["PolicyDocument"]["Statement"]
    assert set(write["Action"]) == {"s3:PutObject", "s3:AbortMultipartUpload"}


def test_web_acl_is_created_unless_the_operator_has_one_or_wants_none(template):
    assert template.document["Parameters"]["WebAcl"]["Default"] == "create"
    conditions = template.document["Conditions"]
    assert conditions["CreatesWebAcl"] == {"Equals": ["WebAcl", "create"]}
    assert conditions["HasWebAcl"] == {"Not": [{"Equals": ["WebAcl", "none"]}]}
    assert template.resources["AddressLimits"]["Condition"] == "CreatesWebAcl"
    assert template.resources["WebAclOfApi"]["Condition"] == "HasWebAcl"
    association = template.properties("WebAclOfApi")
    assert association["WebACLArn"] == {"If": ["CreatesWebAcl", "AddressLimits.Arn", "WebAcl"]}
    assert association["ResourceArn"].endswith("::/restapis/Api/stages/live")
    assert template.properties("AddressLimits")["Scope"] == "REGIONAL"


def test_web_acl_only_limits_the_requests_from_one_address(template):
    """No rule reads bodies, queries or headers: token URLs carry `meeting_url`, and rules for bodies refuse "://"."""
    acl = template.properties("AddressLimits")
    assert acl["DefaultAction"] == {"Allow": {}}
    for rule in acl["Rules"]:
        assert rule["Action"] == {"Block": {}}, rule["Name"]
        (limit,) = rule["Statement"].values()
        assert set(rule["Statement"]) == {"RateBasedStatement"}, rule["Name"]
        assert (limit["AggregateKeyType"], limit["EvaluationWindowSec"]) == ("IP", 60), rule["Name"]
    inspected = set(re.findall(r'"FieldToMatch": \{"(\w+)"', json.dumps(acl)))
    assert inspected == {"UriPath"}


def test_web_acl_keeps_no_samples_of_requests(template):
    """A sample would show the path of a token URL, and the code in the query of the callback."""
    acl = template.properties("AddressLimits")
    for place in (acl, *acl["Rules"]):
        assert place["VisibilityConfig"]["SampledRequestsEnabled"] is False


def test_one_address_has_a_smaller_limit_on_the_routes_for_strangers(template):
    strangers, everybody = template.properties("AddressLimits")["Rules"]
    assert strangers["Priority"] < everybody["Priority"]
    strangers, everybody = (it["Statement"]["RateBasedStatement"] for it in (strangers, everybody))
    assert (strangers["Limit"], everybody["Limit"]) == ("StrangerAddressLimit", "AddressLimit")
    assert "ScopeDownStatement" not in everybody
    regex = re.compile(strangers["ScopeDownStatement"]["RegexMatchStatement"]["RegexString"])
    paths = {path for function in template.functions() for _, path in template.routes(function)}
    for path in paths:
        with_a_key = path.startswith(("/v2/", "/t/"))
        assert [bool(regex.search(base + path)) for base in ("", "/live")] == [not with_a_key] * 2, path


def mint_rate():
    code = (ROOT / "shared/src/stores/keys.rs").read_text()
    return int(re.search(r"DEFAULT_MINT_RATE: u32 = (\d+);", code)[1])


def test_neither_one_team_nor_one_address_fills_the_throttle_of_a_method(template):
    default = lambda name: template.document["Parameters"][name]["Default"]
    assert 2 * mint_rate() <= default("ThrottleRate")
    # A team that calls from one address may use its whole mint rate.
    assert mint_rate() * 60 < default("AddressLimit") < default("ThrottleRate") * 60
    assert default("StrangerAddressLimit") < default("StrangerThrottleRate") * 60


def test_throttles_are_described_as_limits_of_each_method(template):
    for name in ("ThrottleRate", "ThrottleBurst", "StrangerThrottleRate", "StrangerThrottleBurst"):
        assert "each method" in template.document["Parameters"][name]["Description"], name


def test_many_deletions_and_replaced_users_within_an_hour_ring_an_alarm(template):
    alarm = template.properties("ManyDeletions")
    # Every request writes one line with its status. Other lines of the log group have no field `status`.
    for name, group, pattern in (
        ("Deletions", "DeleteCredentialLogs", "{ $.status = 200 }"),
        ("Replacements", "UpdateCredentialLogs", "{ $.user_replaced = 1 }"),
        ("ConnectReplacements", "ConnectCallbackLogs", "{ $.user_replaced = 1 }"),
    ):
        counted = template.properties(name)
        assert (counted["LogGroupName"], counted["FilterPattern"]) == (group, pattern)
        (metric,) = counted["MetricTransformations"]
        assert (alarm["Namespace"], alarm["MetricName"]) == (metric["MetricNamespace"], metric["MetricName"])
        assert metric["MetricValue"] == "1"
    assert (alarm["Statistic"], alarm["Period"], alarm["TreatMissingData"]) == ("Sum", 3600, "notBreaching")
    assert (alarm["ComparisonOperator"], alarm["Threshold"]) == ("GreaterThanThreshold", 50)


# What a stack policy protects: without a table or a key, every grant is lost, and without the API, every URL that was issued.
PROTECTED = ("AWS::DynamoDB::", "AWS::KMS::Key", "AWS::Serverless::Api")


def refuses(policy, update, kind):
    """Whether a stack policy refuses an update, such as `Update:Delete`, of a resource of this type."""
    statements = json.loads((ROOT / "deploy" / policy).read_text())["Statement"]
    first, *others = statements
    assert first == {"Effect": "Allow", "Action": "Update:*", "Principal": "*", "Resource": "*"}
    # SAM makes this type of the one in the template.
    kind = {"AWS::Serverless::Api": "AWS::ApiGateway::RestApi"}.get(kind, kind)
    for statement in others:
        assert (statement["Effect"], statement["Principal"], statement["Resource"]) == ("Deny", "*", "*")
        assert set(many(statement["Action"])) <= {"Update:Replace", "Update:Delete"}
    return any(update in many(it["Action"]) and kind in it["Condition"]["StringEquals"]["ResourceType"] for it in others)


def test_stack_policy_refuses_to_replace_or_to_delete_every_table_and_key_and_the_api(template):
    for name, resource in template.resources.items():
        protected = resource["Type"].startswith(PROTECTED)
        # A restore takes a table out of the stack, which keeps the table.
        restored = resource["Type"].startswith("AWS::DynamoDB::")
        for update, expected in (("Update:Replace", protected), ("Update:Delete", protected)):
            assert refuses("stack-policy.json", update, resource["Type"]) == expected, name
            expected = expected and not (restored and update == "Update:Delete")
            assert refuses("stack-policy-restore.json", update, resource["Type"]) == expected, name
        assert not refuses("stack-policy.json", "Update:Modify", resource["Type"]), name


def test_guards_page_names_each_guard(template):
    page = (ROOT / "docs/guards.md").read_text()
    for name in ("PowersChanged", "PowerChangeRecords", "SigningProfileVersionArn", "lambda:SourceFunctionArn"):
        assert f"`{name}`" in page, name
    names = [name for part in event_pattern(template)["detail"]["$or"] for name in part["eventName"]]
    calls = {name["prefix"] if isinstance(name, dict) else name for name in names}
    missing = {call for call in calls if f"`{call}`" not in page}
    assert not missing, f"docs/guards.md does not name {missing}"
