"""template.yaml, as the tests and the table of powers read it.

Intrinsics become plain text that is the same wherever the same thing is meant: `!Ref X` is `X`, `!GetAtt X.Arn` is
`X.Arn`, `!Sub '${X.Arn}/index/i'` is `X.Arn/index/i`. `!If` and the like stay lists under their name.
"""

import dataclasses
import json
import pathlib
import re

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
PATH = ROOT / "template.yaml"
# A comment on a statement of a role, and why the API suite makes none of the calls that the statement allows.
NOT_EXERCISED = re.compile(r"^( *)# not exercised by the API suite: (.+)$", re.M)


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
        # The key that seals, the stack's own or another; and while it is being changed, the one before.
        case "If" if value[0] == "HasEnvelopeKey":
            return "SealingKey"
        case "If" if value[0] == "HasPreviousEnvelopeKey":
            return "PreviousKey"
        case "Sub":
            return re.sub(r"\$\{([^}]+)\}", r"\1", value)
        case _:
            return {tag: value}


_Loader.add_multi_constructor("!", _intrinsic)


def load(text=None):
    """The document. A comment of the form NOT_EXERCISED becomes a field of its statement, since YAML drops comments."""
    text = PATH.read_text() if text is None else text
    return yaml.load(NOT_EXERCISED.sub(lambda it: f"{it[1]}NotExercised: {json.dumps(it[2])}", text), _Loader)


def snake(name):
    """A name of the template as the code has it: `TokenUrls` is `token_urls`."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def table_of(name):
    """The logical name of a table that the code calls by this name."""
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
        """The kinds of rows that the statement is limited to, as patterns: `grant#*`. Empty if it allows all rows."""
        return self.condition.get("ForAllValues:StringLike", {}).get("dynamodb:LeadingKeys", [])

    def rights(self):
        """`{(resource, action), …}` of DynamoDB and KMS, named as in the record of calls. KMS has a right for each purpose."""
        found = set()
        for action in self.actions:
            service, _, name = action.partition(":")
            for resource in self.resources if service in ("dynamodb", "kms") else ():
                short = _short(resource, self)
                found |= {(f"kms/{it}", name) for it in short.split(", ")} if service == "kms" else {(short, name)}
        return found


class Template:
    def __init__(self, document=None):
        self.document = load() if document is None else document
        self.resources = self.document["Resources"]

    def of_type(self, kind):
        return {name: it for name, it in self.resources.items() if it["Type"] == kind}

    def properties(self, name):
        return self.resources[name]["Properties"]

    def functions(self):
        """The logical names, in the template's order."""
        return list(self.of_type("AWS::Serverless::Function"))

    def binary(self, function):
        return self.resources[function]["Metadata"]["BuildProperties"]["Binary"]

    def role(self, function):
        return self.properties(function)["Role"].removesuffix(".Arn")

    def routes(self, function):
        """Its routes in the API: one, or several that are handled alike, or none where a schedule or a stream calls it."""
        events = [it["Properties"] for it in self.properties(function)["Events"].values() if it["Type"] == "Api"]
        return [(event["Method"], event["Path"]) for event in events]

    def streams(self, function):
        """The streams that it reads."""
        events = [it["Properties"] for it in self.properties(function)["Events"].values() if it["Type"] == "DynamoDB"]
        return [event["Stream"] for event in events]

    def environment(self, function):
        everyones = self.document["Globals"]["Function"]["Environment"]["Variables"]
        return everyones | self.properties(function)["Environment"]["Variables"]

    def table(self, name):
        return self.properties(name)

    def statements(self, role):
        """Everything a role may do by a policy of its own."""
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
        """What operators may be given, by the policy's name."""
        return {
            name: [Statement.of(it) for it in many(policy["Properties"]["PolicyDocument"]["Statement"])]
            for name, policy in self.of_type("AWS::IAM::ManagedPolicy").items()
        }

    def operator_statements(self):
        return sum(self.operator_policies().values(), [])

    def key_statements(self, key):
        return [Statement.of(statement) for statement in self.properties(key)["KeyPolicy"]["Statement"]]

    def powers(self, function, service):
        """`{resource: {action, …}}` of what a function may do in one service, by short names.

        A table is named as in the code, an index after its table, a key with the purposes it may be used for.
        """
        powers = {}
        for statement in self.statements(self.role(function)):
            for action in statement.actions:
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
