"""What comes before the network, inside the graph: channels, size and normalization.

Built by the catalog around every network for images, and used for training, evaluation and
export alike, so that an exported file takes decoded images and nothing can be prepared wrongly.
Shapes: N samples, C channels, H height, W width.
"""

import torch
from torch import nn
from torch.nn import functional
from typing_extensions import override

from trimtab_trainer.data._base import ImageFormat
from trimtab_trainer.errors import UserError

__all__ = ["ImageModel"]


class ImageModel(nn.Module):
    """Takes float32 images in 0…1 of shape (N, C, H, W) and gives the network's output.

    `network` is the network itself; mean and deviation are buffers, so a checkpoint holds them.
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(
        self, network: nn.Module, *, image: ImageFormat, channels: int, size: int | None
    ) -> None:
        """Wrap a network.

        Args:
            network: Takes normalized images of `channels` channels, at `size`.
            image: The decoded images and their normalization.
            channels: What the network takes; gray images are repeated to it.
            size: Height and width that the network works at; None keeps the images' own.

        Raises:
            UserError: The images have neither one nor `channels` channels, or the normalization
                fits neither.
        """
        super().__init__()
        if image.channels not in (1, channels):
            raise UserError(
                f"the network takes {channels} channels but the images have {image.channels}"
            )
        if len(image.mean) not in (1, channels) or len(image.mean) != len(image.std):
            raise UserError(
                f"dataset.normalize must have {channels} entries for mean and std but has"
                f" {len(image.mean)} and {len(image.std)}"
            )
        self.network = network
        self._channels = channels if image.channels != channels else None
        self._size = (size, size) if size and (size, size) != (image.height, image.width) else None
        self.register_buffer("mean", torch.tensor(image.mean).view(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(image.std).view(1, -1, 1, 1))

    @override
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        if self._size is not None:
            images = functional.interpolate(images, size=self._size, mode="bilinear")
        if self._channels is not None:
            images = images.expand(-1, self._channels, -1, -1)
        outputs: torch.Tensor = self.network((images - self.mean) / self.std)
        return outputs
