"""Proves that each rule can fail. Each mutation breaks a copy of the template, and the rule must reject the copy."""

import copy
import inspect

import pytest
import record
import test_alarms_page as alarms_page
import test_guards as guards
import test_powers as powers
import test_restore as restore
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
    """Sets the value at a path of keys and indexes under Resources."""

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


def change_dashboard(text, other):
    def mutate(document):
        body = properties(document, "StackDashboard")["DashboardBody"]["Sub"]
        assert text in body[0]
        body[0] = body[0].replace(text, other)

    return mutate


def writable_rows(document, role, sid="WriteNoOtherSecrets"):
    return statement(document, role, sid)["Condition"]["ForAnyValue:StringNotLike"]["dynamodb:LeadingKeys"]


def of_import(document, sid):
    return next(it for it in properties(document, "ImportPowers")["PolicyDocument"]["Statement"] if it["Sid"] == sid)


def spared_by_import(document, sid):
    return of_import(document, sid)["Condition"]["ForAnyValue:StringNotLike"]["dynamodb:LeadingKeys"]


def part_of_event_pattern(document, number):
    return properties(document, "PowerChanges")["EventPattern"]["detail"]["$or"][number]


API = ("Api", "Properties")
RULES = ("AddressLimits", "Properties", "Rules")
NOT_FOUND = (*API, "GatewayResponses", "MISSING_AUTHENTICATION_TOKEN")
BODY = (*NOT_FOUND, "ResponseTemplates", "application/json")

