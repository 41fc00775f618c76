"""Keys are spelt alike for all who read and write them."""

from trimtab_api import labels
from trimtab_api.stages import STAGE_ORDER


def test_every_label_and_annotation_has_a_prefix() -> None:
    names = [name for name in labels.__all__ if name.startswith(("LABEL_", "ANNOTATION_"))]
    assert {getattr(labels, name).partition("/")[0] for name in names} == {
        "app.kubernetes.io",
        "trimtab.dev",
    }


def test_keys_of_the_report_are_all_different() -> None:
    keys = [labels.KEY_PROGRESS, labels.KEY_CONTROL, labels.KEY_JOB, labels.target_key("prune")]
    keys += [labels.stage_key(stage) for stage in STAGE_ORDER]
    assert len(set(keys)) == len(keys)


def test_a_key_says_what_it_holds() -> None:
    assert labels.stage_key(STAGE_ORDER[0]) == "search.json"
    assert labels.target_key("edge") == "target-edge.json"


def test_no_variable_looks_like_the_key_of_a_secret() -> None:
    prefixes = tuple(getattr(labels, name) for name in labels.__all__ if "ENV_PREFIX" in name)
    assert len(prefixes) == 3
    own = [getattr(labels, name) for name in labels.__all__ if name.startswith("ENV_")]
    assert not [name for name in own if name not in prefixes and name.startswith(prefixes)]
