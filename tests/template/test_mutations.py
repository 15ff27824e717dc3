"""The rules can fail: each is broken here, in a copy of the template, and must notice."""

import copy
import inspect

import pytest
import record
import test_powers as powers
import test_stack as stack
from template import Template, load

DOCUMENT = load()


def statement(document, role, sid):
    statements = document["Resources"][role]["Properties"]["Policies"][0]["PolicyDocument"]["Statement"]
    return next(it for it in statements if it["Sid"] == sid)


def seal(document, function="CreateCredential"):
    return document["Resources"][f"{function}Seals"]["Properties"]["PolicyDocument"]["Statement"][0]


def key(document, name, sid):
    statements = document["Resources"][name]["Properties"]["KeyPolicy"]["Statement"]
    return next(it for it in statements if it["Sid"] == sid)


def properties(document, name):
    return document["Resources"][name]["Properties"]


def grant(role, *actions, resource="KeysTable.Arn"):
    """Adds a statement to a role."""

    def mutate(document):
        policy = properties(document, role)["Policies"][0]["PolicyDocument"]
        policy["Statement"].append({"Sid": "X", "Effect": "Allow", "Action": list(actions), "Resource": resource})

    return mutate


def put(path, value):
    """Sets what is at a path of keys and indexes, under Resources."""

    def mutate(document):
        at = document["Resources"]
        for step in path[:-1]:
            at = at[step]
        at[path[-1]] = value

    return mutate


def drop(*path):
    def mutate(document):
        at = document["Resources"]
        for step in path[:-1]:
            at = at[step]
        del at[path[-1]]

    return mutate


def change(find, edit):
    def mutate(document):
        edit(find(document))

    return mutate


API = ("Api", "Properties")
NOT_FOUND = (*API, "GatewayResponses", "MISSING_AUTHENTICATION_TOKEN")
SUMMAND = ("KmsFails", "Properties", "Metrics", 1, "MetricStat", "Metric")
BODY = (*NOT_FOUND, "ResponseTemplates", "application/json")

