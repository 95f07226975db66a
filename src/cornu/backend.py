"""The few functions that scripts look for under `keras.backend`."""

from cornu.config import (backend, epsilon, floatx, image_data_format, set_epsilon, set_floatx, set_image_data_format)
from cornu.dtypes import result_type, standardize as standardize_dtype
from cornu.symbolic import is_keras_tensor
from cornu.utils.session import clear_session

__all__ = ["backend", "clear_session", "epsilon", "floatx", "image_data_format", "is_keras_tensor", "result_type", "set_epsilon",
           "set_floatx", "set_image_data_format", "standardize_dtype"]
