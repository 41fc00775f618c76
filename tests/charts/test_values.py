"""Values of the chart: each is described, has an effect, and is refused by name where it is wrong."""

import json
import re
import tomllib
from collections.abc import Iterator
from typing import Any

import pytest
from ruamel.yaml import YAML

from helm_chart import CHART, HelmError, Values, render_text
from source_tree import ROOT
from trimtab_codegen.chart import VALUES_BEGIN, VALUES_END, insert_values_table

pytestmark = pytest.mark.helm

SCHEMA: dict[str, Any] = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
TEXT = (CHART / "values.yaml").read_text(encoding="utf-8")
DIGEST = f"sha256:{'a1' * 32}"

# A value other than the default for each, with what must be on for it to count.
CHANGED: dict[str, Values] = {
    "image.repository": {"image": {"repository": "registry.example:5000/ml/operator"}},
    "image.tag": {"image": {"tag": "0.2.0"}},
    "image.digest": {"image": {"digest": DIGEST}},
    "image.pullPolicy": {"image": {"pullPolicy": "Always"}},
    "trainerImage.repository": {"trainerImage": {"repository": "ghcr.io/me/trainer"}},
    "trainerImage.tag": {"trainerImage": {"tag": "0.2.0"}},
    "trainerImage.digest": {"trainerImage": {"digest": DIGEST}},
    "imagePullSecrets": {"imagePullSecrets": [{"name": "registry"}]},
    "watchNamespaces": {"watchNamespaces": ["vision", "speech"]},
    "logLevel": {"logLevel": "DEBUG"},
    "storageUri": {"storageUri": "s3://runs/all"},
    "rayVersion": {"rayVersion": "2.60.0"},
    "crds.install": {"crds": {"install": False}},
    "crds.keep": {"crds": {"keep": False}},
    "resources.limits": {"resources": {"limits": {"cpu": 2}}},
    "resources.requests": {"resources": {"requests": {"memory": "1Gi"}}},
    "nodeSelector": {"nodeSelector": {"kubernetes.io/arch": "amd64"}},
    "tolerations": {"tolerations": [{"key": "infra", "operator": "Exists"}]},
    "priorityClassName": {"priorityClassName": "system-cluster-critical"},
    "podAnnotations": {"podAnnotations": {"example.com/team": "vision"}},
    "metrics.enabled": {"metrics": {"enabled": False}},
    "metrics.tlsSecret": {"metrics": {"tlsSecret": "metrics-tls"}},
    "metrics.clientCertificates": {
        "metrics": {"tlsSecret": "metrics-tls", "clientCertificates": True}
    },
    "metrics.serverName": {
        "metrics": {"tlsSecret": "metrics-tls", "serverName": "metrics.example.com"},
        "serviceMonitor": {"enabled": True},
    },
    "metrics.clientSecret": {
        "metrics": {"tlsSecret": "metrics-tls", "clientSecret": "prometheus-tls"},
        "serviceMonitor": {"enabled": True},
    },
    "serviceMonitor.enabled": {"serviceMonitor": {"enabled": True}},
    "serviceMonitor.interval": {"serviceMonitor": {"enabled": True, "interval": "5s"}},
    "serviceMonitor.labels": {"serviceMonitor": {"enabled": True, "labels": {"release": "a"}}},
    "podMonitor.enabled": {"podMonitor": {"enabled": True}},
    "podMonitor.interval": {"podMonitor": {"enabled": True, "interval": "5s"}},
    "podMonitor.labels": {"podMonitor": {"enabled": True, "labels": {"release": "a"}}},
    "prometheusRule.enabled": {"prometheusRule": {"enabled": True}},
    "prometheusRule.labels": {"prometheusRule": {"enabled": True, "labels": {"release": "a"}}},
    "prometheusRule.documents": {
        "prometheusRule": {"enabled": True, "documents": "https://documents.example"}
    },
    "dashboards.enabled": {"dashboards": {"enabled": True}},
    "dashboards.labels": {"dashboards": {"enabled": True, "labels": {"folder": "ml"}}},
    "networkPolicy.enabled": {"networkPolicy": {"enabled": False}},
    "networkPolicy.apiServerPorts": {"networkPolicy": {"apiServerPorts": [443, 6443]}},
    "podDisruptionBudget.enabled": {"podDisruptionBudget": {"enabled": True}},
    "podDisruptionBudget.maxUnavailable": {
        "podDisruptionBudget": {"enabled": True, "maxUnavailable": 0}
    },
}


def iter_values(schema: dict[str, Any], prefix: str = "") -> Iterator[str]:
    """Yield the path of each value; a map of the user's own is one value."""
    for key, part in schema["properties"].items():
        if "properties" in part:
            yield from iter_values(part, f"{prefix}{key}.")
        elif prefix + key != "global":
            yield prefix + key


