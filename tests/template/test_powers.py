"""Who may do what: checklist 18, 31 to 34, 36 and 37."""

import re

import record
from powers import THIS_STACK, page
from record import FUNCTIONS
from template import ROOT, many, snake, table_of

DOC = ROOT / "docs/powers.md"
# X-Ray's two writes know no resources.
X_RAY = {"xray:PutTelemetryRecords", "xray:PutTraceSegments"}
# What would take data, or the key that opens it, away or into other hands.
DESTRUCTIVE = re.compile(
    r"dynamodb:(Delete(?!Item)|UpdateTable|UpdateContinuousBackups|UpdateTimeToLive|\w*ResourcePolicy|\w*Export|\w*Import|(?!Describe)\w*Backup)"
    r"|kms:(?!GenerateDataKey$|Decrypt$|DescribeKey$)"
    r"|iam:|sts:|lambda:|logs:Delete|logs:PutRetention"
)
CRYPTOGRAPHIC = re.compile(r"kms:(Decrypt|Encrypt|GenerateDataKey|ReEncrypt|Sign|Verify|GenerateMac|CreateGrant)")


def test_every_function_has_a_role_of_its_own(template):
    roles = [template.role(function) for function in template.functions()]
    assert len(set(roles)) == len(roles)
    for role in roles:
        assert "ManagedPolicyArns" not in template.properties(role), f"{role} has powers that are not written here"
        trust = template.properties(role)["AssumeRolePolicyDocument"]["Statement"]
        assert [statement["Principal"] for statement in trust] == [{"Service": "lambda.amazonaws.com"}]
    for function in template.functions():
        assert "Policies" not in template.properties(function), f"{function} has powers beside its role's"


def test_no_role_holds_a_wildcard(template):
    for function in template.functions():
        for statement in template.statements(template.role(function)):
            assert not any("*" in action for action in statement.actions), statement
            if "*" in statement.resources:
                assert set(statement.actions) <= X_RAY, statement
    for statement in template.operator_statements():
        resources = [resource for resource in statement.resources if resource != THIS_STACK]
        assert not any("*" in text for text in [*statement.actions, *resources]), statement


def test_a_role_only_allows(template):
    for function in template.functions():
        for statement in template.statements(template.role(function)):
            assert statement.effect == "Allow", statement


def test_no_function_may_write_keys(template):
    for function in template.functions():
        assert template.powers(function, "dynamodb").get("keys", set()) <= {"GetItem"}, function


def test_no_function_may_scan(template):
    for function in template.functions():
        for table, actions in template.powers(function, "dynamodb").items():
            assert "Scan" not in actions, (function, table)


def test_no_function_and_no_operator_may_destroy(template):
    statements = template.operator_statements()
    for function in template.functions():
        statements += template.statements(template.role(function))
    for statement in statements:
        for action in statement.actions:
            assert not DESTRUCTIVE.match(action), statement


def test_reading_functions_hold_no_key_and_no_secrets(template):
    for function in template.functions():
        routes = template.routes(function)
        if routes and all(method == "GET" and path.startswith("/v2/") for method, path in routes):
            assert not template.powers(function, "kms"), function
            assert "secrets" not in template.powers(function, "dynamodb"), function
            assert "ENVELOPE_KEY_ID" not in template.properties(function)["Environment"]["Variables"], function


def test_every_kms_statement_of_a_role_names_the_app_and_the_purpose(template):
    found = 0
    for function in template.functions():
        for statement in template.statements(template.role(function)):
            if any(action.startswith("kms:") for action in statement.actions):
                found += 1
                equals = statement.condition["StringEquals"]
                # One key seals; while the key is being changed, the one before it still opens.
                keys = ("SealingKey",) if "kms:GenerateDataKey" in statement.actions else ("SealingKey", "PreviousKey")
                assert statement.resources == keys, statement
                assert equals["kms:EncryptionContext:app"] == "zoom-credentials", statement
                assert many(equals["kms:EncryptionContext:purpose"]), statement
    assert found


def test_the_words_of_the_encryption_context_are_those_that_the_functions_send(template):
    sent = [row for row in record.rows() if row["service"] == "kms"]
    purposes = {row["purpose"] for row in sent}
    used = set()
    for statement in template.key_statements("EnvelopeKey"):
        if statement.sid == "FunctionsUse":
            equals = statement.condition["StringEquals"]
            assert {equals["kms:EncryptionContext:app"]} == {row["app"] for row in sent}
            used |= set(equals["kms:EncryptionContext:purpose"])
    assert used == purposes
    for function in template.functions():
        for allowed in template.powers(function, "kms"):
            assert set(allowed.split(", ")) <= purposes, function


