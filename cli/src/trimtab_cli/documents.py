"""YAML text → plain data with line numbers, or what is wrong with the text.

Called by `manifests`. YAML 1.2, so `1e-4` is a number and `yes` is a string. Never builds objects,
never expands aliases, and answers every text with documents or problems, not with an exception.
"""

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, ReusedAnchorWarning, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

__all__ = ["Document", "Path", "Problem", "parse_documents"]

Path = tuple[str | int, ...]

_DEEPEST = 48
_TAG = "tag:yaml.org,2002:"
# YAML knows these, JSON does not: what people write unquoted as a date or `<<` is a string.
_TEXT = ("str", "timestamp", "merge", "value")


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that YAML allows and a manifest does not, or text that is not YAML."""

    line: int
    """Counted from 1."""
    path: Path
    value: str
    expectation: str


@dataclass(slots=True)
class Document:
    """One document of a text."""

    line: int
    """Where it starts, counted from 1."""
    data: Any = None
    """Mappings, lists and scalars; incomplete where there are problems."""
    lines: dict[Path, int] = field(default_factory=dict)
    """Where each key or list entry stands, counted from 1."""
    problems: list[Problem] = field(default_factory=list)

    def find_line(self, path: Path) -> int:
        """Return the line of a path, or of the nearest part above it that is there."""
        while path:
            if path in self.lines:
                return self.lines[path]
            path = path[:-1]
        return self.line


def parse_documents(text: str) -> list[Document]:
    """Return every document that a text holds, empty ones left out.

    Text that stops being YAML gives the documents before that place and one with the problem.
    """
    documents: list[Document] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ReusedAnchorWarning)
        try:
            documents.extend(_compose(text))
        except MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            line = mark.line + 1 if mark else 1
            reason = " ".join(str(part) for part in (error.context, error.problem) if part)
            documents.append(_broken(line, f"must be YAML: {reason}"))
        except YAMLError as error:
            documents.append(_broken(1, f"must be YAML: {' '.join(str(error).split())}"))
        except RecursionError:
            documents.append(_broken(1, f"must be nested at most {_DEEPEST} deep"))
        except (
            AssertionError,
            AttributeError,
            IndexError,
            NotImplementedError,
            ValueError,
        ) as error:
            # The parser stumbles so over some malformed directives and tags.
            documents.append(_broken(1, f"must be YAML: {type(error).__name__} {error}"))
    return documents


def _broken(line: int, expectation: str) -> Document:
    return Document(line, problems=[Problem(line, (), "", expectation)])


def _compose(text: str) -> Iterator[Document]:
    yaml = YAML(typ="safe", pure=True)
    for node in yaml.compose_all(text):
        document = _Builder(node, yaml.constructor).document
        if document.data is not None or document.problems:
            yield document


class _Builder:
    """Turns the nodes of one document into data, noting lines and problems on the way."""

    def __init__(self, root: Node, constructor: Any) -> None:
        self.document = Document(root.start_mark.line + 1)
        self._seen: set[int] = set()
        self._numbers: dict[str, Callable[[Node], object]] = {
            "int": constructor.construct_yaml_int,
            "float": constructor.construct_yaml_float,
            "bool": constructor.construct_yaml_bool,
        }
        self.document.data = self._build(root, ())

    def _build(self, node: Node, path: Path) -> object:
        if id(node) in self._seen:
            self._refuse(node, path, "must be written out: aliases are not read")
            return None
        self._seen.add(id(node))
        if len(path) > _DEEPEST:
            self._refuse(node, path, f"must be nested at most {_DEEPEST} deep")
            return None
        match node:
            case ScalarNode():
                return self._build_scalar(node, path)
            case SequenceNode() if node.tag == f"{_TAG}seq":
                return [self._build_item(item, (*path, i)) for i, item in enumerate(node.value)]
            case MappingNode() if node.tag == f"{_TAG}map":
                return self._build_mapping(node, path)
            case _:
                self._refuse(node, path, "must have no tag", str(node.tag))
                return None

    def _build_item(self, node: Node, path: Path) -> object:
        self.document.lines[path] = node.start_mark.line + 1
        return self._build(node, path)

    def _build_mapping(self, node: MappingNode, path: Path) -> dict[str, object]:
        result: dict[str, object] = {}
        for key_node, value_node in node.value:
            key = self._build(key_node, path)
            if not isinstance(key, str):
                self._refuse(key_node, path, "must have strings as keys", str(key))
                continue
            here = (*path, key)
            if key in result:
                first = self.document.lines[here]
                self._refuse(key_node, here, f"must be given once, line {first} has it already")
                continue
            self.document.lines[here] = key_node.start_mark.line + 1
            result[key] = self._build(value_node, here)
        return result

    def _build_scalar(self, node: ScalarNode, path: Path) -> object:
        kind = str(node.tag).removeprefix(_TAG)
        text = str(node.value)
        if kind in _TEXT:
            return text
        if kind == "null":
            return None
        if kind not in self._numbers:
            self._refuse(node, path, "must have no tag", str(node.tag))
            return None
        try:
            return self._numbers[kind](node)
        except (ValueError, KeyError):
            self._refuse(node, path, f"must be a readable {kind}", text[:40])
            return None

    def _refuse(self, node: Node, path: Path, expectation: str, value: str = "") -> None:
        line = node.start_mark.line + 1
        self.document.problems.append(Problem(line, path, value, expectation))