MUTATIONS = [
    # roles
    (powers.test_each_function_has_its_own_role, put(("GetCredential", "Properties", "Role"), "ListCredentialsRole.Arn")),
    (powers.test_each_function_has_its_own_role, put(("GetCredentialRole", "Properties", "ManagedPolicyArns"), ["x"])),
    (powers.test_each_function_has_its_own_role, put(("GetCredential", "Properties", "Policies"), ["DynamoDBCrudPolicy"])),
    (powers.test_every_role_has_the_permissions_boundary_of_the_operator, drop("ChangesRole", "Properties", "PermissionsBoundary")),
    (powers.test_no_role_uses_a_wildcard, grant("GetCredentialRole", "dynamodb:*")),
    (powers.test_no_role_uses_a_wildcard, grant("GetCredentialRole", "dynamodb:GetItem", resource="*")),
    (powers.test_no_role_uses_a_wildcard, change(lambda it: properties(it, "OperatorPolicy")["PolicyDocument"]["Statement"][0], lambda it: it.update(Resource="*"))),
    (powers.test_no_function_can_write_api_keys, grant("DeleteCredentialRole", "dynamodb:PutItem")),
    (powers.test_role_denies_only_writes_to_kinds_of_rows, change(lambda it: statement(it, "GetCredentialRole", "ReadKeys"), lambda it: it.update(Effect="Deny"))),
    (powers.test_role_denies_only_writes_to_kinds_of_rows, change(lambda it: statement(it, "RotateSecretRole", "WriteNoOtherSecrets"), lambda it: it.update(Condition={"StringNotLike": {"dynamodb:LeadingKeys": ["app#*"]}}))),
    (powers.test_role_denies_writes_to_each_kind_of_row_that_its_function_never_wrote, change(lambda it: statement(it, "RotateSecretRole", "WriteNoOtherSecrets"), lambda it: it.update(Action=["dynamodb:UpdateItem"]))),
    (powers.test_role_denies_writes_to_each_kind_of_row_that_its_function_never_wrote, change(lambda it: writable_rows(it, "RotateSecretRole"), lambda it: it.append("grant#*"))),
    (powers.test_role_denies_writes_to_each_kind_of_row_that_its_function_never_wrote, change(lambda it: writable_rows(it, "ConnectCallbackRole"), lambda it: it.remove("grant#*"))),
    (powers.test_no_denied_row_is_part_of_a_transaction, change(lambda it: writable_rows(it, "RotateSecretRole"), lambda it: it.remove("app#*"))),
    (powers.test_right_that_is_used_only_in_transactions_is_limited_to_transactions, change(lambda it: statement(it, "RotateSecretRole", "WriteSecrets"), lambda it: it.pop("Condition"))),
    (powers.test_right_that_is_used_only_in_transactions_is_limited_to_transactions, change(lambda it: statement(it, "RotateSecretRole", "Count"), lambda it: it.update(Condition=powers.ONLY_IN_TRANSACTIONS))),
    (powers.test_security_page_names_the_functions_that_could_write_every_secret_in_a_transaction, change(lambda it: statement(it, "PurgeRole", "HastenGrants"), lambda it: it.pop("Condition"))),
    (powers.test_right_to_kms_names_the_function, change(seal, lambda it: it["Condition"].pop("ArnEquals"))),
    (powers.test_right_to_kms_names_the_function, change(seal, lambda it: it["Condition"]["ArnEquals"].update({"lambda:SourceFunctionArn": "MintToken.Arn"}))),
    (powers.test_role_of_the_pipe_trusts_only_the_pipe_of_this_stack, change(lambda it: properties(it, "ChangesRole")["AssumeRolePolicyDocument"]["Statement"][0], lambda it: it.pop("Condition"))),
    (powers.test_recovery_policy_allows_exactly_a_capsule_replay_and_reads_only_grants, change(lambda it: properties(it, "RecoveryPolicy")["PolicyDocument"]["Statement"][0], lambda it: it.pop("Condition"))),
    (powers.test_recovery_policy_allows_exactly_a_capsule_replay_and_reads_only_grants, change(lambda it: properties(it, "RecoveryPolicy")["PolicyDocument"]["Statement"][0]["Action"], lambda it: it.append("dynamodb:DeleteItem"))),
    (powers.test_recovery_policy_allows_exactly_a_capsule_replay_and_reads_only_grants, change(lambda it: properties(it, "RecoveryPolicy")["PolicyDocument"]["Statement"][1], lambda it: it.pop("Condition"))),
    (powers.test_zoom_app_functions_are_limited_to_their_rows_and_cannot_decrypt_grants, grant("ZoomWebhookRole", "dynamodb:GetItem", resource="SecretsTable.Arn")),
    (powers.test_zoom_app_functions_are_limited_to_their_rows_and_cannot_decrypt_grants, put(("ZoomWebhookSeals", "Properties", "PolicyDocument", "Statement", 0, "Condition", "StringEquals", "kms:EncryptionContext:purpose"), ["webhook", "grant"])),
    (powers.test_only_two_functions_use_secrets_of_vendors_and_each_is_limited_to_its_rows, change(lambda it: statement(it, "VendorsRole", "KeepSecretsOfVendors"), lambda it: it.pop("Condition"))),
    (powers.test_only_two_functions_use_secrets_of_vendors_and_each_is_limited_to_its_rows, change(lambda it: statement(it, "CreateTokenUrlRole", "FindSecretsOfVendors")["Condition"]["ForAllValues:StringLike"]["dynamodb:LeadingKeys"], lambda it: it.append("grant#*"))),
    (powers.test_only_two_functions_use_secrets_of_vendors_and_each_is_limited_to_its_rows, put(("VendorsSeals", "Properties", "PolicyDocument", "Statement", 0, "Action"), ["kms:GenerateDataKey", "kms:Decrypt"])),
    (powers.test_operator_policy_writes_teams_and_keys_and_stops_what_keys_have_made, change(lambda it: properties(it, "OperatorPolicy")["PolicyDocument"]["Statement"][0], lambda it: it.update(Resource="SecretsTable.Arn"))),
    (powers.test_restore_policy_allows_exactly_listing_and_restoring, change(lambda it: properties(it, "RestorePolicy")["PolicyDocument"]["Statement"][3], lambda it: it.pop("Condition"))),
    (powers.test_restore_policy_allows_exactly_listing_and_restoring, change(lambda it: properties(it, "RestorePolicy")["PolicyDocument"]["Statement"][1]["Action"], lambda it: it.append("dynamodb:DeleteItem"))),
    (powers.test_purge_policy_allows_exactly_purging_and_sweeping, change(lambda it: properties(it, "PurgePolicy")["PolicyDocument"]["Statement"][1]["Action"], lambda it: it.append("dynamodb:UpdateItem"))),
    (powers.test_functions_that_delete_secrets_cannot_decrypt_them, grant("PurgeRole", "kms:Decrypt", resource="EnvelopeKey.Arn")),
    (powers.test_functions_that_delete_secrets_cannot_decrypt_them, change(lambda it: statement(it, "KeepAliveRole", "DeleteGrantsThatNobodyNeeds"), lambda it: it.pop("Condition"))),
    (powers.test_purge_cannot_delete_grants, change(lambda it: statement(it, "PurgeRole", "DestroyClientSecrets")["Condition"]["ForAllValues:StringLike"]["dynamodb:LeadingKeys"], lambda it: it.append("grant#*"))),
    (powers.test_rewrap_role_cannot_decrypt_or_read_ciphertext, change(lambda it: properties(it, "RewrapPowers")["PolicyDocument"]["Statement"][1]["Action"], lambda it: it.append("kms:Decrypt"))),
    (powers.test_rewrap_role_cannot_decrypt_or_read_ciphertext, change(lambda it: key(it, "EnvelopeKey", "RewrapMoves"), lambda it: it["Condition"].pop("ArnEquals"))),
    (powers.test_import_role_opens_only_grants_that_an_import_stored, change(lambda it: of_import(it, "OpenImportedGrants")["Condition"], lambda it: it.pop("StringLike"))),
    (powers.test_import_role_opens_only_grants_that_an_import_stored, change(lambda it: key(it, "EnvelopeKey", "ImportOpens")["Condition"], lambda it: it.pop("StringLike"))),
    (powers.test_import_role_allows_exactly_an_import_and_writes_single_rows_of_imported_grants_only, change(lambda it: of_import(it, "BeginAndEndImports"), lambda it: it.pop("Condition"))),
    (powers.test_import_role_denies_writes_to_every_secret_that_no_import_wrote, change(lambda it: spared_by_import(it, "WriteNoOtherSecrets"), lambda it: it.append("webhook#*"))),
    (powers.test_import_role_denies_writes_to_every_secret_that_no_import_wrote, change(lambda it: spared_by_import(it, "DeleteNoOtherSecrets"), lambda it: it.append("app#*"))),
    (powers.test_import_role_denies_writes_to_every_secret_that_no_import_wrote, change(lambda it: of_import(it, "DeleteNoOtherSecrets"), lambda it: it.update(Effect="Allow"))),
    (powers.test_session_of_the_import_role_ends_after_two_hours, put(("ImportRole", "Properties", "MaxSessionDuration"), 43200)),
    (powers.test_doctor_policy_only_reads, change(lambda it: properties(it, "DoctorPolicy")["PolicyDocument"]["Statement"][2]["Action"], lambda it: it.append("dynamodb:PutItem"))),
    # docs/powers.md
    (powers.test_powers_page_is_up_to_date, grant("GetCredentialRole", "dynamodb:Query", resource="CredentialsTable.Arn")),
    # KMS keys
    (powers.test_every_kms_statement_of_a_role_requires_app_and_purpose_in_the_encryption_context, change(seal, lambda it: it["Condition"]["StringEquals"].pop("kms:EncryptionContext:app"))),
    (powers.test_every_kms_statement_of_a_role_requires_app_and_purpose_in_the_encryption_context, change(seal, lambda it: it["Condition"]["StringEquals"].pop("kms:EncryptionContext:purpose"))),
    (powers.test_every_kms_statement_of_a_role_requires_app_and_purpose_in_the_encryption_context, change(seal, lambda it: it.update(Resource="AtRestKey.Arn"))),
    (powers.test_template_and_functions_use_the_same_encryption_contexts, change(lambda it: key(it, "EnvelopeKey", "FunctionsUse"), lambda it: it["Condition"]["StringEquals"].update({"kms:EncryptionContext:purpose": ["app"]}))),
    (powers.test_template_and_functions_use_the_same_encryption_contexts, change(seal, lambda it: it["Condition"]["StringEquals"].update({"kms:EncryptionContext:purpose": "apps"}))),
    (powers.test_envelope_key_denies_use_without_the_row_in_the_encryption_context, change(lambda it: key(it, "EnvelopeKey", "NobodyUsesWithoutTheRow"), lambda it: it.update(Condition={}))),
    (powers.test_envelope_key_denies_use_without_the_row_in_the_encryption_context, change(lambda it: key(it, "EnvelopeKey", "NobodyUsesWithoutTheRow"), lambda it: it["Action"].remove("kms:Decrypt"))),
    (powers.test_only_functions_with_kms_rights_can_use_the_envelope_key, change(lambda it: key(it, "EnvelopeKey", "FunctionsUse"), lambda it: it.pop("Condition"))),
    (powers.test_only_functions_with_kms_rights_can_use_the_envelope_key, change(lambda it: key(it, "EnvelopeKey", "AdministratorsManage"), lambda it: it.update(Action="kms:*"))),
    (powers.test_administrators_can_manage_both_keys_but_not_use_them, change(lambda it: key(it, "AtRestKey", "AdministratorsManage"), lambda it: it["Action"].remove("kms:PutKeyPolicy"))),
    (powers.test_at_rest_key_is_usable_only_through_dynamodb_and_in_this_account, change(lambda it: key(it, "AtRestKey", "TablesUse"), lambda it: it["Condition"]["StringEquals"].pop("kms:CallerAccount"))),
    # destructive actions
    (powers.test_no_function_can_scan_a_table, grant("ListCredentialsRole", "dynamodb:Scan", resource="CredentialsTable.Arn")),
    (powers.test_no_function_and_no_operator_can_delete_tables_backups_or_keys, grant("ListCredentialsRole", "dynamodb:DeleteTable")),
    (powers.test_no_function_and_no_operator_can_delete_tables_backups_or_keys, grant("ListCredentialsRole", "kms:ScheduleKeyDeletion")),
    (powers.test_no_function_and_no_operator_can_delete_tables_backups_or_keys, change(lambda it: properties(it, "OperatorPolicy")["PolicyDocument"]["Statement"][0]["Action"], lambda it: it.append("kms:PutKeyPolicy"))),
    # rights, calls and environments
    (powers.test_read_only_functions_have_no_right_to_kms_or_secrets, grant("GetCredentialRole", "dynamodb:GetItem", resource="SecretsTable.Arn")),
    (powers.test_read_only_functions_have_no_right_to_kms_or_secrets, grant("GetCredentialRole", "kms:Decrypt", resource="EnvelopeKey.Arn")),
    (powers.test_role_allows_exactly_the_calls_that_its_function_makes, grant("DeleteCredentialRole", "dynamodb:Query", resource="CredentialsTable.Arn")),
    (powers.test_role_allows_exactly_the_calls_that_its_function_makes, change(lambda it: statement(it, "CreateCredentialRole", "CountAndRememberInTransactions"), lambda it: it["Action"].remove("dynamodb:DeleteItem"))),
    (powers.test_role_allows_exactly_the_calls_that_its_function_makes, change(lambda it: seal(it, "MintToken"), lambda it: it["Condition"]["StringEquals"].update({"kms:EncryptionContext:purpose": ["app", "grant"]}))),
    (powers.test_role_allows_exactly_the_calls_that_its_function_makes, change(lambda it: statement(it, "TokenUrlRole", "UseTokenUrls")["Action"], lambda it: it.append("dynamodb:PutItem"))),
    (powers.test_role_allows_exactly_the_calls_that_its_function_makes, change(lambda it: statement(it, "KeepAliveRole", "RefreshGrants")["Action"], lambda it: it.remove("dynamodb:ConditionCheckItem"))),
    (powers.test_role_that_names_kinds_of_rows_allows_exactly_the_kinds_that_its_function_uses, change(lambda it: statement(it, "PurgeRole", "HastenGrants")["Condition"]["ForAllValues:StringLike"]["dynamodb:LeadingKeys"], lambda it: it.append("app#*"))),
    (powers.test_role_that_names_kinds_of_rows_allows_exactly_the_kinds_that_its_function_uses, change(lambda it: statement(it, "ZoomWebhookRole", "ReadApps")["Action"], lambda it: it.clear())),
    (powers.test_connect_functions_are_limited_to_rows_of_sessions, put(("ConnectRole", "Properties", "Policies", 0, "PolicyDocument", "Statement", 0, "Condition"), {})),
    (powers.test_connect_functions_are_limited_to_rows_of_sessions, change(lambda it: statement(it, "ConnectCallbackRole", "ReadAndWriteSecrets")["Action"], lambda it: it.append("dynamodb:DeleteItem"))),
    (powers.test_every_binary_has_a_function_and_every_function_a_binary, drop("GetCredential")),
    (powers.test_triggers_match_the_table_of_functions, put(("GetCredential", "Properties", "Events", "Route", "Properties", "Method"), "HEAD")),
    (powers.test_triggers_match_the_table_of_functions, put(("Purge", "Properties", "Events"), {})),
    (powers.test_time_outs_match_the_table_of_functions, put(("MintToken", "Properties", "Timeout"), 29)),
    (powers.test_time_outs_match_the_table_of_functions, lambda it: it["Globals"]["Function"].update(Timeout=30)),
    (powers.test_stream_reader_allows_exactly_the_calls_that_lambda_makes, change(lambda it: statement(it, "PurgeRole", "ReadTheStream")["Action"], lambda it: it.append("dynamodb:UpdateItem"))),
    (powers.test_every_recorded_call_belongs_to_a_function_or_an_operator_policy, drop("PurgePolicy")),
    (powers.test_environments_match_the_table_of_functions, drop("GetCredential", "Properties", "Environment", "Variables", "KEYS_TABLE")),
    (powers.test_environment_contains_only_tables_the_key_and_settings, put(("GetCredential", "Properties", "Environment", "Variables", "KEYS_TABLE"), "hunter2")),
    (powers.test_environment_contains_only_tables_the_key_and_settings, put(("GetCredential", "Properties", "Environment", "Variables", "SECRETS_TABLE"), "SecretsTable")),
    (powers.test_environment_contains_only_tables_the_key_and_settings, put(("CreateCredential", "Properties", "Environment", "Variables", "ZOOM_API_BASE_URL"), "https://evil.example")),
    (powers.test_function_has_an_endpoint_variable_only_for_services_that_it_calls, put(("GetCredential", "Properties", "Environment", "Variables", "AWS_ENDPOINT_URL_KMS"), "")),
    # the stack
    (stack.test_tables_are_the_same_as_on_the_local_stack, drop("RequestsTable", "Properties", "TimeToLiveSpecification")),
    (stack.test_tables_are_the_same_as_on_the_local_stack, change(lambda it: properties(it, "CredentialsTable")["GlobalSecondaryIndexes"][0]["Projection"]["NonKeyAttributes"], lambda it: it.remove("deleted"))),
    (stack.test_table_is_backed_up_encrypted_and_protected_from_deletion, drop("SecretsTable", "Properties", "PointInTimeRecoverySpecification")),
    (stack.test_table_is_backed_up_encrypted_and_protected_from_deletion, put(("KeysTable", "Properties", "DeletionProtectionEnabled"), False)),
    (stack.test_table_is_backed_up_encrypted_and_protected_from_deletion, put(("KeysTable", "Properties", "SSESpecification"), {"SSEEnabled": True})),
    (stack.test_only_the_tables_of_credentials_and_events_have_a_stream, put(("SecretsTable", "Properties", "StreamSpecification"), {"StreamViewType": "NEW_IMAGE"})),
    (stack.test_resources_with_data_outlive_the_stack, drop("EnvelopeKey", "DeletionPolicy")),
    (stack.test_resources_with_data_outlive_the_stack, put(("SecretsTable", "DeletionPolicy"), "RetainExceptOnCreate")),
    (stack.test_resources_with_data_outlive_the_stack, put(("MintTokenLogs", "DeletionPolicy"), "Retain")),
    (stack.test_domain_and_default_endpoint_are_separate_decisions, drop(*API, "AlwaysDeploy")),
    (stack.test_domain_and_default_endpoint_are_separate_decisions, put((*API, "DisableExecuteApiEndpoint"), {"If": ["HasDomain", True, False]})),
    (stack.test_functions_trust_the_roots_of_the_system_only_if_the_operator_wants_it, lambda it: it["Globals"]["Function"]["Environment"]["Variables"].update(AWS_TRUST_NATIVE_ROOTS="1")),
    (stack.test_both_kms_keys_rotate, put(("EnvelopeKey", "Properties", "EnableKeyRotation"), False)),
    (stack.test_every_function_has_a_log_group_and_every_log_group_has_a_retention, drop("AccessLogs", "Properties", "RetentionInDays")),
    (stack.test_stage_throttles_logs_only_errors_and_caches_nothing, put((*API, "MethodSettings", 0, "DataTraceEnabled"), True)),
    (stack.test_stage_throttles_logs_only_errors_and_caches_nothing, put((*API, "CacheClusterEnabled"), True)),
    (stack.test_pages_that_connect_users_have_their_own_throttles, change(lambda it: properties(it, "Api")["MethodSettings"], lambda it: it.pop())),
    (stack.test_pages_that_connect_users_have_their_own_throttles, put((*API, "MethodSettings", 1, "ResourcePath"), "/connect/{token}")),
    (stack.test_pages_that_connect_users_have_their_own_throttles, put((*API, "MethodSettings", 2, "DataTraceEnabled"), True)),
    (stack.test_pages_that_connect_users_have_their_own_throttles, put((*API, "MethodSettings", 3, "ThrottlingRateLimit"), "ThrottleRate")),
    (stack.test_access_log_contains_no_path_and_no_query, put((*API, "AccessLogSetting", "Format"), '{"path": "$context.path"}')),
    (stack.test_api_is_regional_and_requires_tls_1_2, put((*API, "SecurityPolicy"), "TLS_1_0")),
    (stack.test_functions_are_traced_if_the_operator_wants_it_and_the_stage_never_is, put((*API, "TracingEnabled"), True)),
    (stack.test_only_functions_that_refresh_grants_outlast_the_gateway, put(("GetCredential", "Properties", "Timeout"), 60)),
    (stack.test_only_functions_that_refresh_grants_outlast_the_gateway, put(("MintToken", "Properties", "Timeout"), 29)),
    (stack.test_keep_alive_runs_every_five_minutes_without_retries, put(("KeepAlive", "Properties", "Events", "Schedule", "Type"), "ScheduleV2")),
    (stack.test_keep_alive_runs_every_five_minutes_without_retries, put(("KeepAlive", "Properties", "ReservedConcurrentExecutions"), 1)),
    (stack.test_purge_retries_stream_records_and_then_sends_them_to_the_dead_letter_queue, put(("CredentialsTable", "Properties", "StreamSpecification", "StreamViewType"), "NEW_IMAGE")),
    (stack.test_purge_retries_stream_records_and_then_sends_them_to_the_dead_letter_queue, drop("Purge", "Properties", "Events", "Gone", "Properties", "DestinationConfig")),
    (stack.test_purge_retries_stream_records_and_then_sends_them_to_the_dead_letter_queue, drop("Purge", "Properties", "Events", "Gone", "Properties", "FilterCriteria", "Filters", 1)),
    (stack.test_events_become_notifications_and_failed_records_go_to_a_dead_letter_queue, drop("NotifyEnqueue", "Properties", "Events", "Happened", "Properties", "FilterCriteria", "Filters", 2)),
    (stack.test_events_become_notifications_and_failed_records_go_to_a_dead_letter_queue, drop("NotifyEnqueue", "Properties", "Events", "Happened", "Properties", "DestinationConfig")),
    (stack.test_notifications_are_tried_as_often_as_the_function_plans, put(("NotificationQueue", "Properties", "RedrivePolicy", "maxReceiveCount"), 3)),
    (stack.test_only_notifications_use_the_queue_of_notifications, grant("GetCredentialRole", "sqs:ReceiveMessage", resource="NotificationQueue.Arn")),
    (stack.test_restorable_credential_still_has_a_live_grant_at_zoom, lambda it: it["Parameters"]["RestorableDays"].update(MaxValue=60)),
    (stack.test_token_url_and_vendor_routes_take_every_method, put(("TokenUrl", "Properties", "Events", "Route", "Properties", "Method"), "GET")),
    (stack.test_token_url_and_vendor_routes_take_every_method, put(("TokenUrl", "Properties", "Events", "Route", "Properties", "Path"), "/t/{token}")),
    # the gateway's own answers
    (stack.test_gateway_answers_have_the_json_envelope_of_the_functions, drop(*API, "GatewayResponses", "WAF_FILTERED")),
    (stack.test_gateway_answers_have_the_json_envelope_of_the_functions, put((*NOT_FOUND, "StatusCode"), 403)),
    (stack.test_gateway_answers_have_the_json_envelope_of_the_functions, put(BODY, '{"message": "$context.error.message"}')),
    (stack.test_gateway_answers_have_the_headers_of_the_functions, drop(*NOT_FOUND, "ResponseParameters", "Headers", "cache-control")),
    (stack.test_unknown_route_is_404, put((*NOT_FOUND, "StatusCode"), 403)),
    # events, alarms, dashboard
    (stack.test_pipe_sends_state_changes_with_only_the_named_fields, put(("Changes", "Properties", "TargetParameters", "InputTemplate"), '{"all": "<$.dynamodb>"}')),
    (stack.test_pipe_sends_state_changes_with_only_the_named_fields, put(("Changes", "Properties", "Source"), "SecretsTable.StreamArn")),
    (stack.test_pipe_retries_and_splits_failed_batches_and_then_sends_them_to_the_dead_letter_queue, drop("Changes", "Properties", "SourceParameters", "DynamoDBStreamParameters", "DeadLetterConfig")),
    (stack.test_functions_name_the_stack_as_the_dimension_of_their_metrics, lambda it: it["Globals"]["Function"]["Environment"]["Variables"].pop("STACK_NAME")),
    (stack.test_every_alarm_watches_an_existing_metric_of_the_stack, put(("KmsFails", "Properties", "MetricName"), "vault_failed")),
    (stack.test_every_alarm_watches_an_existing_metric_of_the_stack, put(("KmsFails", "Properties", "Dimensions", 0, "Name"), "function")),
    (stack.test_every_alarm_watches_an_existing_metric_of_the_stack, drop("Deletions", "Properties", "MetricTransformations", 0, "Dimensions")),
    (stack.test_every_alarm_and_its_end_go_to_the_topic, drop("SlowAnswers", "Properties", "OKActions")),
    (alarms_page.test_each_alarm_names_its_section, put(("KmsFails", "Properties", "AlarmDescription"), "KMS failed.")),
    (stack.test_operator_chooses_all_alarms_or_the_essential_ones_or_none, put(("KmsFails", "Condition"), "HasAllAlarms")),
    (stack.test_operator_chooses_all_alarms_or_the_essential_ones_or_none, drop("TwoGrantsAlive", "Condition")),
    (stack.test_operator_chooses_all_alarms_or_the_essential_ones_or_none, lambda it: it["Parameters"]["Alarms"].update(Default="all")),
    (stack.test_deployment_warns_if_nobody_gets_alarms, lambda it: it["Outputs"].pop("Warning")),
    (stack.test_deployment_warns_if_nobody_gets_alarms, lambda it: it["Conditions"].update(NobodyGetsAlarms={"Not": [{"Condition": "HasAlarmTopic"}]})),
    (stack.test_a_refused_app_rings_an_alarm_after_a_few_refusals_and_not_after_the_first, put(("ZoomRefusesApps", "Properties", "Threshold"), 0)),
    (stack.test_lost_grants_ring_an_alarm_at_once, drop("GrantsNotStored")),
    (stack.test_lost_grants_ring_an_alarm_at_once, put(("RefreshOutcomesLost", "Properties", "Threshold"), 5)),
    (stack.test_functions_without_a_route_have_alarms_and_the_answers_of_the_api_tell_of_the_others, drop("FunctionsFail", "Properties", "Metrics", 1)),
    (stack.test_functions_without_a_route_have_alarms_and_the_answers_of_the_api_tell_of_the_others, put(("FunctionsThrottled", "Properties", "Dimensions"), [{"Name": "FunctionName", "Value": "MintToken"}])),
    (stack.test_alarm_rings_when_a_reader_of_a_stream_falls_behind, drop("StreamReadersLate", "Properties", "Metrics", 2)),
    (stack.test_alarm_rings_when_a_pipe_fails, drop("PipesFail", "Properties", "Metrics", 2)),
    (stack.test_alarms_of_throttled_tables_see_indexes_too, put(("ReadsThrottled", "Properties", "Metrics", 0, "Expression"), 'SELECT SUM(ReadThrottleEvents) FROM SCHEMA("AWS/DynamoDB", TableName)')),
    (stack.test_alarms_on_percentiles_ignore_minutes_with_few_requests, drop("SlowAnswers", "Properties", "EvaluateLowSampleCountPercentile")),
    (stack.test_every_failure_metric_of_kms_and_zoom_has_an_alarm, drop("ZoomIsSilent")),
    (stack.test_alarm_rings_when_keep_alive_does_not_run, put(("KeepAliveStands", "Properties", "TreatMissingData"), "notBreaching")),
    (stack.test_alarm_rings_when_a_grant_is_more_than_three_days_overdue, put(("GrantsOverdue", "Properties", "Statistic"), "Average")),
    (stack.test_a_single_error_that_an_operator_must_repair_rings_an_alarm, put(("PairCountsWrong", "Properties", "Threshold"), 5)),
    (stack.test_dashboard_shows_every_metric_of_the_vault, change_dashboard("NOT MetricName", "MetricName")),
    (stack.test_dashboard_shows_every_metric_of_the_vault, change_dashboard('\\"zoom_calls\\" OR', "")),
    (stack.test_dashboard_lists_the_failures_of_every_function, change_dashboard("SOURCE '${PurgeLogs}' |", "")),
    (stack.test_dashboard_refers_to_existing_resources, change_dashboard("AccessLogs", "Logs")),
    (stack.test_every_part_that_another_stack_needs_is_an_exported_output, lambda it: it["Outputs"].pop("KeysTable")),
    (stack.test_every_part_that_another_stack_needs_is_an_exported_output, lambda it: it["Outputs"].pop("MintTokenRoleArn")),
    (stack.test_every_part_that_another_stack_needs_is_an_exported_output, lambda it: it["Outputs"]["ApiId"].pop("Export")),
    (stack.test_output_exists_only_if_its_resource_does, lambda it: it["Outputs"]["EventArchive"].pop("Condition")),
    (stack.test_deploy_page_explains_every_parameter, lambda it: it["Parameters"].update(New={"Type": "String", "Default": ""})),
    (stack.test_deploy_page_names_the_alarms_that_the_emulator_refuses, drop("PipesFail")),
    (stack.test_deploy_page_has_the_default_of_each_parameter, lambda it: it["Parameters"]["RestorableDays"].update(Default=20)),
    (stack.test_deploy_page_has_the_default_of_each_parameter, lambda it: it["Parameters"]["AddressLimit"].update(Default=4000)),
    (stack.test_cost_page_is_up_to_date, drop("KmsFails")),
    (stack.test_cost_page_is_up_to_date, change(lambda it: properties(it, "AddressLimits")["Rules"], lambda it: it.pop())),
    (stack.test_readme_says_the_idle_floor_which_is_at_most_four_dollars, put(("SlowAnswers", "Condition"), "HasEssentialAlarms")),
    (stack.test_idle_floor_is_that_of_the_default_parameters, lambda it: it["Parameters"]["Dashboard"].update(Default="yes")),
    (stack.test_deploy_page_has_no_prices, lambda it: it["Parameters"]["Dashboard"].update(Description="for 9 dollars a month")),
    (stack.test_every_parameter_has_a_default, lambda it: it["Parameters"]["WebAcl"].pop("Default")),
    # what the pages for operators say about alarms
    (alarms_page.test_alarms_page_has_one_row_for_each_alarm_and_a_star_if_it_is_essential, drop("KmsFails")),
    (alarms_page.test_alarms_page_has_one_row_for_each_alarm_and_a_star_if_it_is_essential, put(("PipesFail", "Condition"), "HasEssentialAlarms")),
    (alarms_page.test_alarms_page_has_one_section_for_each_alarm_to_which_its_row_links, drop("KmsFails")),
    (alarms_page.test_section_of_an_alarm_says_when_it_rings_and_what_to_look_at_and_to_do, put(("ZoomFails", "Properties", "Threshold"), 6)),
    (alarms_page.test_section_of_an_alarm_says_when_it_rings_and_what_to_look_at_and_to_do, put(("ServerErrors", "Properties", "DatapointsToAlarm"), 2)),
    (alarms_page.test_section_of_an_alarm_says_when_it_rings_and_what_to_look_at_and_to_do, put(("FunctionsFail", "Properties", "Metrics", 1, "MetricStat", "Period"), 300)),
    (alarms_page.test_section_of_an_alarm_says_when_it_rings_and_what_to_look_at_and_to_do, put(("KeepAliveStands", "Properties", "TreatMissingData"), "notBreaching")),
    (alarms_page.test_alarms_page_says_how_long_failed_work_is_kept, put(("LostNotifications", "Properties", "MessageRetentionPeriod"), 86400)),
    (alarms_page.test_alarms_page_says_how_long_failed_work_is_kept, put(("Purge", "Properties", "Events", "Gone", "Properties", "MaximumRecordAgeInSeconds"), 3600)),
    (alarms_page.test_commands_of_the_alarms_page_name_parts_of_the_template_and_fields_of_the_log, drop("LostEvents")),
    (alarms_page.test_commands_of_the_alarms_page_name_parts_of_the_template_and_fields_of_the_log, drop("PurgeLogs")),
    (alarms_page.test_commands_of_the_alarms_page_name_parts_of_the_template_and_fields_of_the_log, lambda it: it["Outputs"].pop("CredentialsStreamArn")),
    # tables that are restored
    (restore.test_pipe_of_a_named_table_has_no_fixed_name_and_its_role_trusts_it, put(("EventCopies", "Properties", "Name"), "AWS::StackName-event-copies")),
    (restore.test_pipe_of_a_named_table_has_no_fixed_name_and_its_role_trusts_it, change(lambda it: properties(it, "ChangesRole")["AssumeRolePolicyDocument"]["Statement"][0], lambda it: it["Condition"].pop("StringEquals"))),
    (restore.test_table_leaves_the_stack_if_a_parameter_names_another_one, drop("TokenUrlsTable", "Condition")),
    (restore.test_table_leaves_the_stack_if_a_parameter_names_another_one, lambda it: it["Parameters"]["EventsTableName"].update(Description="a table")),
    (restore.test_named_table_takes_the_place_of_the_own_one_everywhere, put(("GetCredential", "Properties", "Environment", "Variables", "KEYS_TABLE"), "KeysTable")),
    (restore.test_named_table_takes_the_place_of_the_own_one_everywhere, put(("GetCredential", "Properties", "Environment", "Variables", "KEYS_TABLE"), {"If": ["OwnsPairsTable", "KeysTable", "KeysTableName"]})),
    (restore.test_named_table_takes_the_place_of_the_own_one_everywhere, put(("GetCredential", "Properties", "Environment", "Variables", "KEYS_TABLE"), {"If": ["OwnsKeysTable", "KeysTable", "PairsTableName"]})),
    (restore.test_named_table_takes_the_place_of_the_own_one_everywhere, change(lambda it: statement(it, "GetCredentialRole", "ReadKeys"), lambda it: it.update(Resource="KeysTable.Arn"))),
    (restore.test_named_table_takes_the_place_of_the_own_one_everywhere, put(("Purge", "Properties", "Events", "Gone", "Properties", "Stream"), "CredentialsTable.StreamArn")),
    (restore.test_named_table_takes_the_place_of_the_own_one_everywhere, lambda it: it["Outputs"]["SecretsTable"].update(Value="SecretsTable")),
    (restore.test_named_table_with_a_stream_needs_the_stream, lambda it: it["Rules"].pop("ANamedTableOfEventsHasItsStream")),
    (restore.test_named_table_with_a_stream_needs_the_stream, lambda it: it["Conditions"].update(OwnsEventsStream={"Equals": ["EventsTableName", ""]})),
    (restore.test_only_the_envelope_key_can_be_a_multi_region_key_and_only_from_the_first_deployment, put(("AtRestKey", "Properties", "MultiRegion"), True)),
    (restore.test_only_the_envelope_key_can_be_a_multi_region_key_and_only_from_the_first_deployment, lambda it: it["Parameters"]["MultiRegionKey"].update(Default="yes")),
    (restore.test_restore_script_gives_a_table_the_settings_of_the_template, put(("KeysTable", "Properties", "TimeToLiveSpecification"), {"AttributeName": "x", "Enabled": True})),
    (restore.test_restore_script_gives_a_table_the_settings_of_the_template, put(("PairsTable", "Properties", "StreamSpecification"), {"StreamViewType": "KEYS_ONLY"})),
    (restore.test_restore_script_gives_a_table_the_settings_of_the_template, put(("EventsTable", "Properties", "ContributorInsightsSpecification"), {"Enabled": True})),
    (restore.test_restored_table_is_encrypted_with_the_at_rest_key_of_the_stack, lambda it: it["Outputs"].pop("AtRestKeyArn")),
    # guards
    (guards.test_every_function_accepts_only_signed_code_if_the_operator_names_a_profile, drop("GetCredential", "Properties", "CodeSigningConfigArn")),
    (guards.test_every_function_accepts_only_signed_code_if_the_operator_names_a_profile, put(("SignedCodeOnly", "Properties", "CodeSigningPolicies", "UntrustedArtifactOnDeployment"), "Warn")),
    (guards.test_rule_reports_each_call_that_can_give_somebody_the_secrets, change(lambda it: part_of_event_pattern(it, 0)["eventName"], lambda it: it.pop(0))),
    (guards.test_rule_reports_each_call_that_can_give_somebody_the_secrets, change(lambda it: part_of_event_pattern(it, 2)["eventName"], lambda it: it.remove("PutKeyPolicy"))),
    (guards.test_rule_reports_only_calls_on_parts_of_this_stack, change(lambda it: part_of_event_pattern(it, 3), lambda it: it.pop("requestParameters"))),
    (guards.test_reported_calls_are_kept_in_a_queue_and_ring_an_alarm, drop("PowerChangeRecordsPolicy")),
    (guards.test_reported_calls_are_kept_in_a_queue_and_ring_an_alarm, put(("PowersChanged", "Properties", "MetricName"), "MatchedEvents")),
    (guards.test_archive_of_events_exists_only_if_the_operator_wants_it, drop("EventFilesLate", "Condition")),
    (guards.test_nobody_can_change_or_delete_the_archive_of_events_before_its_time, put(("EventArchive", "Properties", "ObjectLockConfiguration", "Rule", "DefaultRetention", "Mode"), "GOVERNANCE")),
    (guards.test_archive_gets_every_record_of_the_table_of_events_and_reports_what_it_could_not_copy, put(("EventCopies", "Properties", "SourceParameters", "FilterCriteria"), {})),
    (guards.test_archive_gets_every_record_of_the_table_of_events_and_reports_what_it_could_not_copy, put(("EventFilesRole", "Properties", "Policies", 0, "PolicyDocument", "Statement", 0, "Action"), ["s3:PutObject", "s3:DeleteObject"])),
    (guards.test_web_acl_is_created_unless_the_operator_has_one_or_wants_none, lambda it: it["Parameters"]["WebAcl"].update(Default="none")),
    (guards.test_web_acl_is_created_unless_the_operator_has_one_or_wants_none, drop("WebAclOfApi")),
    (guards.test_web_acl_only_limits_the_requests_from_one_address, put((*RULES, 0, "Statement", "RateBasedStatement", "ScopeDownStatement", "RegexMatchStatement", "FieldToMatch"), {"Body": {}})),
    (guards.test_web_acl_only_limits_the_requests_from_one_address, put((*RULES, 1, "Statement"), {"ManagedRuleGroupStatement": {"VendorName": "AWS", "Name": "AWSManagedRulesCommonRuleSet"}})),
    (guards.test_web_acl_keeps_no_samples_of_requests, put((*RULES, 1, "VisibilityConfig", "SampledRequestsEnabled"), True)),
    (guards.test_one_address_has_a_smaller_limit_on_the_routes_for_strangers, put((*RULES, 0, "Statement", "RateBasedStatement", "ScopeDownStatement", "RegexMatchStatement", "RegexString"), "^/(webhooks|connect)/")),
    (guards.test_neither_one_team_nor_one_address_fills_the_throttle_of_a_method, lambda it: it["Parameters"]["ThrottleRate"].update(Default=50)),
    (guards.test_neither_one_team_nor_one_address_fills_the_throttle_of_a_method, lambda it: it["Parameters"]["AddressLimit"].update(Default=6000)),
    (guards.test_throttles_are_described_as_limits_of_each_method, lambda it: it["Parameters"]["ThrottleRate"].update(Description="over all")),
    (guards.test_stack_policy_refuses_to_replace_or_to_delete_every_table_and_key_and_the_api, put(("SecretsTable", "Type"), "AWS::DynamoDB::GlobalTable")),
    (guards.test_guards_page_names_each_guard, change(lambda it: part_of_event_pattern(it, 3)["eventName"], lambda it: it.append("CreateRole"))),
    (guards.test_many_deletions_and_replaced_users_within_an_hour_ring_an_alarm, put(("Deletions", "Properties", "FilterPattern"), "")),
    (guards.test_many_deletions_and_replaced_users_within_an_hour_ring_an_alarm, put(("ConnectReplacements", "Properties", "FilterPattern"), "")),
    (guards.test_many_deletions_and_replaced_users_within_an_hour_ring_an_alarm, put(("ManyDeletions", "Properties", "MetricName"), "deletions")),
]


