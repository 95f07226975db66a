"""Helpers round about: files, seeds, labels, registered classes."""

from cornu.callbacks import Progbar
from cornu.config import disable_interactive_logging, enable_interactive_logging, is_interactive_logging_enabled
from cornu.data import PyDataset, pack_x_y_sample_weight, unpack_x_y_sample_weight
from cornu.dtypes import standardize as standardize_dtype
from cornu.layers.preprocessing import FeatureSpace
from cornu.registry import (
    CustomObjectScope, custom_object_scope, get_custom_objects, get_registered_name, get_registered_object,
    register_keras_serializable)
from cornu.saving import deserialize_keras_object, serialize_keras_object
from cornu.symbolic import is_keras_tensor
from cornu.utils.arrays import normalize, pad_sequences, set_random_seed, to_categorical
from cornu.utils.downloads import get_file
from cornu.utils.images import array_to_img, img_to_array, load_img, save_img
from cornu.utils.plotting import get_source_inputs, model_to_dot, plot_model
from cornu.utils.session import Config, clear_session
from cornu.utils.splitting import split_dataset, timeseries_dataset_from_array

# isort: split
from cornu.utils import bounding_boxes, legacy
from cornu.utils.directories import (
    audio_dataset_from_directory, image_dataset_from_directory, text_dataset_from_directory)

Sequence = PyDataset  # the name that it had before Keras 3
