"""Loads template.yaml for the tests and for docs/powers.md.

Intrinsic functions become plain text, so that the same resource always has the same text: `!Ref X` becomes `X`,
`!GetAtt X.Arn` becomes `X.Arn`, `!Sub '${X.Arn}/index/i'` becomes `X.Arn/index/i`. Others, such as `!If`, become
`{name: arguments}`.

A table is the stack's own, or another one that a parameter names. `Template` decides this with `tables_in_use`: without
names, `!If [OwnsKeysTable, …]` becomes `KeysTable`. With the name `KeysTable`, it becomes `KeysTableName`.
"""

import dataclasses
import functools
import json
import pathlib
import re
import sys

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "deploy"))
from package import binary_of  # noqa: E402

PATH = ROOT / "template.yaml"
# A comment above a role's statement. It gives the reason why the API suite makes no call that needs the statement.
NOT_EXERCISED = re.compile(r"^ *# not exercised by the API suite: (.+)\n( *- \{)", re.M)


class _Loader(yaml.SafeLoader):
    pass


def _intrinsic(loader, tag, node):
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_mapping(node, deep=True)
    match tag:
        case "Ref" | "GetAtt":
            return value
        # The KMS key that encrypts, and the previous key during a change of keys.
        case "If" if value[0] == "HasEnvelopeKey":
            return "SealingKey"
        case "If" if value[0] == "HasPreviousEnvelopeKey":
            return "PreviousKey"
        case "Sub" if isinstance(value, str):
            return re.sub(r"\$\{([^}]+)\}", r"\1", value)
        case _:
            return {tag: value}


_Loader.add_multi_constructor("!", _intrinsic)


@functools.cache
def _parsed(text):
    """The template as JSON. YAML drops comments, so a NOT_EXERCISED comment becomes a field of its statement first."""
    text = NOT_EXERCISED.sub(lambda it: f"{it[2]}NotExercised: {json.dumps(it[1])}, ", text)
    return json.dumps(yaml.load(text, _Loader))


def load(text=None):
    """Parses the template. Places with the same YAML alias get a copy each, so that a mutation changes one of them."""
    return json.loads(_parsed(PATH.read_text() if text is None else text))


# The ARN of a table, built from its name.
TABLE_ARN = re.compile(r"arn:AWS::Partition:dynamodb:AWS::Region:AWS::AccountId:table/(\w+)")


def tables_in_use(value, named):
    """Decides between the stack's own tables and those that parameters name. `named`: tables such as `KeysTable`."""
    if isinstance(value, list):
        return [tables_in_use(it, named) for it in value]
    if not isinstance(value, dict):
        return value
    value = {name: tables_in_use(it, named) for name, it in value.items()}
    match value:
        case {"If": [str(condition), own, other]} if condition.startswith("Owns"):
            return other if re.sub("Owns|Stream$|Table$", "", condition) + "Table" in named else own
        case {"Sub": [str(text), dict(words)]} if all(isinstance(it, str) for it in words.values()):
            text = re.sub(r"\$\{([^}]+)\}", lambda it: words.get(it[1], it[1]), text)
            return TABLE_ARN.sub(r"\1.Arn", text)
        case {"Join": [str(between), [*parts]]} if all(isinstance(it, str) for it in parts):
            return between.join(parts)
        case _:
            return value