def check(test, template):
    if "name" in inspect.signature(test).parameters:
        for name in stack.TABLES:
            test(template, name)
    else:
        test(template)


@pytest.mark.parametrize("test, mutate", MUTATIONS, ids=[test.__name__ for test, _ in MUTATIONS])
def test_rule_rejects_a_broken_template(test, mutate):
    check(test, Template(copy.deepcopy(DOCUMENT)))
    document = copy.deepcopy(DOCUMENT)
    mutate(document)
    with pytest.raises((AssertionError, KeyError, ValueError)):
        check(test, Template(document))


def test_every_rule_about_the_template_has_a_mutation():
    rules = {
        rule
        for module in (alarms_page, guards, powers, restore, stack)
        for name, rule in vars(module).items()
        if name.startswith("test_") and inspect.isfunction(rule) and "template" in inspect.signature(rule).parameters
    }
    assert rules == {test for test, _ in MUTATIONS}


# ---- the role check: it must reject every single added or removed right or call


def check_roles(template):
    powers.test_role_allows_exactly_the_calls_that_its_function_makes(template)
    powers.test_role_that_names_kinds_of_rows_allows_exactly_the_kinds_that_its_function_uses(template)


def exercised_statements(document):
    """`(roles, statement)` for each exercised DynamoDB and KMS statement of the functions' roles."""
    template = Template(document)
    function_roles = {template.role(function) for function in template.functions()}
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
                exercised = it["Effect"] == "Allow" and "NotExercised" not in it
                if services & {"dynamodb", "kms"} and exercised and function_roles & {*roles}:
                    yield roles, it