def test_the_envelope_key_denies_every_use_without_the_row(template):
    (deny,) = [it for it in template.key_statements("EnvelopeKey") if it.effect == "Deny"]
    assert deny.principal == {"AWS": "*"}
    assert set(deny.actions) == {"kms:Decrypt", "kms:Encrypt", "kms:GenerateDataKey*", "kms:ReEncrypt*"}
    assert deny.condition == {"Null": {"kms:EncryptionContext:id": "true"}}


def test_the_envelope_key_is_used_by_the_functions_that_seal_and_nobody_else(template):
    users = {f"{template.role(it)}.Arn" for it in template.functions() if template.powers(it, "kms")}
    uses = [
        statement
        for statement in template.key_statements("EnvelopeKey")
        if statement.effect == "Allow" and any(CRYPTOGRAPHIC.match(it) or "*" in it for it in statement.actions)
    ]
    use, rewrap = uses
    assert set(many(use.condition["ArnEquals"]["aws:PrincipalArn"])) == users
    allowed = {action for it in template.functions() for actions in template.powers(it, "kms").values() for action in actions}
    assert set(use.actions) == {f"kms:{action}" for action in allowed}


def test_whoever_moves_keys_opens_nothing_and_reads_not_even_ciphertext(template):
    (moves,) = [it for it in template.key_statements("EnvelopeKey") if it.sid == "RewrapMoves"]
    assert set(moves.actions) == {"kms:ReEncryptFrom", "kms:ReEncryptTo"}
    assert moves.condition["ArnEquals"] == {"aws:PrincipalArn": "RewrapRole.Arn"}
    (use,) = [it for it in template.key_statements("EnvelopeKey") if it.sid == "FunctionsUse"]
    assert moves.condition["StringEquals"] == use.condition["StringEquals"]

    rows, move, look, find = template.statements("RewrapRole")
    assert (rows.actions, rows.resources) == (("dynamodb:Scan", "dynamodb:UpdateItem"), ("SecretsTable.Arn",))
    assert rows.condition == {
        "ForAllValues:StringEquals": {"dynamodb:Attributes": ["secret_id", "team_id", "dek", "kid", "alt_dek", "alt_kid"]},
        "StringEqualsIfExists": {"dynamodb:Select": ["SPECIFIC_ATTRIBUTES", "COUNT"], "dynamodb:ReturnValues": "NONE"},
        "Null": {"dynamodb:Attributes": "false"},
    }
    # And what the program asks for is no more.
    wrapped = (ROOT / "shared/src/stores/wrapped_data_keys.rs").read_text()
    (asked,) = re.findall(r'projection_expression\("([^"]+)"\)', wrapped)
    assert asked.split(", ") == rows.condition["ForAllValues:StringEquals"]["dynamodb:Attributes"]
    assert (move.actions, move.resources) == (moves.actions, ("SealingKey", "PreviousKey"))
    assert move.condition == {"StringEquals": moves.condition["StringEquals"]}
    assert (look.actions, look.resources) == (("kms:DescribeKey",), ("SealingKey",))
    assert find.actions == ("cloudformation:DescribeStacks",)


def test_the_doctor_looks_and_touches_nothing(template):
    actions = {action for statement in template.operator_policies()["DoctorPolicy"] for action in statement.actions}
    assert actions == {
        "cloudformation:DescribeStacks",
        "dynamodb:DescribeContinuousBackups",
        "dynamodb:DescribeTable",
        "dynamodb:DescribeTimeToLive",
        "dynamodb:GetItem",
        "dynamodb:Scan",
        "kms:DescribeKey",
    }


def test_administrators_keep_both_keys(template):
    for key in ("EnvelopeKey", "AtRestKey"):
        (manage,) = [it for it in template.key_statements(key) if it.sid == "AdministratorsManage"]
        assert {"kms:PutKeyPolicy", "kms:ScheduleKeyDeletion", "kms:CancelKeyDeletion"} <= set(manage.actions)
        assert not any(CRYPTOGRAPHIC.match(action) or "*" in action for action in manage.actions), key


def test_the_key_at_rest_is_used_through_dynamodb_in_this_account_only(template):
    uses = [
        statement
        for statement in template.key_statements("AtRestKey")
        if any(CRYPTOGRAPHIC.match(it) for it in statement.actions)
    ]
    (use,) = uses
    assert use.condition["StringEquals"] == {
        "kms:CallerAccount": "AWS::AccountId",
        "kms:ViaService": "dynamodb.AWS::Region.AWS::URLSuffix",
    }


