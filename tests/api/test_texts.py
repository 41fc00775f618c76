"""Text of others becomes one readable line."""

import pytest

from trimtab_api.texts import clean_text, shorten


@pytest.mark.parametrize(
    "character", ["\x00", "\x1b", "\n", "\x7f", "\u2028", "\u202e", "\u200b", "\ud800"]
)
def test_f44_what_cannot_be_read_becomes_a_blank(character: str) -> None:
    assert clean_text(f"a{character}b") == "a b"


def test_letters_of_any_script_stay() -> None:
    assert clean_text("größe 模型 ±") == "größe 模型 ±"


def test_messages_are_one_line_of_at_most_256_characters() -> None:
    assert shorten("a\n  b\x1b[31m") == "a b [31m"
    long = shorten("word " * 100)
    assert (len(long), long[-1]) == (256, "…")
