"""Plain data as YAML or JSON on the terminal.

Called by the commands for `-o`; what is in the data is decided there.
"""

import io
import json
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, assert_never

from ruamel.yaml import YAML
from ruamel.yaml.nodes import ScalarNode
from ruamel.yaml.representer import SafeRepresenter

__all__ = ["ObjectFormat", "OutputFormat", "render_object", "render_structured", "render_yaml"]

_BOOLEANS_OF_YAML_1_1 = {"y", "yes", "n", "no", "on", "off"}


class OutputFormat(StrEnum):
    """How a command prints what it found."""

    TEXT = "text"
    JSON = "json"
    YAML = "yaml"


class ObjectFormat(StrEnum):
    """How a command prints an object of a cluster; the words are kubectl's."""

    TEXT = "text"
    JSON = "json"
    YAML = "yaml"
    NAME = "name"


def render_object(document: Mapping[str, Any], output: ObjectFormat) -> str:
    """Return an object as it is, or its name as kubectl takes it, with a line break at the end."""
    match output:
        case ObjectFormat.NAME:
            group = str(document.get("apiVersion", "")).partition("/")[0]
            kind = str(document.get("kind", "")).lower()
            return f"{kind}.{group}/{document.get('metadata', {}).get('name', '')}\n"
        case ObjectFormat.JSON:
            return render_structured(document, OutputFormat.JSON)
        case ObjectFormat.YAML | ObjectFormat.TEXT:
            return "---\n" + render_yaml(document)
        case _:
            assert_never(output)


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
    # Through JSON, so that no two places share an object: YAML would write aliases for them.
    yaml.dump(json.loads(json.dumps(data)), text)
    return text.getvalue()


class _TextRepresenter(SafeRepresenter):
    """Writes as YAML 1.2, with quotes where YAML 1.1 would read a boolean."""


def _represent_text(representer: SafeRepresenter, text: str) -> ScalarNode:
    style = "'" if text.lower() in _BOOLEANS_OF_YAML_1_1 else None
    node: ScalarNode = representer.represent_scalar("tag:yaml.org,2002:str", text, style=style)
    return node


_TextRepresenter.add_representer(str, _represent_text)