def test_the_recovery_policy_is_what_a_replay_of_capsules_takes_on_grants_alone(template):
    (store, look) = template.operator_policies()["RecoveryPolicy"]
    assert store.rights() == record.calls()["RecoveryPolicy"]
    assert store.resources == ("SecretsTable.Arn",)
    # A request that names no key would match every pattern of none.
    assert store.condition == {
        "ForAllValues:StringLike": {"dynamodb:LeadingKeys": ["grant#*"]},
        "Null": {"dynamodb:LeadingKeys": "false"},
    }
    assert (look.actions, look.resources) == (("cloudformation:DescribeStacks",), (THIS_STACK,))


def test_what_anyone_may_call_about_apps_is_held_to_its_rows_and_opens_no_grant(template):
    rows = {}
    for function in ("PutZoomApp", "DeleteZoomApp", "ZoomWebhook"):
        for statement in template.statements(template.role(function)):
            if statement.resources == ("SecretsTable.Arn",):
                assert statement.condition["Null"] == {"dynamodb:LeadingKeys": "false"}, statement
                keys = tuple(statement.condition["ForAllValues:StringLike"]["dynamodb:LeadingKeys"])
                rows.setdefault(function, {})[keys] = statement.actions
    assert rows == {
        "PutZoomApp": {("webhook#*",): ("dynamodb:UpdateItem",)},
        "DeleteZoomApp": {("webhook#*",): ("dynamodb:DeleteItem",)},
        "ZoomWebhook": {("webhook#*",): ("dynamodb:GetItem",), ("grant#*",): ("dynamodb:GetItem", "dynamodb:UpdateItem")},
    }
    kms = {function: template.powers(function, "kms") for function in (*rows, "RotateSecret")}
    assert kms == {
        "PutZoomApp": {"webhook": {"GenerateDataKey"}},
        "DeleteZoomApp": {},
        "RotateSecret": {"app": {"GenerateDataKey"}},
        "ZoomWebhook": {"webhook": {"Decrypt"}},
    }


def rights(statements):
    return set().union(*(statement.rights() for statement in statements))


def test_the_restore_policy_is_what_listing_and_restoring_take(template):
    assert rights(template.operator_policies()["RestorePolicy"]) == record.calls()["RestorePolicy"]
    reads, writes = [it for it in template.operator_policies()["RestorePolicy"] if it.resources == ("SecretsTable.Arn",)]
    assert (reads.actions, writes.actions) == (("dynamodb:GetItem",), ("dynamodb:ConditionCheckItem", "dynamodb:UpdateItem"))
    assert reads.condition == {
        "ForAllValues:StringLike": {"dynamodb:LeadingKeys": ["grant#*"]},
        "Null": {"dynamodb:LeadingKeys": "false"},
    }


def test_the_purge_policy_is_what_purging_and_sweeping_take(template):
    assert rights(template.operator_policies()["PurgePolicy"]) == record.calls()["PurgePolicy"]


def test_whoever_destroys_opens_nothing(template):
    destroyers = {it for it in template.functions() if "DeleteItem" in template.powers(it, "dynamodb").get("secrets", set())}
    # But for the callback: what it destroys are sessions, which the next test holds it to.
    assert destroyers == {"Purge", "DeleteZoomApp", "ConnectCallback"}
    assert not any(template.powers(function, "kms") for function in destroyers - {"ConnectCallback"})


def test_what_anyone_can_call_is_limited_to_the_rows_of_sessions(template):
    """Where a call is no part of a transaction, whose keys IAM may look at as one."""

    def only(rows):
        return {
            "ForAllValues:StringLike": {"dynamodb:LeadingKeys": [rows]},
            "Null": {"dynamodb:LeadingKeys": "false"},
        }

    def conditions(function, table, *actions):
        statements = template.statements(template.role(function))
        return [it.condition for it in statements if it.resources == (f"{table}.Arn",) and {*actions} & {*it.actions}]

    for function in ("Connect", "GetConnectSession"):
        assert conditions(function, "RequestsTable", "dynamodb:GetItem", "dynamodb:UpdateItem") == [only("connect#*")]
    # A grant or a client secret that is lost is lost.
    assert conditions("ConnectCallback", "SecretsTable", "dynamodb:DeleteItem") == [only("session#*")]


def test_the_everyday_operator_touches_keys_and_no_secrets(template):
    tables = {resource for it in template.operator_policies()["OperatorPolicy"] for resource in it.resources} - {THIS_STACK}
    assert tables == {"KeysTable.Arn"}