MUTATIONS = [
    # 31
    (powers.test_every_function_has_a_role_of_its_own, put(("GetCredential", "Properties", "Role"), "ListCredentialsRole.Arn")),
    (powers.test_every_function_has_a_role_of_its_own, put(("GetCredentialRole", "Properties", "ManagedPolicyArns"), ["x"])),
    (powers.test_every_function_has_a_role_of_its_own, put(("GetCredential", "Properties", "Policies"), ["DynamoDBCrudPolicy"])),
    (powers.test_no_role_holds_a_wildcard, grant("GetCredentialRole", "dynamodb:*")),
    (powers.test_no_role_holds_a_wildcard, grant("GetCredentialRole", "dynamodb:GetItem", resource="*")),
    (powers.test_no_role_holds_a_wildcard, change(lambda it: properties(it, "OperatorPolicy")["PolicyDocument"]["Statement"][0], lambda it: it.update(Resource="*"))),
    (powers.test_no_function_may_write_keys, grant("DeleteCredentialRole", "dynamodb:PutItem")),
    (powers.test_a_role_only_allows, change(lambda it: statement(it, "GetCredentialRole", "ReadKeys"), lambda it: it.update(Effect="Deny"))),
    (powers.test_the_recovery_policy_is_what_a_replay_of_capsules_takes_on_grants_alone, change(lambda it: properties(it, "RecoveryPolicy")["PolicyDocument"]["Statement"][0], lambda it: it.pop("Condition"))),
    (powers.test_the_recovery_policy_is_what_a_replay_of_capsules_takes_on_grants_alone, change(lambda it: properties(it, "RecoveryPolicy")["PolicyDocument"]["Statement"][0]["Action"], lambda it: it.append("dynamodb:PutItem"))),
    (powers.test_what_anyone_may_call_about_apps_is_held_to_its_rows_and_opens_no_grant, grant("ZoomWebhookRole", "dynamodb:GetItem", resource="SecretsTable.Arn")),
    (powers.test_what_anyone_may_call_about_apps_is_held_to_its_rows_and_opens_no_grant, put(("ZoomWebhookSeals", "Properties", "PolicyDocument", "Statement", 0, "Condition", "StringEquals", "kms:EncryptionContext:purpose"), ["webhook", "grant"])),
    (powers.test_the_everyday_operator_touches_keys_and_no_secrets, change(lambda it: properties(it, "OperatorPolicy")["PolicyDocument"]["Statement"][0], lambda it: it.update(Resource="SecretsTable.Arn"))),
    (powers.test_the_restore_policy_is_what_listing_and_restoring_take, change(lambda it: properties(it, "RestorePolicy")["PolicyDocument"]["Statement"][1], lambda it: it.pop("Condition"))),
    (powers.test_the_restore_policy_is_what_listing_and_restoring_take, change(lambda it: properties(it, "RestorePolicy")["PolicyDocument"]["Statement"][0]["Action"], lambda it: it.append("dynamodb:DeleteItem"))),
    (powers.test_the_purge_policy_is_what_purging_and_sweeping_take, change(lambda it: properties(it, "PurgePolicy")["PolicyDocument"]["Statement"][1]["Action"], lambda it: it.append("dynamodb:UpdateItem"))),
    (powers.test_whoever_destroys_opens_nothing, grant("PurgeRole", "kms:Decrypt", resource="EnvelopeKey.Arn")),
    (powers.test_whoever_moves_keys_opens_nothing_and_reads_not_even_ciphertext, change(lambda it: properties(it, "RewrapPowers")["PolicyDocument"]["Statement"][1]["Action"], lambda it: it.append("kms:Decrypt"))),
    (powers.test_whoever_moves_keys_opens_nothing_and_reads_not_even_ciphertext, change(lambda it: key(it, "EnvelopeKey", "RewrapMoves"), lambda it: it["Condition"].pop("ArnEquals"))),
    (powers.test_the_doctor_looks_and_touches_nothing, change(lambda it: properties(it, "DoctorPolicy")["PolicyDocument"]["Statement"][2]["Action"], lambda it: it.append("dynamodb:PutItem"))),
    # 32
    (powers.test_the_table_of_powers_is_what_the_template_says, grant("GetCredentialRole", "dynamodb:Query", resource="CredentialsTable.Arn")),
    # 33
    (powers.test_every_kms_statement_of_a_role_names_the_app_and_the_purpose, change(seal, lambda it: it["Condition"]["StringEquals"].pop("kms:EncryptionContext:app"))),
    (powers.test_every_kms_statement_of_a_role_names_the_app_and_the_purpose, change(seal, lambda it: it["Condition"]["StringEquals"].pop("kms:EncryptionContext:purpose"))),
    (powers.test_every_kms_statement_of_a_role_names_the_app_and_the_purpose, change(seal, lambda it: it.update(Resource="AtRestKey.Arn"))),
    (powers.test_the_words_of_the_encryption_context_are_those_that_the_functions_send, change(lambda it: key(it, "EnvelopeKey", "FunctionsUse"), lambda it: it["Condition"]["StringEquals"].update({"kms:EncryptionContext:purpose": ["app"]}))),
    (powers.test_the_words_of_the_encryption_context_are_those_that_the_functions_send, change(seal, lambda it: it["Condition"]["StringEquals"].update({"kms:EncryptionContext:purpose": "apps"}))),
    (powers.test_the_envelope_key_denies_every_use_without_the_row, change(lambda it: key(it, "EnvelopeKey", "NobodyUsesWithoutTheRow"), lambda it: it.update(Condition={}))),
    (powers.test_the_envelope_key_denies_every_use_without_the_row, change(lambda it: key(it, "EnvelopeKey", "NobodyUsesWithoutTheRow"), lambda it: it["Action"].remove("kms:Decrypt"))),
    (powers.test_the_envelope_key_is_used_by_the_functions_that_seal_and_nobody_else, change(lambda it: key(it, "EnvelopeKey", "FunctionsUse"), lambda it: it.pop("Condition"))),
    (powers.test_the_envelope_key_is_used_by_the_functions_that_seal_and_nobody_else, change(lambda it: key(it, "EnvelopeKey", "AdministratorsManage"), lambda it: it.update(Action="kms:*"))),
    (powers.test_administrators_keep_both_keys, change(lambda it: key(it, "AtRestKey", "AdministratorsManage"), lambda it: it["Action"].remove("kms:PutKeyPolicy"))),
    (powers.test_the_key_at_rest_is_used_through_dynamodb_in_this_account_only, change(lambda it: key(it, "AtRestKey", "TablesUse"), lambda it: it["Condition"]["StringEquals"].pop("kms:CallerAccount"))),
    # 34
    (powers.test_no_function_may_scan, grant("ListCredentialsRole", "dynamodb:Scan", resource="CredentialsTable.Arn")),
    (powers.test_no_function_and_no_operator_may_destroy, grant("ListCredentialsRole", "dynamodb:DeleteTable")),
    (powers.test_no_function_and_no_operator_may_destroy, grant("ListCredentialsRole", "kms:ScheduleKeyDeletion")),
    (powers.test_no_function_and_no_operator_may_destroy, change(lambda it: properties(it, "OperatorPolicy")["PolicyDocument"]["Statement"][0]["Action"], lambda it: it.append("kms:PutKeyPolicy"))),
    # 18, 36, 37
    (powers.test_reading_functions_hold_no_key_and_no_secrets, grant("GetCredentialRole", "dynamodb:GetItem", resource="SecretsTable.Arn")),
    (powers.test_reading_functions_hold_no_key_and_no_secrets, grant("GetCredentialRole", "kms:Decrypt", resource="EnvelopeKey.Arn")),
    (powers.test_a_role_allows_the_calls_that_its_function_makes_and_no_other, grant("DeleteCredentialRole", "dynamodb:GetItem", resource="CredentialsTable.Arn")),
    (powers.test_a_role_allows_the_calls_that_its_function_makes_and_no_other, change(lambda it: statement(it, "CreateCredentialRole", "CountAndRemember"), lambda it: it["Action"].remove("dynamodb:DeleteItem"))),
    (powers.test_a_role_allows_the_calls_that_its_function_makes_and_no_other, change(lambda it: seal(it, "MintToken"), lambda it: it["Condition"]["StringEquals"].update({"kms:EncryptionContext:purpose": ["app", "grant"]}))),
    (powers.test_a_role_allows_the_calls_that_its_function_makes_and_no_other, change(lambda it: statement(it, "TokenUrlRole", "UseTokenUrls")["Action"], lambda it: it.append("dynamodb:PutItem"))),
    (powers.test_a_role_allows_the_calls_that_its_function_makes_and_no_other, change(lambda it: statement(it, "KeepAliveRole", "RefreshGrants")["Action"], lambda it: it.remove("dynamodb:ConditionCheckItem"))),
    (powers.test_a_role_that_names_kinds_of_rows_allows_the_kinds_that_its_function_calls, change(lambda it: statement(it, "PurgeRole", "ScheduleGrants")["Condition"]["ForAllValues:StringLike"]["dynamodb:LeadingKeys"], lambda it: it.append("app#*"))),
    (powers.test_a_role_that_names_kinds_of_rows_allows_the_kinds_that_its_function_calls, change(lambda it: statement(it, "ZoomWebhookRole", "ReadApps")["Action"], lambda it: it.clear())),
    (powers.test_what_anyone_can_call_is_limited_to_the_rows_of_sessions, put(("ConnectRole", "Properties", "Policies", 0, "PolicyDocument", "Statement", 0, "Condition"), {})),
    (powers.test_what_anyone_can_call_is_limited_to_the_rows_of_sessions, change(lambda it: statement(it, "ConnectCallbackRole", "ReadAndWriteSecrets")["Action"], lambda it: it.append("dynamodb:DeleteItem"))),
    (powers.test_every_binary_is_a_function_and_every_function_a_binary, drop("GetCredential")),
    (powers.test_every_function_is_triggered_as_its_row_says, put(("GetCredential", "Properties", "Events", "Route", "Properties", "Method"), "HEAD")),
    (powers.test_every_function_is_triggered_as_its_row_says, put(("Purge", "Properties", "Events"), {})),
    (powers.test_every_function_has_the_time_out_of_its_row, put(("MintToken", "Properties", "Timeout"), 29)),
    (powers.test_every_function_has_the_time_out_of_its_row, lambda it: it["Globals"]["Function"].update(Timeout=30)),
    (powers.test_a_stream_is_read_by_the_calls_that_lambda_makes_and_no_other, change(lambda it: statement(it, "PurgeRole", "ReadTheStream")["Action"], lambda it: it.append("dynamodb:UpdateItem"))),
    (powers.test_every_recorded_call_is_by_a_function_or_under_an_operators_policy, drop("PurgePolicy")),
    (powers.test_every_function_is_given_the_environment_that_its_powers_are_built_from, drop("GetCredential", "Properties", "Environment", "Variables", "KEYS_TABLE")),
    (powers.test_the_environment_holds_names_of_tables_and_of_the_key_and_nothing_else, put(("GetCredential", "Properties", "Environment", "Variables", "KEYS_TABLE"), "hunter2")),
    (powers.test_the_environment_holds_names_of_tables_and_of_the_key_and_nothing_else, put(("GetCredential", "Properties", "Environment", "Variables", "SECRETS_TABLE"), "SecretsTable")),
    (powers.test_the_environment_holds_names_of_tables_and_of_the_key_and_nothing_else, put(("CreateCredential", "Properties", "Environment", "Variables", "ZOOM_API_BASE_URL"), "https://evil.example")),
    (powers.test_a_function_is_told_where_a_service_is_only_if_it_calls_it, put(("GetCredential", "Properties", "Environment", "Variables", "AWS_ENDPOINT_URL_KMS"), "")),
    # 35
    (stack.test_the_tables_are_the_ones_that_the_code_makes_locally, drop("RequestsTable", "Properties", "TimeToLiveSpecification")),
    (stack.test_the_tables_are_the_ones_that_the_code_makes_locally, change(lambda it: properties(it, "CredentialsTable")["GlobalSecondaryIndexes"][0]["Projection"]["NonKeyAttributes"], lambda it: it.remove("deleted"))),
    (stack.test_a_table_can_be_recovered_and_is_hard_to_lose, drop("SecretsTable", "Properties", "PointInTimeRecoverySpecification")),
    (stack.test_a_table_can_be_recovered_and_is_hard_to_lose, put(("KeysTable", "Properties", "DeletionProtectionEnabled"), False)),
    (stack.test_a_table_can_be_recovered_and_is_hard_to_lose, put(("KeysTable", "Properties", "SSESpecification"), {"SSEEnabled": True})),
    (stack.test_only_credentials_have_a_stream, put(("SecretsTable", "Properties", "StreamSpecification"), {"StreamViewType": "NEW_IMAGE"})),
    (stack.test_what_holds_data_outlives_the_stack, drop("EnvelopeKey", "DeletionPolicy")),
    (stack.test_both_keys_rotate, put(("EnvelopeKey", "Properties", "EnableKeyRotation"), False)),
    (stack.test_every_log_is_kept_for_a_time_and_every_function_has_one, drop("AccessLogs", "Properties", "RetentionInDays")),
    (stack.test_the_stage_logs_errors_and_no_bodies_caches_nothing_and_throttles, put((*API, "MethodSettings", 0, "DataTraceEnabled"), True)),
    (stack.test_the_stage_logs_errors_and_no_bodies_caches_nothing_and_throttles, put((*API, "CacheClusterEnabled"), True)),
    (stack.test_what_strangers_reach_is_throttled_by_itself, change(lambda it: properties(it, "Api")["MethodSettings"], lambda it: it.pop())),
    (stack.test_what_strangers_reach_is_throttled_by_itself, put((*API, "MethodSettings", 1, "ResourcePath"), "/webhooks/zoom/{client_id}")),
    (stack.test_what_strangers_reach_is_throttled_by_itself, put((*API, "MethodSettings", 2, "DataTraceEnabled"), True)),
    (stack.test_what_strangers_reach_is_throttled_by_itself, put((*API, "MethodSettings", 3, "ThrottlingRateLimit"), "ThrottleRate")),
    (stack.test_the_access_log_holds_no_path_and_no_query, put((*API, "AccessLogSetting", "Format"), '{"path": "$context.path"}')),
    (stack.test_the_api_is_regional_and_takes_tls_1_2_or_better, put((*API, "SecurityPolicy"), "TLS_1_0")),
    (stack.test_functions_are_traced_and_the_stage_is_not, put((*API, "TracingEnabled"), True)),
    (stack.test_functions_know_the_outcome_before_the_gateway_gives_up, put(("GetCredential", "Properties", "Timeout"), 60)),
    (stack.test_functions_know_the_outcome_before_the_gateway_gives_up, put(("MintToken", "Properties", "Timeout"), 29)),
    (stack.test_what_runs_on_a_schedule_is_called_by_its_rule_alone_and_once, put(("KeepAlive", "Properties", "Events", "EveryHour", "Type"), "ScheduleV2")),
    (stack.test_what_runs_on_a_schedule_is_called_by_its_rule_alone_and_once, put(("KeepAlive", "Properties", "ReservedConcurrentExecutions"), 1)),
    (stack.test_what_deleted_credentials_leave_is_seen_to_or_kept_in_a_queue, put(("CredentialsTable", "Properties", "StreamSpecification", "StreamViewType"), "NEW_IMAGE")),
    (stack.test_what_deleted_credentials_leave_is_seen_to_or_kept_in_a_queue, drop("Purge", "Properties", "Events", "Gone", "Properties", "DestinationConfig")),
    (stack.test_what_deleted_credentials_leave_is_seen_to_or_kept_in_a_queue, drop("Purge", "Properties", "Events", "Gone", "Properties", "FilterCriteria", "Filters", 1)),
    (stack.test_a_grant_that_rests_outlives_the_time_in_which_its_credential_can_be_restored, lambda it: it["Parameters"]["RestorableDays"].update(MaxValue=60)),
    (stack.test_a_token_url_is_asked_by_every_method, put(("TokenUrl", "Properties", "Events", "Route", "Properties", "Method"), "GET")),
    # the gateway's own answers
    (stack.test_every_answer_of_the_gateway_wears_the_envelope, drop(*API, "GatewayResponses", "WAF_FILTERED")),
    (stack.test_every_answer_of_the_gateway_wears_the_envelope, put((*NOT_FOUND, "StatusCode"), 403)),
    (stack.test_every_answer_of_the_gateway_wears_the_envelope, put(BODY, '{"message": "$context.error.message"}')),
    (stack.test_every_answer_of_the_gateway_has_the_headers_that_functions_send, drop(*NOT_FOUND, "ResponseParameters", "Headers", "cache-control")),
    (stack.test_an_unknown_route_is_a_404, put((*NOT_FOUND, "StatusCode"), 403)),
    # events, alarms, dashboard
    (stack.test_events_are_the_changes_of_credentials_in_named_fields, put(("Changes", "Properties", "TargetParameters", "InputTemplate"), '{"all": "<$.dynamodb>"}')),
    (stack.test_events_are_the_changes_of_credentials_in_named_fields, put(("Changes", "Properties", "Source"), "SecretsTable.StreamArn")),
    (stack.test_a_change_that_cannot_be_told_is_tried_again_split_and_kept, drop("Changes", "Properties", "SourceParameters", "DynamoDBStreamParameters", "DeadLetterConfig")),
    (stack.test_every_alarm_can_ring, put((*SUMMAND, "MetricName"), "vault_failed")),
    (stack.test_every_alarm_can_ring, put((*SUMMAND, "Dimensions", 0, "Name"), "FunctionName")),
    (stack.test_every_alarm_can_ring, put((*SUMMAND, "Dimensions", 0, "Value"), "GetCredential")),
    (stack.test_every_alarm_can_ring, put(("KmsFails", "Properties", "Metrics", 0, "Expression"), "SUM([createCredential])")),
    (stack.test_every_failure_of_kms_and_every_one_of_zooms_has_an_alarm, drop("ZoomIsSilent")),
    (stack.test_what_costs_users_a_reconnect_has_an_alarm_over_every_function_that_uses_grants, drop("GrantsNotStored")),
    (stack.test_what_costs_users_a_reconnect_has_an_alarm_over_every_function_that_uses_grants, put(("RefreshOutcomesLost", "Properties", "Threshold"), 5)),
    (stack.test_a_schedule_that_stands_still_is_noticed, put(("KeepAliveStands", "Properties", "TreatMissingData"), "notBreaching")),
    (stack.test_the_dashboard_shows_every_metric_of_every_function_that_has_it, change(lambda it: properties(it, "Dashboard"), lambda it: it.update(DashboardBody=it["DashboardBody"].replace('"zoom_silent"', '"zoom_failed"')))),
    (stack.test_the_dashboard_is_json_and_names_what_exists, put(("Dashboard", "Properties", "DashboardBody"), "{")),
    (stack.test_the_outputs_name_the_tables_the_key_the_bus_and_the_url, lambda it: it["Outputs"].pop("KeysTable")),
    (stack.test_every_alarm_says_what_to_do_and_every_metric_what_it_is, drop("KmsFails")),
    (stack.test_every_parameter_is_explained, lambda it: it["Parameters"].update(New={"Type": "String", "Default": ""})),
    (stack.test_every_parameter_has_a_default, lambda it: it["Parameters"]["WebAclArn"].pop("Default")),
]


