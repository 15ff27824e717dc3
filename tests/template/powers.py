"""Prints docs/powers.md, generated from template.yaml: `python tests/template/powers.py > docs/powers.md`."""

import textwrap

from template import Template, snake, table_of

# The stack's ARN by name, because the CLI asks CloudFormation for the stack by name.
THIS_STACK = "arn:AWS::Partition:cloudformation:AWS::Region:AWS::AccountId:stack/AWS::StackName/*"


def page(template):
    lines = [
        "# What each function may do",
        "",
        "Each function has its own role. Do not edit this page: it is generated from `template.yaml`. A test fails if the",
        "page is out of date. Generate the page again with",
        "`target/ci/python/bin/python tests/template/powers.py > docs/powers.md`.",
        "",
        "| function | route | DynamoDB | KMS, with the envelope key |",
        "| --- | --- | --- | --- |",
    ]
    for function in template.functions():
        tables = template.powers(function, "dynamodb")
        keys = template.powers(function, "kms")
        lines.append(
            f"| `{template.binary(function)}` | {triggers(template, function)} | "
            + ("<br>".join(f"*{table}*: {code_list(tables[table])}{limits(template, function, table)}" for table in sorted(tables)) or "none")
            + " | "
            + ("<br>".join(f"{code_list(keys[purpose])} for {purpose}" for purpose in sorted(keys)) or "none")
            + " |"
        )
    lines += [
        "",
        "A write inside a DynamoDB transaction needs the same right as a write outside. \"In transactions\" means: the right",
        "is for transactions only. \"Writes rows\" means: the role denies single writes to other kinds of rows.",
        "[security.md](security.md#what-a-role-cannot-limit) says what a role cannot limit. The table leaves out these rights:",
        "",
        "- Each function may write to its own log group.",
        "- Each function may send trace segments to X-Ray.",
        "- A function that reads a stream may send failed records to its dead-letter queue.",
        "- `notify-enqueue` may send messages to the queue of notifications. `notify-deliver` may receive, hide and delete them.",
        "",
        "## Operators",
        "",
        "Operators run the CLI. Attach a policy to an operator who needs it: the stack attaches none.",
        "",
        "- `OperatorPolicy` is for managing teams and API keys, and for sending lost notifications again.",
        "- `RecoveryPolicy` is for `capsule replay`. It reads and writes encrypted grants and cannot decrypt them.",
        "- `RestorePolicy` is for `credentials list`, `show` and `restore`.",
        "- `PurgePolicy` is for `credentials purge` and `credentials sweep`.",
        "- `DoctorPolicy` is for `doctor`. It changes nothing.",
        "",
        "For `rewrap`, an operator assumes the role `RewrapRole`. These rights must not be attached to people, because somebody",
        "who may move a wrapped key to a KMS key of their own can decrypt it there. The role:",
        "",
        "- scans *secrets* and replaces the wrapped data keys;",
        "- moves wrapped keys between the two envelope keys with `ReEncrypt`;",
        "- cannot read ciphertext, and cannot decrypt.",
        "",
        "For `import`, an operator assumes the role `ImportRole`, only for the time of an import. The role:",
        "",
        "- refreshes grants that an import stored, and opens no other grants: the ids of imported grants are UUIDs of version 8;",
        "- stores new credentials with their client secrets, and opens no client secret;",
        "- deletes a grant only in a transaction that remembers why;",
        "- writes no *secrets* but client secrets and imported grants, as far as [IAM can limit a",
        "  transaction](security.md#what-a-role-cannot-limit).",
        "",
        "| policy | actions | on |",
        "| --- | --- | --- |",
    ]
    for policy, statements in template.operator_policies().items():
        for statement in statements:
            actions = ", ".join(f"`{action}`" for action in statement.actions)
            resources = ", ".join(named(resource) for resource in statement.resources)
            lines.append(f"| `{policy}` | {actions} | {resources}{rows(statement)} |")
    users = ", ".join(f"`{template.binary(it)}`" for it in template.functions() if template.powers(it, "kms"))
    lines += [
        "",
        "## KMS key policies",
        "",
        "A use of the envelope key needs two permissions: one in the role, one in the key's own policy. The key's policy:",
        "",
        "- lets the account's administrators manage the key, but not use it;",
        "- lets the roles of some functions use it:",
        textwrap.fill(f"{users};", 120, initial_indent="  ", subsequent_indent="  ", break_on_hyphens=False),
        "- lets `RewrapRole` re-encrypt from and to it;",
        "- lets `ImportRole` open and seal imported grants, and seal client secrets;",
        "- denies every use that does not name the row in the encryption context.",
        "",
        "Another key encrypts the tables at rest. DynamoDB uses that key for every caller that may use a table, so no role",
        "has a right to it.",
    ]
    return "\n".join(lines) + "\n"


def triggers(template, function):
    routes = "<br>".join(f"`{method} {path}`" for method, path in template.routes(function))
    others = "a stream" if template.streams(function) else "a queue" if template.queues(function) else "a schedule"
    return routes or others


def code_list(actions):
    return ", ".join(f"`{action}`" for action in sorted(actions))


def named(resource):
    queues = {f"{name}.Arn": f"the queue `{name}`" for name in ("LostNotifications", "NotificationQueue")}
    known = {THIS_STACK: "this stack", "SealingKey": "the envelope key", **queues}
    table, _, index = resource.partition("Table.Arn")
    return known.get(resource, f"*{snake(table)}{index.replace('/index/', '/')}*")


def rows(statement):
    """The rows or calls to which a statement is limited, as text."""
    keys = statement.condition.get("ForAllValues:StringLike", {}).get("dynamodb:LeadingKeys", [])
    text = f", rows {', '.join(f'`{key}`' for key in keys)}" if keys else ""
    return text + (", in transactions" if statement.only_in_transactions() else "")


def limits(template, function, table):
    """The kinds of rows that a function may write, and the writes that it may make only in transactions, as text."""
    text, single, in_transactions = "", set(), set()
    for statement in template.statements(template.role(function)):
        if statement.writable_rows() and statement.resources == (f"{table_of(table)}.Arn",):
            text += f"; writes rows {code_list(statement.writable_rows())}"
        actions = {action for resource, action in statement.rights() if resource == table}
        (in_transactions if statement.only_in_transactions() else single).update(actions)
    only = in_transactions - single
    return text + (f"; {code_list(only)} in transactions" if only else "")


if __name__ == "__main__":
    print(page(Template()), end="")