def snake(name):
    """Converts a name in the template to a name in the code: `TokenUrls` becomes `token_urls`."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def table_of(name):
    """Converts a table name in the code to its logical id: `token_urls` becomes `TokenUrlsTable`."""
    return "".join(word.capitalize() for word in name.split("_")) + "Table"


def many(value):
    return value if isinstance(value, list) else [value]


@dataclasses.dataclass(frozen=True)
class Statement:
    sid: str
    effect: str
    actions: tuple
    resources: tuple
    condition: dict
    principal: object = None
    not_exercised: str = ""

    @classmethod
    def of(cls, statement):
        assert "NotAction" not in statement and "NotResource" not in statement, statement
        return cls(
            statement.get("Sid", ""),
            statement["Effect"],
            tuple(many(statement["Action"])),
            tuple(many(statement["Resource"])),
            statement.get("Condition", {}),
            statement.get("Principal"),
            statement.get("NotExercised", ""),
        )

    def rows(self):
        """The kinds of rows to which the statement is limited, as patterns such as `grant#*`. Empty: all rows."""
        return self.condition.get("ForAllValues:StringLike", {}).get("dynamodb:LeadingKeys", [])

    def writable_rows(self):
        """For a statement that denies writes to all other kinds of rows: the kinds that it spares. Otherwise None."""
        keys = self.condition.get("ForAnyValue:StringNotLike", {}).get("dynamodb:LeadingKeys")
        return keys if self.effect == "Deny" else None

    def only_in_transactions(self):
        return self.condition.get("ForAnyValue:StringEquals") == {"dynamodb:EnclosingOperation": ["TransactWriteItems"]}

    def rights(self):
        """`{(resource, action), …}` for DynamoDB and KMS, named as in the record. Each KMS purpose is one right.

        A statement that denies gives no right.
        """
        found = set()
        if self.effect != "Allow":
            return found
        for action in self.actions:
            service, _, name = action.partition(":")
            for resource in self.resources if service in ("dynamodb", "kms") else ():
                short = _short(resource, self)
                found |= {(f"kms/{it}", name) for it in short.split(", ")} if service == "kms" else {(short, name)}
        return found


class Template:
    def __init__(self, document=None, named=()):
        self.written = load() if document is None else document
        self.document = tables_in_use(self.written, named)
        self.resources = self.document["Resources"]

    def of_type(self, kind):
        return {name: it for name, it in self.resources.items() if it["Type"] == kind}

    def properties(self, name):
        return self.resources[name]["Properties"]

    def functions(self):
        """The logical ids, in the order of the template."""
        return list(self.of_type("AWS::Serverless::Function"))

    def binary(self, function):
        """The Makefile builds the function from the binary with its name in kebab case."""
        assert self.resources[function]["Metadata"] == {"BuildMethod": "makefile"}, function
        return binary_of(function)

    def role(self, function):
        return self.properties(function)["Role"].removesuffix(".Arn")

    def routes(self, function):
        """The API routes of a function. A function that a schedule or a stream calls has none."""
        events = [it["Properties"] for it in self.properties(function)["Events"].values() if it["Type"] == "Api"]
        return [(event["Method"], event["Path"]) for event in events]

    def streams(self, function):
        """The streams that a function reads."""
        events = [it["Properties"] for it in self.properties(function)["Events"].values() if it["Type"] == "DynamoDB"]
        return [event["Stream"] for event in events]

    def queues(self, function):
        """The queues that a function takes messages from."""
        events = [it["Properties"] for it in self.properties(function)["Events"].values() if it["Type"] == "SQS"]
        return [event["Queue"] for event in events]

    def environment(self, function):
        shared = self.document["Globals"]["Function"]["Environment"]["Variables"]
        return shared | self.properties(function).get("Environment", {}).get("Variables", {})

    def table(self, name):
        return self.properties(name)

    def statements(self, role):
        """All policy statements of a role, inline or from a separate policy."""
        policies = list(self.properties(role).get("Policies", []))
        policies += [
            it["Properties"]
            for it in self.of_type("AWS::IAM::Policy").values()
            if role in it["Properties"]["Roles"]
        ]
        return [
            Statement.of(statement)
            for policy in policies
            for statement in many(policy["PolicyDocument"]["Statement"])
        ]

    def operator_policies(self):
        """The policies for operators: `{name: statements}`."""
        return {
            name: [Statement.of(it) for it in many(policy["Properties"]["PolicyDocument"]["Statement"])]
            for name, policy in self.of_type("AWS::IAM::ManagedPolicy").items()
        }

    def operator_statements(self):
        return sum(self.operator_policies().values(), [])

    def key_statements(self, key):
        return [Statement.of(statement) for statement in self.properties(key)["KeyPolicy"]["Statement"]]

    def powers(self, function, service):
        """`{resource: {action, …}}`: what a function may do in one service.

        A resource is `table` or `table/index`, with the table names of the code. For KMS it is the list of purposes.
        """
        powers = {}
        for statement in self.statements(self.role(function)):
            for action in statement.actions if statement.effect == "Allow" else ():
                prefix, _, name = action.partition(":")
                if prefix == service:
                    for resource in statement.resources:
                        powers.setdefault(_short(resource, statement), set()).add(name)
        return powers


def _short(resource, statement):
    table, _, index = resource.partition("Table.Arn")
    if table != resource:
        return snake(table) + index.replace("/index/", "/")
    if resource.endswith("Table.StreamArn"):
        return f"{snake(resource.removesuffix('Table.StreamArn'))}/stream"
    equals = statement.condition.get("StringEquals", {})
    purposes = many(equals.get("kms:EncryptionContext:purpose", []))
    return ", ".join(purposes)
