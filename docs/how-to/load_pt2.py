"""Classify an image with an exported program: PyTorch, NumPy and nothing of Trimtab."""

import sys

import numpy as np
import torch

classify = torch.export.load(sys.argv[1]).module()
image = np.load(sys.argv[2])  # decoded, float32 in 0…1, shape (channels, height, width)
with torch.inference_mode():
    scores = classify(torch.from_numpy(image[np.newaxis]))
print("class", scores[0].argmax().item())