@pytest.fixture(scope="module")
def unchanged_roles_pass():
    """The role check accepts the unchanged template. Otherwise it would reject every mutation for a wrong reason."""
    check_roles(Template(DOCUMENT))


def assert_role_check_rejects(document, change):
    try:
        check_roles(Template(document))
    except AssertionError:
        return
    pytest.fail(f"the role check does not notice this change: {change}")


def test_role_check_rejects_each_removed_right(unchanged_roles_pass):
    document = copy.deepcopy(DOCUMENT)
    removed = 0
    for roles, it in exercised_statements(document):
        for action in it["Action"]:
            whole = it["Action"]
            it["Action"] = [other for other in whole if other != action]
            assert_role_check_rejects(document, f"{roles} no longer has {action} in the statement {it['Sid']}")
            it["Action"] = whole
            removed += 1
    assert removed > 150


def test_role_check_rejects_an_added_right_in_each_role(unchanged_roles_pass):
    document = copy.deepcopy(DOCUMENT)
    for function in Template(document).functions():
        statements = properties(document, f"{function}Role")["Policies"][0]["PolicyDocument"]["Statement"]
        for right, resource in (("dynamodb:Query", "KeysTable.Arn"), ("dynamodb:BatchGetItem", "SecretsTable.Arn")):
            grant(f"{function}Role", right, resource=resource)(document)
            assert_role_check_rejects(document, f"{function} also has {right}")
            statements.pop()


