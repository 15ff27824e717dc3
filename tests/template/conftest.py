import pytest
from template import Template


@pytest.fixture
def template():
    return Template()
