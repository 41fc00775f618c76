"""One thread per test process: small tensors gain nothing from more, and tests share the cores."""

import torch

torch.set_num_threads(1)
