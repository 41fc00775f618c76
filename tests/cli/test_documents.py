"""Any text becomes documents with line numbers, or problems: never an exception."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab_cli.documents import parse_documents

YAML_PIECES = st.sampled_from(
    ["a: ", "- ", "[", "]", "{", "}", "&x ", "*x", "!!int ", "!", "|\n", ">", "%YAML 1.2\n", "---\n",
     "...\n", "\n", "  ", "'", '"', "?", ":", "1e-4", ".nan", "<<: ", "#", "\t", "\\x", "é", ","]
)  # fmt: skip


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-4", 1e-4),
        ("0x1F", 31),
        ("017", 17),
        ("yes", "yes"),
        ("true", True),
        ("2001-12-14", "2001-12-14"),
        ("'1'", "1"),
        ("~", None),
    ],
)
def test_scalars_are_those_of_yaml_1_2(text: str, value: object) -> None:
    (document,) = parse_documents(f"a: {text}")

    assert document.data == {"a": value}
    assert type(document.data["a"]) is type(value)


def test_each_key_and_entry_has_its_line() -> None:
    (document,) = parse_documents("# head\na:\n  b:\n  - 1\n  - {c: 2}\n")

    assert document.find_line(("a", "b", 1, "c")) == 5
    assert document.find_line(("a", "b", 0)) == 4
    assert document.find_line(("a", "missing", "below")) == 2
    assert document.find_line(()) == 2


def test_documents_before_broken_text_are_kept() -> None:
    first, broken = parse_documents("a: 1\n---\nb: [1\n")

    assert first.data == {"a": 1}
    assert not first.problems
    assert broken.problems[0].line >= 3
    assert broken.problems[0].expectation.startswith("must be YAML")


def test_empty_documents_are_left_out() -> None:
    assert [document.data for document in parse_documents("---\n---\na: 1\n---\n")] == [{"a": 1}]
    assert parse_documents("") == []


@pytest.mark.parametrize(
    ("text", "line", "path", "expectation"),
    [
        ("a: 1\nb: 2\na: 3", 3, ("a",), "must be given once, line 1 has it already"),
        ("a: &x 1\nb: *x", 1, ("b",), "must be written out: aliases are not read"),
        ("a:\n  1: x", 2, ("a",), "must have strings as keys"),
        ("a: !!python/object:os.system x", 1, ("a",), "must have no tag"),
        ("a: !!binary aGk=", 1, ("a",), "must have no tag"),
        ("a: " + "9" * 5000, 1, ("a",), "must be a readable int"),
        ("a: " + "[" * 60 + "]" * 60, 1, ("a", *[0] * 48), "must be nested at most 48 deep"),
    ],
    ids=["duplicate", "alias", "key", "object", "binary", "digits", "depth"],
)
def test_what_json_cannot_say_is_a_problem_with_its_line(
    text: str, line: int, path: tuple[str | int, ...], expectation: str
) -> None:
    (document,) = parse_documents(text)

    (problem,) = document.problems
    assert (problem.line, problem.path, problem.expectation) == (line, path, expectation)


def test_f29_an_alias_bomb_is_refused_unexpanded() -> None:
    lines = ["a0: &a0 [x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 30)]

    (document,) = parse_documents("\n".join(lines))

    assert len(document.problems) == 29 * 9


def test_nesting_beyond_the_parser_is_a_problem() -> None:
    (document,) = parse_documents("[" * 2000)

    assert document.problems


@settings(max_examples=150, deadline=None)
@given(st.lists(YAML_PIECES, max_size=12).map("".join) | st.text(max_size=40))
def test_any_text_is_answered(text: str) -> None:
    for document in parse_documents(text):
        assert document.data is not None or document.problems