def test_the_table_of_powers_is_what_the_template_says(template):
    assert DOC.read_text() == page(template), "run: target/ci/python/bin/python tests/template/powers.py > docs/powers.md"


def test_a_role_allows_the_calls_that_its_function_makes_and_no_other(template):
    for function in template.functions():
        made = record.calls().get(template.binary(function), set())
        statements = template.statements(template.role(function))
        assert made <= rights(statements), f"{function} makes calls that its role does not allow: {made - rights(statements)}"
        for statement in statements:
            if statement.not_exercised:
                stale = statement.rights() & made
                assert not stale, f"{function}, {statement.sid}: the API suite does exercise {stale}"
            else:
                unused = statement.rights() - made
                assert not unused, f"{function}, {statement.sid}: no test makes a call that needs {unused}"


def test_a_role_that_names_kinds_of_rows_allows_the_kinds_that_its_function_calls(template):
    checked = 0
    for function in template.functions():
        made = record.calls_by_rows().get(template.binary(function), set())
        statements = [it for it in template.statements(template.role(function)) if it.rights()]
        for resource, action, rows in made:
            allowing = [it for it in statements if (resource, action) in it.rights()]
            assert any(not it.rows() or rows in it.rows() for it in allowing), f"{function} may not {action} {rows}"
        for statement in statements:
            for rows in () if statement.not_exercised else statement.rows():
                for resource, action in statement.rights():
                    call = (resource, action, rows)
                    assert call in made, f"{function}, {statement.sid}: no test makes the call {call}"
                    checked += 1
    assert checked > 10


def test_a_stream_is_read_by_the_calls_that_lambda_makes_and_no_other(template):
    (reader,) = [function for function in template.functions() if template.streams(function)]
    allowed = template.powers(reader, "dynamodb")
    assert allowed["credentials/stream"] == {"DescribeStream", "GetRecords", "GetShardIterator", "ListStreams"}


def test_every_recorded_call_is_by_a_function_or_under_an_operators_policy(template):
    known = {template.binary(function) for function in template.functions()} | set(template.operator_policies())
    assert set(record.calls()) <= known


def test_every_binary_is_a_function_and_every_function_a_binary(template):
    binaries = {path.stem for path in (ROOT / "functions/src/bin").glob("*.rs")}
    assert {template.binary(function) for function in template.functions()} == binaries == set(FUNCTIONS)
    for function in template.functions():
        words = re.findall("[A-Z][a-z]+", function)
        assert "-".join(words).lower() == template.binary(function)


def test_every_function_is_triggered_as_its_row_says(template):
    for function in template.functions():
        routes = [" ".join(route) for route in template.routes(function)]
        trigger = FUNCTIONS[template.binary(function)]["trigger"]
        assert routes == ([] if trigger in ("schedule", "stream") else [trigger]), function
        assert bool(template.streams(function)) == (trigger == "stream"), function


def test_every_function_has_the_time_out_of_its_row(template):
    everyones = template.document["Globals"]["Function"]["Timeout"]
    for function in template.functions():
        time_out = template.properties(function).get("Timeout", everyones)
        assert time_out == FUNCTIONS[template.binary(function)]["time_out_seconds"], function


def test_every_function_is_given_the_environment_that_its_powers_are_built_from(template):
    for function in template.functions():
        given = {name for name, value in template.environment(function).items() if value}
        row = FUNCTIONS[template.binary(function)]
        assert given == {*row["required"], *row["settings"]}, function


def test_a_function_is_told_where_a_service_is_only_if_it_calls_it(template):
    for function in template.functions():
        empty = {name for name, value in template.environment(function).items() if not value}
        assert empty == set(FUNCTIONS[template.binary(function)]["service_urls"]), function


def test_the_environment_holds_names_of_tables_and_of_the_key_and_nothing_else(template):
    settings = {name for row in FUNCTIONS.values() for name in row["settings"]}
    for function in template.functions():
        tables = {table.partition("/")[0] for table in template.powers(function, "dynamodb")}
        for name, value in template.environment(function).items():
            if name == "ENVELOPE_KEY_ID":
                assert value == "SealingKey"
            elif name.endswith("_TABLE"):
                table = name.removesuffix("_TABLE").lower()
                assert value == table_of(table)
                assert table in tables, f"{function} knows a table that it may not touch"
            elif name in settings:
                assert value in template.document["Parameters"], name
            else:
                assert value == "", f"{function} is given a value for {name}"
