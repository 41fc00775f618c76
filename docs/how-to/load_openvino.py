"""Classify an image with an exported IR: OpenVINO, NumPy and nothing of Trimtab."""

import sys

import numpy as np
import openvino

core = openvino.Core()
model = core.read_model(sys.argv[1])  # the .xml; its .bin lies beside it
precision = model.get_rt_info(["trimtab", "inference_precision"]).value  # f32 or bf16
classify = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": precision})
image = np.load(sys.argv[2])  # decoded, float32 in 0…1, shape (channels, height, width)
scores = classify([image[np.newaxis]])[0]
print("class", scores[0].argmax())