def test_role_check_rejects_an_added_kms_purpose(unchanged_roles_pass):
    document = copy.deepcopy(DOCUMENT)
    seal(document)["Condition"]["StringEquals"]["kms:EncryptionContext:purpose"] = ["app", "grant", "webhook"]
    assert_role_check_rejects(document, "CreateCredential may encrypt webhook secrets")


def test_role_check_rejects_each_removed_call(unchanged_roles_pass, monkeypatch):
    calls = record.calls()
    for function in map(Template(DOCUMENT).binary, Template(DOCUMENT).functions()):
        for call in calls.get(function, ()):
            monkeypatch.setattr(record, "calls", lambda: calls | {function: calls[function] - {call}})
            assert_role_check_rejects(DOCUMENT, f"{function} no longer makes the call {call}")


def test_role_check_rejects_an_added_call_in_each_function(unchanged_roles_pass, monkeypatch):
    calls = record.calls()
    for function in map(Template(DOCUMENT).binary, Template(DOCUMENT).functions()):
        for call in (("keys", "UpdateItem"), ("secrets", "Scan"), ("kms/grant", "Encrypt")):
            monkeypatch.setattr(record, "calls", lambda: calls | {function: calls.get(function, set()) | {call}})
            assert_role_check_rejects(DOCUMENT, f"{function} also makes the call {call}")


def test_role_check_rejects_a_not_exercised_comment_on_an_exercised_right(unchanged_roles_pass):
    document = copy.deepcopy(DOCUMENT)
    statement(document, "GetCredentialRole", "ReadKeys")["NotExercised"] = "no reason"
    assert_role_check_rejects(document, "a stale comment `not exercised`")
