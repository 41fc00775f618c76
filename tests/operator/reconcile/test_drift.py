"""An object is as it should be when it holds what was applied, whatever others added."""

import pytest

from trimtab_operator.reconcile.drift import is_covered


@pytest.mark.parametrize(
    ("wanted", "found", "covered"),
    [
        ({"a": 1}, {"a": 1, "b": 2}, True),
        ({"a": 1}, {"a": 2}, False),
        ({"a": 1}, {}, False),
        ({"a": 1}, None, False),
        ({"a": [{"b": 1}]}, {"a": [{"b": 1, "default": 2}]}, True),
        ({"a": [1]}, {"a": [1, 2]}, False),
        ({"a": []}, {"a": [1]}, False),
        ({"a": {}}, {"a": {"b": 1}}, True),
        ({"a": "1"}, {"a": 1}, False),
    ],
)
def test_what_is_applied_must_be_there(wanted: object, found: object, covered: bool) -> None:
    assert is_covered(wanted, found) is covered