def iter_objects(schema: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    if not isinstance(schema, dict):
        return
    if schema.get("type") == "object":
        yield path, schema
    for key, part in schema.get("properties", {}).items():
        yield from iter_objects(part, f"{path}/{key}")
    for key in ("items", "additionalProperties"):
        yield from iter_objects(schema.get(key), f"{path}/{key}")


def read_rows() -> list[str]:
    page = (CHART / "README.md").read_text(encoding="utf-8")
    return re.findall(r"^\| `([\w.]+)` \|", page, re.MULTILINE)


def test_each_value_is_in_the_schema_in_the_readme_and_set() -> None:
    values = list(iter_values(SCHEMA))
    assert read_rows() == values
    assert set(CHANGED) == set(values)
    defaults: Any = YAML(typ="safe").load(TEXT)
    for path in values:
        part = defaults
        for key in path.split("."):
            part = part[key]


def test_each_value_has_a_comment_that_says_what_it_is() -> None:
    lines = TEXT.splitlines()
    documented = {path.split(".")[-1] for path in iter_values(SCHEMA)}
    seen = set()
    for number, line in enumerate(lines):
        key = line.strip().partition(":")[0]
        if key in documented and not line.strip().startswith("#"):
            assert lines[number - 1].strip().startswith("# "), line
            seen.add(key)
    assert seen == documented


def test_no_object_takes_keys_that_the_schema_does_not_know() -> None:
    """A map of the user's own has values of one type; `global` is what Helm gives parts of charts."""
    for path, schema in iter_objects(SCHEMA):
        if path == "/global":
            continue
        if "properties" in schema:
            assert schema["additionalProperties"] is False, path
        else:
            assert isinstance(schema["additionalProperties"], dict), path


@pytest.mark.parametrize("path", CHANGED)
def test_each_value_changes_what_is_rendered(path: str) -> None:
    values = CHANGED[path]
    keys = path.split(".")
    # The same values without the one that is looked at.
    others = {key: value for key, value in values.items() if key != keys[0]}
    if len(keys) > 1:
        part = {key: value for key, value in values[keys[0]].items() if key != keys[1]}
        others = {**others, keys[0]: part}
    assert render_text(values) != render_text(others)


@pytest.mark.parametrize(
    ("values", "named", "words"),
    [
        ({"image": {"tag": ""}}, "/image/tag", "does not match pattern"),
        ({"image": {"tag": None}}, "/image", "missing property 'tag'"),
        ({"image": {"tag": 1.0}}, "/image/tag", "got number, want string"),
        ({"image": "operator:1"}, "/image", "got string, want object"),
        ({"image": {"repository": "operator:1"}}, "/image/repository", "does not match pattern"),
        ({"image": {"repository": "a@sha256:0"}}, "/image/repository", "does not match pattern"),
        ({"image": {"digest": "sha256:12"}}, "/image/digest", "does not match pattern"),
        ({"image": {"tagg": "1"}}, "/image", "additional properties 'tagg' not allowed"),
        ({"trainerImage": {"tag": ""}}, "/trainerImage/tag", "does not match pattern"),
        ({"replicas": 2}, "", "additional properties 'replicas' not allowed"),
        ({"watchNamespaces": "vision"}, "/watchNamespaces", "got string, want array"),
        ({"watchNamespaces": ["Vision"]}, "/watchNamespaces/0", "does not match pattern"),
        ({"watchNamespaces": ["a", "a"]}, "/watchNamespaces", "are equal"),
        ({"logLevel": "loud"}, "/logLevel", "must be one of 'DEBUG'"),
        ({"storageUri": "s3://user:word@runs"}, "/storageUri", "does not match pattern"),
        ({"rayVersion": 2.6}, "/rayVersion", "got number, want string"),
        ({"rayVersion": "2.52.9"}, "/rayVersion", "does not match pattern"),
        ({"crds": {"install": "yes"}}, "/crds/install", "got string, want boolean"),
        ({"crds": {"retain": True}}, "/crds", "additional properties 'retain' not allowed"),
        ({"resources": {"limits": {"memory": "lots"}}}, "/resources/limits/memory", "pattern"),
        ({"resources": {"claims": []}}, "/resources", "additional properties 'claims'"),
        ({"nodeSelector": {"gpu": True}}, "/nodeSelector/gpu", "got boolean, want string"),
        ({"tolerations": [{"effect": "None"}]}, "/tolerations/0/effect", "must be one of"),
        ({"tolerations": [{"kye": "a"}]}, "/tolerations/0", "additional properties 'kye'"),
        ({"networkPolicy": {"apiServerPorts": [0]}}, "/networkPolicy/apiServerPorts/0", "minimum"),
        ({"serviceMonitor": {"interval": "often"}}, "/serviceMonitor/interval", "pattern"),
        ({"podMonitor": {"labels": {"a": 1}}}, "/podMonitor/labels/a", "got number, want string"),
        ({"prometheusRule": {"documents": "a/"}}, "/prometheusRule/documents", "pattern"),
        ({"dashboards": {"folder": "ml"}}, "/dashboards", "additional properties 'folder'"),
        (
            {"podDisruptionBudget": {"maxUnavailable": "10%"}},
            "/podDisruptionBudget/maxUnavailable",
            "got string, want integer",
        ),
    ],
    ids=lambda value: json.dumps(value) if isinstance(value, dict) else "",
)
def test_f78_a_wrong_value_is_refused_by_its_name(values: Values, named: str, words: str) -> None:
    with pytest.raises(HelmError) as refused:
        render_text(values)
    assert f"at '{named}': " in str(refused.value)
    assert words in str(refused.value)


def test_the_versions_of_chart_images_and_operator_agree() -> None:
    project = tomllib.loads((ROOT / "operator" / "pyproject.toml").read_text(encoding="utf-8"))
    chart: Any = YAML(typ="safe").load(CHART / "Chart.yaml")
    values: Any = YAML(typ="safe").load(TEXT)
    assert {
        chart["version"],
        chart["appVersion"],
        values["image"]["tag"],
        values["trainerImage"]["tag"],
    } == {project["project"]["version"]}


def test_a_page_without_the_marks_gets_no_table() -> None:
    assert insert_values_table(f"a\n{VALUES_BEGIN}old\n{VALUES_END}b\n").endswith(
        f"{VALUES_END}b\n"
    )
    with pytest.raises(ValueError, match="must have the marks"):
        insert_values_table("a page")
