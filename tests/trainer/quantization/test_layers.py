"""Layers of a file have the names of the modules that they came from, whatever became of their weights."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from trimtab_trainer.quantization.layers import (
    check_kept,
    find_layer_nodes,
    list_layers,
    name_weights,
    restore_weight_names,
)
from trimtab_trainer.quantization.onnx_runtime import prepare_graph


def make_shared_network() -> onnx.ModelProto:
    """Return one convolution that is called twice, each time normalized, and a linear layer."""
    generator = np.random.default_rng(0)

    def tensor(name: str, *shape: int) -> TensorProto:
        return numpy_helper.from_array(generator.random(shape, dtype=np.float32) + 0.5, name)

    norms = [[f"net.bn{index}.{part}" for part in "wbmv"] for index in (1, 2)]
    nodes = [
        helper.make_node("Conv", ["input", "net.conv.weight"], ["c1"], "conv1"),
        helper.make_node("BatchNormalization", ["c1", *norms[0]], ["n1"], "bn1"),
        helper.make_node("Conv", ["n1", "net.conv.weight"], ["c2"], "conv2"),
        helper.make_node("BatchNormalization", ["c2", *norms[1]], ["n2"], "bn2"),
        helper.make_node("GlobalAveragePool", ["n2"], ["pooled"], "pool"),
        helper.make_node("Flatten", ["pooled"], ["flat"], "flatten"),
        helper.make_node("MatMul", ["flat", "val_3"], ["product"], "numbered"),
        helper.make_node("Add", ["product", "net.head.bias"], ["output"], "bias"),
    ]
    tensors = [
        tensor("net.conv.weight", 3, 3, 1, 1),
        *(tensor(name, 3) for names in norms for name in names),
        tensor("val_3", 3, 4),
        tensor("net.head.bias", 4),
    ]
    graph = helper.make_graph(
        nodes,
        "shared",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["batch", 3, 4, 4])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, ["batch", 4])],
        tensors,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def test_layers_of_an_exported_file_are_modules(residual_file: Path) -> None:
    assert list_layers(residual_file) == ("stem.0", "block.0", "head")


def test_products_of_activations_are_no_layers(token_file: Path) -> None:
    products = [n for n in onnx.load(token_file).graph.node if n.op_type in {"MatMul", "Gemm"}]
    assert len(products) == 7
    assert len(list_layers(token_file)) == 6  # with the convolution, without both of attention


def test_a_layer_that_is_called_twice_is_one_layer_with_two_nodes(tmp_path: Path) -> None:
    model = make_shared_network()
    onnx.save(model, tmp_path / "model.onnx")
    assert list_layers(tmp_path / "model.onnx") == ("net.conv", "numbered")
    assert [entry.node.name for entry in find_layer_nodes(model.graph)][:2] == ["conv1", "conv2"]


def test_names_survive_what_the_runtime_folds_and_merges() -> None:
    model = make_shared_network()
    names = name_weights(model)
    prepared = prepare_graph(model)
    restore_weight_names(prepared, names)
    layers = find_layer_nodes(prepared.graph)
    operators = [node.op_type for node in prepared.graph.node]
    assert "BatchNormalization" not in operators
    assert "Gemm" in operators
    assert [entry.layer for entry in layers] == ["net.conv", "net.conv", "numbered"]
    assert len({entry.weight.name for entry in layers}) == 3


def test_an_unknown_layer_is_refused_with_those_that_there_are() -> None:
    layers = find_layer_nodes(make_shared_network().graph)
    check_kept(layers, ["net.conv"])
    with pytest.raises(ValueError, match=r"\['nothing'\] are not: \['net.conv', 'numbered'\]"):
        check_kept(layers, ["nothing", "net.conv"])
