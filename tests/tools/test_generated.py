import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "deploy"))
import generate  # noqa: E402


@pytest.mark.parametrize(("path", "text"), generate.generated().items(), ids=lambda it: getattr(it, "name", ""))
def test_the_file_follows_from_the_template(path, text):
    assert path.read_text() == text, "run `target/ci/python/bin/python deploy/generate.py`"


def test_a_required_parameter_has_no_default():
    template = {"Parameters": {"Name": {"Type": "String"}, "Size": {"Type": "Number", "Default": 0}}, "Outputs": {}}
    assert "  readonly name: string;" in generate.typescript(template)
    assert "  readonly size?: number;" in generate.typescript(template)
    required, optional = generate.variables(template)
    assert "default" not in required
    assert "default  = 0" in optional


def test_a_list_and_a_secret_keep_their_types():
    parameters = {
        "Subnets": {"Type": "List<AWS::EC2::Subnet::Id>", "Default": ""},
        "Names": {"Type": "CommaDelimitedList", "Default": "a,b", "AllowedValues": ["a", "b"]},
        "Secret": {"Type": "String", "NoEcho": True},
    }
    template = {"Parameters": parameters, "Outputs": {}}
    subnets, names, secret = generate.variables(template)
    assert "type     = list(string)" in subnets and "default  = []" in subnets
    assert 'default  = ["a", "b"]' in names
    assert "sensitive = true" in secret
    assert 'Names   = join(",", var.names)' in "".join(generate.parameters(template))


def test_a_text_of_the_template_is_no_expression_of_terraform():
    parameter = {"Type": "String", "Description": "Such as ${Name} or %{x}", "AllowedPattern": r"^\$\{[a-z]+\}$"}
    (variable,) = generate.variables({"Parameters": {"Name": parameter}})
    assert 'description = "Such as $${Name} or %%{x}"' in variable
    assert r'regex("^(?:^\\$\\{[a-z]+\\}$)$", var.name)' in variable
