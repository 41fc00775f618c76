"""Plain data as YAML or JSON on the terminal.

Called by the commands for `-o`; what is in the data is decided there.
"""

import io
import json
from enum import StrEnum
from typing import Any, assert_never

from ruamel.yaml import YAML
from ruamel.yaml.nodes import ScalarNode
from ruamel.yaml.representer import SafeRepresenter

__all__ = ["OutputFormat", "render_structured", "render_yaml"]

_BOOLEANS_OF_YAML_1_1 = {"y", "yes", "n", "no", "on", "off"}


class OutputFormat(StrEnum):
    """How a command prints what it found."""

    TEXT = "text"
    JSON = "json"
    YAML = "yaml"


def render_structured(data: Any, output: OutputFormat) -> str:
    """Return data as text that programs read, with a line break at the end.

    Args:
        data: Mappings, lists and scalars.
        output: YAML or JSON; text is YAML, which people read best.
    """
    match output:
        case OutputFormat.JSON:
            return json.dumps(data, indent=2, ensure_ascii=False) + "\n"
        case OutputFormat.YAML | OutputFormat.TEXT:
            return render_yaml(data)
        case _:
            assert_never(output)


def render_yaml(data: Any) -> str:
    """Return data as YAML in the order that it has, which kubectl reads alike."""
    yaml: Any = YAML(typ="safe", pure=True)  # its attributes are typed as None
    yaml.Representer = _TextRepresenter
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False
    yaml.allow_unicode = True
    yaml.width = 100
    text = io.StringIO()
    yaml.dump(data, text)
    return text.getvalue()


class _TextRepresenter(SafeRepresenter):
    """Writes as YAML 1.2, with quotes where YAML 1.1 would read a boolean."""


def _represent_text(representer: SafeRepresenter, text: str) -> ScalarNode:
    style = "'" if text.lower() in _BOOLEANS_OF_YAML_1_1 else None
    node: ScalarNode = representer.represent_scalar("tag:yaml.org,2002:str", text, style=style)
    return node


_TextRepresenter.add_representer(str, _represent_text)