def check(test, template):
    if "name" in inspect.signature(test).parameters:
        for name in stack.TABLES:
            test(template, name)
    else:
        test(template)


@pytest.mark.parametrize("test, mutate", MUTATIONS, ids=[test.__name__ for test, _ in MUTATIONS])
def test_a_broken_template_is_noticed(test, mutate):
    check(test, Template(copy.deepcopy(DOCUMENT)))
    document = copy.deepcopy(DOCUMENT)
    mutate(document)
    with pytest.raises((AssertionError, KeyError, ValueError)):
        check(test, Template(document))


def test_every_rule_is_broken_at_least_once():
    rules = {
        rule
        for module in (powers, stack)
        for name, rule in vars(module).items()
        if name.startswith("test_") and inspect.isfunction(rule)
    }
    assert rules == {test for test, _ in MUTATIONS}


# ---- the record of calls and the roles: each single right and each single call counts

def check_roles(template):
    powers.test_a_role_allows_the_calls_that_its_function_makes_and_no_other(template)
    powers.test_a_role_that_names_kinds_of_rows_allows_the_kinds_that_its_function_calls(template)



def role_statements(document):
    """`(role, statement)` of everything that the functions' roles allow in DynamoDB and KMS and that is exercised."""
    template = Template(document)
    of_functions = {template.role(function) for function in template.functions()}
    for name, resource in document["Resources"].items():
        if resource["Type"] == "AWS::IAM::Role":
            policies, roles = resource["Properties"].get("Policies", []), [name]
        elif resource["Type"] == "AWS::IAM::Policy":
            policies, roles = [resource["Properties"]], resource["Properties"]["Roles"]
        else:
            continue
        for policy in policies:
            for it in policy["PolicyDocument"]["Statement"]:
                services = {action.partition(":")[0] for action in it["Action"]}
                if services & {"dynamodb", "kms"} and "NotExercised" not in it and of_functions & {*roles}:
                    yield roles, it


