"""What older programs prepare data with: `image`, `sequence`, `text`, and data sets of files."""

from cornu.preprocessing import image, sequence, text
from cornu.utils import (
    image_dataset_from_directory,
    text_dataset_from_directory,
    timeseries_dataset_from_array,
)

__all__ = [
    "image", "image_dataset_from_directory", "sequence", "text", "text_dataset_from_directory",
    "timeseries_dataset_from_array",
]
