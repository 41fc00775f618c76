"""Alerts: each fires when it should and not when all is well, says what to do, and has its page."""

import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from cluster.errors import MissingToolError
from cluster.prometheus import find_prometheus_program, run_promtool
from dashboards import RULES, list_alerts
from source_tree import ROOT
from trimtab_codegen.alerts import ALERTS
from trimtab_operator.reconcile.plan_settings import PlanSettings

CASES = sorted((Path(__file__).parent / "alerts").glob("*.yaml"))
SEVERITIES = {"critical", "warning", "info"}
RUNBOOKS = ROOT / "docs" / "runbooks"
SECTIONS = ["What it means", "How to look", "How to mend it"]


def read_cases(path: Path) -> list[dict[str, Any]]:
    """Return what promtool is to evaluate, all of one alert."""
    file: Any = YAML(typ="safe").load(path)
    return [rule for case in file["tests"] for rule in case["alert_rule_test"]]


def test_promtool_reads_all_rules() -> None:
    told = run_promtool("check", "rules", *RULES)
    assert sum(map(int, re.findall(r"SUCCESS: (\d+) rules found", told))) == len(ALERTS)


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_an_alert_fires_when_it_should_and_not_otherwise(path: Path) -> None:
    run_promtool("test", "rules", path)


def test_each_alert_has_a_case_in_which_it_fires_and_one_in_which_it_does_not() -> None:
    assert [path.stem for path in CASES] == sorted(alert.name for alert in ALERTS)
    for path in CASES:
        cases = read_cases(path)
        assert {case["alertname"] for case in cases} == {f"Trimtab{path.stem}"}
        assert {bool(case["exp_alerts"]) for case in cases} == {True, False}, path


def test_a_silent_driver_raises_its_alert_well_before_its_attempt_is_given_up() -> None:
    """The age of its report begins anew with the next attempt."""
    (alert,) = [one for one in ALERTS if one.name == "ReportStale"]
    (age,) = re.findall(r"> (\d+) ", alert.expression)
    (minutes,) = re.findall(r"^(\d+)m$", alert.lasting)
    (limit,) = [one.default for one in fields(PlanSettings) if one.name == "abandoned_after"]
    assert int(age) + 60 * int(minutes) <= limit / 2


@pytest.mark.parametrize("alert", list_alerts(), ids=lambda alert: alert["alert"])
def test_an_alert_says_how_bad_it_is_and_what_it_is_about(alert: dict[str, Any]) -> None:
    assert alert["labels"].keys() == {"severity"}
    assert alert["labels"]["severity"] in SEVERITIES
    annotations = alert["annotations"]
    assert annotations.keys() == {"summary", "description", "runbook"}
    # A summary is the same for all, so that alerts are grouped by it; values are in the description.
    assert "{{" not in annotations["summary"]
    is_absence = "absent(" in alert["expr"]
    assert ("{{ $" in annotations["description"]) is not is_absence


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)
def test_each_alert_has_a_page_that_says_what_to_do(alert: Any) -> None:
    (rule,) = [one for one in list_alerts() if one["alert"] == alert.full_name]
    page = ROOT / rule["annotations"]["runbook"]
    text = page.read_text(encoding="utf-8")
    assert text.startswith(f"# {alert.full_name}\n")
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == SECTIONS
    assert "```console\n$ " in text


def test_there_is_no_page_of_an_alert_that_there_is_not() -> None:
    assert {path.stem for path in RUNBOOKS.glob("*.md")} == {alert.name for alert in ALERTS}


def test_without_promtool_it_is_said_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("TRIMTAB_CACHE", str(tmp_path))
    with pytest.raises(MissingToolError, match=r"run tools/prometheus\.sh"):
        find_prometheus_program("promtool")