@pytest.fixture(scope="module")
def roles_are_right():
    """Without a mutation, each role is right. Otherwise every mutation would count as noticed."""
    check_roles(Template(DOCUMENT))


def assert_noticed(document, what):
    try:
        check_roles(Template(document))
    except AssertionError:
        return
    pytest.fail(f"not noticed: {what}")


def test_a_right_that_is_taken_away_is_noticed_each(roles_are_right):
    document = copy.deepcopy(DOCUMENT)
    taken = 0
    for roles, it in role_statements(document):
        for action in it["Action"]:
            whole = it["Action"]
            it["Action"] = [other for other in whole if other != action]
            assert_noticed(document, f"{roles} lost {action} of {it['Sid']}")
            it["Action"] = whole
            taken += 1
    assert taken > 150


def test_a_right_that_is_added_is_noticed_in_each_role(roles_are_right):
    document = copy.deepcopy(DOCUMENT)
    for function in Template(document).functions():
        statements = properties(document, f"{function}Role")["Policies"][0]["PolicyDocument"]["Statement"]
        for right, resource in (("dynamodb:Query", "KeysTable.Arn"), ("dynamodb:BatchGetItem", "SecretsTable.Arn")):
            grant(f"{function}Role", right, resource=resource)(document)
            assert_noticed(document, f"{function} got {right}")
            statements.pop()


