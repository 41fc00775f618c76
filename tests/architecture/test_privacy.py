"""No kept file holds a path of somebody's machine or the address of a package registry."""

import re

from source_tree import ROOT, list_kept_files

# Written in parts, so that this file does not find itself. A made-up user of tests is called me;
# pods have their home in their folder of temporary files.
PATHS = "|".join(
    f"/{folder}" for folder in ("home/(?!me/)", "Users/", "root/", "work/", "tmp/(?!home)")
)
REGISTRIES = "|".join(
    (
        "pypi" + r"\.org",
        "pythonhosted" + r"\.org",
        "registry" + r"\.npmjs",
        "download" + r"\.pytorch",
        "proxy" + r"\.golang",
        "index" + r"-url[ =]+http",
        "artif" + "actory",
    )
)
PRIVATE = re.compile(rf"(?<![\w.)$])(?:{PATHS})[\w.]|{REGISTRIES}")


def test_no_kept_file_holds_a_machine_path_or_a_registry() -> None:
    found = []
    for path in list_kept_files():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        found += [f"{path.relative_to(ROOT)}: {hit[0]}" for hit in PRIVATE.finditer(text)]
    assert found == []


def test_the_pattern_finds_what_it_is_for() -> None:
    assert PRIVATE.search("see /" + "home/ann/data")
    assert PRIVATE.search("https://" + "pypi" + ".org/simple")
    assert not PRIVATE.search("docs/home/page and file:///path")
