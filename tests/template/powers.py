"""Prints docs/powers.md, from template.yaml: `python tests/template/powers.py > docs/powers.md`."""

from template import Template

# By its name, which is how the CLI asks for it.
THIS_STACK = "arn:AWS::Partition:cloudformation:AWS::Region:AWS::AccountId:stack/AWS::StackName/*"


def page(template):
    lines = [
        "# What each function may do",
        "",
        "One function, one role. This page is made from `template.yaml` by "
        "`target/ci/python/bin/python tests/template/powers.py > docs/powers.md`, and a test fails where they differ.",
        "",
        "| function | route | DynamoDB | KMS, with the envelope key |",
        "| --- | --- | --- | --- |",
    ]
    for function in template.functions():
        tables = template.powers(function, "dynamodb")
        keys = template.powers(function, "kms")
        lines.append(
            f"| `{template.binary(function)}` | {called_by(template, function)} | "
            + "<br>".join(f"*{table}*: {listed(tables[table])}" for table in sorted(tables))
            + " | "
            + ("<br>".join(f"{listed(keys[purpose])} for {purpose}" for purpose in sorted(keys)) or "none")
            + " |"
        )
    lines += [
        "",
        "A write inside a DynamoDB transaction takes the permission of the write itself. Beyond the table, each function "
        "may write to its own log group and send trace segments to X-Ray, and the one that reads a stream tell its queue what it "
        "could not do, and no other thing.",
        "",
        "The operators' policies, for whoever runs the CLI. Nobody has `RecoveryPolicy` until somebody attaches it: it is for "
        "`capsule replay`, reads and writes grants as they are sealed, and opens none. Nor `RestorePolicy`, for `credentials list` "
        "and `restore`, and `PurgePolicy`, for `credentials purge` and `sweep`. `DoctorPolicy` is for `doctor`, which looks and "
        "changes nothing. `rewrap` has no policy but a role to assume, `RewrapRole`, since whoever may move a key to one of their own "
        "could open what it wraps: it scans and replaces the wrapped keys of *secrets*, cannot read ciphertext, moves keys between "
        "the envelope keys by `ReEncrypt`, and can decrypt nothing.",
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
        "KMS asks the envelope key's own policy too, and both must agree. It lets the account's administrators manage "
        f"the key and not use it, lets the roles of {users} use it, lets `RewrapRole` move keys from and to it, and denies every use that does not name the row in the "
        "encryption context. The key that encrypts the tables at rest is opened through DynamoDB for whoever may use a "
        "table, so no role names it.",
    ]
    return "\n".join(lines) + "\n"


def called_by(template, function):
    routes = "<br>".join(f"`{method} {path}`" for method, path in template.routes(function))
    return routes or ("a stream" if template.streams(function) else "a schedule")


def listed(actions):
    return ", ".join(f"`{action}`" for action in sorted(actions))


def named(resource):
    return {THIS_STACK: "this stack"}.get(resource, f"*{resource.removesuffix('Table.Arn').lower()}*")


def rows(statement):
    """The rows that a statement is limited to."""
    keys = statement.condition.get("ForAllValues:StringLike", {}).get("dynamodb:LeadingKeys", [])
    return f", rows {', '.join(f'`{key}`' for key in keys)}" if keys else ""


if __name__ == "__main__":
    print(page(Template()), end="")