def test_a_purpose_that_is_added_is_noticed(roles_are_right):
    document = copy.deepcopy(DOCUMENT)
    seal(document)["Condition"]["StringEquals"]["kms:EncryptionContext:purpose"] = ["app", "grant", "webhook"]
    assert_noticed(document, "CreateCredential may seal webhook secrets")


def test_a_call_that_is_taken_away_is_noticed_each(roles_are_right, monkeypatch):
    calls = record.calls()
    for function in map(Template(DOCUMENT).binary, Template(DOCUMENT).functions()):
        for call in calls.get(function, ()):
            monkeypatch.setattr(record, "calls", lambda: calls | {function: calls[function] - {call}})
            assert_noticed(DOCUMENT, f"{function} no longer makes {call}")


def test_a_call_that_is_added_is_noticed_in_each_function(roles_are_right, monkeypatch):
    calls = record.calls()
    for function in map(Template(DOCUMENT).binary, Template(DOCUMENT).functions()):
        for call in (("keys", "UpdateItem"), ("secrets", "Scan"), ("kms/grant", "Encrypt")):
            monkeypatch.setattr(record, "calls", lambda: calls | {function: calls.get(function, set()) | {call}})
            assert_noticed(DOCUMENT, f"{function} makes {call}")


def test_a_reason_for_a_right_without_calls_is_refused_once_there_are_calls(roles_are_right):
    document = copy.deepcopy(DOCUMENT)
    statement(document, "GetCredentialRole", "ReadKeys")["NotExercised"] = "no reason"
    assert_noticed(document, "a stale reason")
