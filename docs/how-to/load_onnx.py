"""Classify an image with an exported model: ONNX Runtime, NumPy and nothing of Trimtab."""

import sys

import numpy as np
import onnxruntime

session = onnxruntime.InferenceSession(sys.argv[1])
image = np.load(sys.argv[2])  # decoded, float32 in 0…1, shape (channels, height, width)
(scores,) = session.run(None, {"input": image[np.newaxis]})
print("class", scores[0].argmax())
