"""Write or check what is generated from the contract: `python -m trimtab_codegen --write|--check`.

Run by `make generate` and by the architecture tests. `--check` writes nothing and exits 1 where a
file differs from what would be written.
"""

import argparse
import io
import json
import sys
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.scalarstring import SingleQuotedScalarString

from trimtab_api.reports import RunReport
from trimtab_codegen.alerts import build_rule_files
from trimtab_codegen.chart import (
    build_role_rules,
    build_values_schema,
    insert_values_table,
    render_values,
)
from trimtab_codegen.crd import PLURAL, build_crd
from trimtab_codegen.dashboards import render_dashboards
from trimtab_codegen.deploy import build_deploy
from trimtab_codegen.metrics_page import render_metrics_page
from trimtab_codegen.reference import render_reference

_ROOT = Path(__file__).parents[3]
_HEADER = "GENERATED from api/ by trimtab_codegen; do not edit"
_BOOLEANS_OF_YAML_1_1 = {"y", "yes", "n", "no", "on", "off"}
_CHART = "charts/trimtab"
_JSON_SCHEMA = "https://json-schema.org/draft/2020-12/schema"
# The newest that every Helm 3 knows.
_CHART_SCHEMA = "http://json-schema.org/draft-07/schema#"


def main(arguments: list[str] | None = None) -> int:
    """Write the files, or name those that are not current.

    Args:
        arguments: Of the command line; None takes those of the process.

    Returns:
        The exit status: 0, or 1 where `--check` found a difference.
    """
    parser = argparse.ArgumentParser(prog="trimtab_codegen", description=__doc__)
    mode = parser.add_mutually_exclusive_group(required=True)
    mode.add_argument("--write", action="store_true", help="write the files")
    mode.add_argument("--check", action="store_true", help="fail where a file is not current")
    should_write = parser.parse_args(arguments).write
    outdated = [name for name, text in _render_files().items() if _read(name) != text]
    if should_write:
        for name in outdated:
            path = _ROOT / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(_render_files()[name], encoding="utf-8")
        return 0
    for name in outdated:
        sys.stderr.write(f"{name} is not current; run python -m trimtab_codegen --write\n")
    return 1 if outdated else 0


def _render_files() -> dict[str, str]:
    definition = f"# {_HEADER}\n{_render_yaml(build_crd())}"
    return {
        f"crds/{PLURAL}.trimtab.dev.yaml": definition,
        f"{_CHART}/files/crds/{PLURAL}.trimtab.dev.yaml": definition,
        f"{_CHART}/files/rules.yaml": f"# {_HEADER}\n{_render_yaml(build_role_rules())}",
        f"{_CHART}/values.yaml": f"# {_HEADER}\n\n{render_values()}",
        f"{_CHART}/values.schema.json": _render_schema(build_values_schema(), _CHART_SCHEMA),
        f"{_CHART}/README.md": insert_values_table(_read(f"{_CHART}/README.md") or ""),
        "deploy/trimtab.yaml": f"# {_HEADER}\n{''.join(map(_render_yaml, build_deploy()))}",
        "docs/reference/optimizationjob.md": f"<!-- {_HEADER} -->\n\n{render_reference()}",
        "docs/reference/report.schema.json": _render_schema(
            _open_objects(RunReport.model_json_schema(by_alias=True))
        ),
        "docs/reference/metrics.md": f"<!-- {_HEADER} -->\n\n{render_metrics_page()}",
        **{
            f"{_CHART}/files/rules/{name}": f"# {_HEADER}\n{_render_yaml(rules)}"
            for name, rules in build_rule_files().items()
        },
        **{f"{_CHART}/files/dashboards/{name}": text for name, text in render_dashboards().items()},
    }


def _read(name: str) -> str | None:
    path = _ROOT / name
    return path.read_text(encoding="utf-8") if path.is_file() else None


def _render_yaml(document: dict[str, Any]) -> str:
    yaml = YAML()
    yaml.default_flow_style = False
    yaml.explicit_start = True
    yaml.width = 80
    yaml.allow_unicode = True
    yaml.representer.ignore_aliases = lambda *_: True
    buffer = io.StringIO()
    yaml.dump(_quote_booleans(document), buffer)
    # Where a text is folded, the blank before the line break means nothing.
    return "".join(f"{line.rstrip()}\n" for line in buffer.getvalue().splitlines())


def _quote_booleans(node: Any) -> Any:
    """Quote the words that YAML 1.1, which kubectl reads, takes for true and false."""
    if isinstance(node, dict):
        return {key: _quote_booleans(value) for key, value in node.items()}
    if isinstance(node, list):
        return [_quote_booleans(item) for item in node]
    is_boolean = isinstance(node, str) and node.lower() in _BOOLEANS_OF_YAML_1_1
    return SingleQuotedScalarString(node) if is_boolean else node


def _render_schema(schema: dict[str, Any], dialect: str = _JSON_SCHEMA) -> str:
    headed = {"$schema": dialect, "$comment": _HEADER, **schema}
    return json.dumps(headed, indent=2, ensure_ascii=False) + "\n"


def _open_objects(node: Any) -> Any:
    """Let readers accept fields that a later version adds."""
    if isinstance(node, dict):
        return {
            key: _open_objects(value)
            for key, value in node.items()
            if (key, value) != ("additionalProperties", False)
        }
    return [_open_objects(item) for item in node] if isinstance(node, list) else node


if __name__ == "__main__":
    sys.exit(main())
