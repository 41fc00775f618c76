"""What loads a file and may run code that the file holds is called nowhere but where it is known."""

import ast
from collections.abc import Iterator

import pytest

from source_tree import ROOT, list_modules

KNOWN = {
    (
        "trainer-image/src/trimtab_trainer/benchmarking/runners/torch_program.py",
        "torch.export.load",
    ),
    ("trainer-image/src/trimtab_trainer/exporting/torch_program.py", "torch.export.load"),
}
"""Programs of torch.export run code when they are loaded; see SECURITY.md for who may write them."""
MODULES = {"pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve", "yaml"}
CALLS = {
    "eval",
    "exec",
    "numpy.load",
    "np.load",
    "pandas.read_pickle",
    "pd.read_pickle",
    "sympy.sympify",
    "torch.export.load",
    "torch.hub.load",
    "torch.hub.load_state_dict_from_url",
    "torch.jit.load",
    "torch.load",
    "torch.package.PackageImporter",
    "torch.distributed.checkpoint.load",
}
GENERIC = {"all_gather_object", "broadcast_object_list", "gather_object", "scatter_object_list"}
"""Of torch.distributed: they pickle what they send."""


def find_readers(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in MODULES)
        elif isinstance(node, ast.ImportFrom):
            if node.module in MODULES:
                yield node.module
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            yield from names & CALLS
        elif isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            if name in CALLS or name.rpartition(".")[2] in GENERIC:
                yield name


def test_f60_only_known_places_load_what_may_run_code() -> None:
    found = {
        (str(path.relative_to(ROOT)), name)
        for path in list_modules()
        for name in find_readers(ast.parse(path.read_text(encoding="utf-8")))
    }
    assert found == KNOWN


@pytest.mark.parametrize(
    "code",
    [
        "import pickle",
        "from joblib import load",
        "from torch import load",
        "import torch\ntorch.load('x', weights_only=False)",
        "import numpy as np\nnp.load('x', allow_pickle=True)",
        "import torch.distributed as d\nd.broadcast_object_list([1])",
        "eval('1')",
    ],
)
def test_what_may_run_code_is_found(code: str) -> None:
    assert list(find_readers(ast.parse(code)))
