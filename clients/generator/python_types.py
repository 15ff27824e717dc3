"""Turns the schemas of the document into Python types: TypedDicts and aliases."""

import json
import keyword
import re
import textwrap

NULL = {"type": "null"}
SCALARS = {"string": "str", "integer": "int", "number": "float", "boolean": "bool"}


def camel(name):
    return "".join(part[:1].upper() + part[1:] for part in re.split(r"[^A-Za-z0-9]+", name))


def comment(text, indent):
    """A description as the lines of a comment."""
    paragraphs = " ".join((text or "").split())
    return "".join(f"{indent}# {line}\n" for line in textwrap.wrap(paragraphs, 116 - len(indent)))


def description(schema):
    """The description, which is inside if the schema is "this or null"."""
    inner = (it.get("description") for it in schema.get("oneOf", []))
    return schema.get("description") or next(filter(None, inner), None)


def docstring(text, indent):
    paragraphs = [" ".join(part.split()) for part in (text or "").split("\n\n")]
    wrapped = [textwrap.fill(part, 118 - len(indent), subsequent_indent=indent) for part in paragraphs if part]
    joined = f"\n\n{indent}".join(wrapped).replace("\\", "\\\\").replace('"""', "'''")
    return f'{indent}"""{joined}\n{indent}"""\n' if "\n" in joined else f'{indent}"""{joined}"""\n'


def shape(schema):
    """What makes two schemas the same type: everything but the description."""
    return json.dumps({key: value for key, value in schema.items() if key != "description"}, sort_keys=True)


def is_typed_dict(schema):
    """Whether a schema can be a TypedDict: each field must be a name of Python."""
    fields = schema.get("properties", {})
    names = all(field.isidentifier() and not keyword.iskeyword(field) for field in fields)
    return schema.get("type") == "object" and bool(fields) and names


class Types:
    """Collects the types that are used, in an order in which each alias comes after what it names."""

    def __init__(self, document):
        self.document = document
        self.dicts, self.aliases, self.open = {}, {}, set()
        # The document repeats the schema of a component where an answer has it in `data`.
        self.by_shape = {shape(it): name for name, it in document.schemas.items() if it.get("type") == "object"}

    def of(self, schema, name):
        """The expression of a schema's type. `name` is for a schema that needs a type of its own and has no name."""
        if "$ref" in schema:
            return self.component(schema["$ref"].rsplit("/", 1)[1])
        if is_typed_dict(schema) and shape(schema) in self.by_shape:
            return self.component(self.by_shape[shape(schema)])
        if "enum" in schema or "const" in schema:
            return f"Literal[{', '.join(map(repr, schema.get('enum', [schema.get('const')])))}]"
        for key in ("oneOf", "anyOf"):
            if key in schema and "properties" not in schema:
                return self.union([self.of(it, name) for it in schema[key] if it != {"type": "string", "maxLength": 0}])
        if isinstance(schema.get("type"), list):
            return self.union([self.of({**schema, "type": one}, name) for one in schema["type"]])
        described = [it for it in schema.get("allOf", []) if "type" in it or "$ref" in it]
        if "type" not in schema and described:
            fields = [it for it in described if "properties" in it or "$ref" in it] or described
            return self.of(fields[0], name) if len(fields) == 1 else "Dict[str, Any]"
        if is_typed_dict(schema):
            self.typed_dict(name, schema)
            return name
        if schema.get("type") == "object":
            return "Dict[str, Any]"
        if schema.get("type") == "array":
            return f"List[{self.of(schema.get('items', {}), name + 'Item')}]"
        return "None" if schema == NULL or schema.get("type") == "null" else SCALARS.get(schema.get("type"), "Any")

    @staticmethod
    def union(types):
        types = list(dict.fromkeys(types))
        others = [it for it in types if it != "None"]
        if not others:
            return "None"
        joined = others[0] if len(others) == 1 else f"Union[{', '.join(others)}]"
        return f"Optional[{joined}]" if "None" in types else joined

    def component(self, name):
        schema = self.document.schemas[name]
        if name not in self.dicts and name not in self.aliases:
            if is_typed_dict(schema):
                self.typed_dict(name, schema)
            elif name in self.open:
                return "Any"  # an alias cannot contain itself
            else:
                self.open.add(name)
                alias = self.of(schema, name)
                self.aliases[name] = comment(schema.get("description"), "") + f"{name} = {alias}\n"
        return name

    def typed_dict(self, name, schema):
        if name in self.dicts:
            return
        self.dicts[name] = ""  # keeps the place, and ends a recursion
        required = set(schema.get("required", []))
        fields = {
            field: comment(description(it), "    ") + f"    {field}: {self.of(it, name + camel(field))}\n"
            for field, it in schema["properties"].items()
        }
        always = "".join(text for field, text in fields.items() if field in required)
        sometimes = "".join(text for field, text in fields.items() if field not in required)
        about = docstring(schema.get("description") or name, "    ")
        # Python 3.9 has no `NotRequired`, so the required fields of a mixed type are in a class of their own.
        if always and sometimes:
            text = f"class _{name}Required(TypedDict):\n{always}\n\n"
            text += f"class {name}(_{name}Required, total=False):\n{about}\n{sometimes}"
        elif always:
            text = f"class {name}(TypedDict):\n{about}\n{always}"
        else:
            text = f"class {name}(TypedDict, total=False):\n{about}\n{sometimes}"
        self.dicts[name] = text

    def module(self, header):
        """The module of all types that were used. Annotations are lazy, so only aliases must come after their parts."""
        imports = "from __future__ import annotations\n\n"
        imports += "from typing import Any, Dict, List, Literal, Optional, TypedDict, Union\n\n"
        names = ", ".join(f'"{name}"' for name in sorted([*self.dicts, *self.aliases]))
        parts = [*self.dicts.values(), *self.aliases.values()]
        return f"{header}{imports}__all__ = [{names}]\n\n\n" + "\n\n".join(parts)
