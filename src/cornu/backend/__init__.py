"""`keras.backend`, as programs of all ages know it: settings, and K.sum to K.rnn.

What takes tensors also takes symbolic ones. New programs use `cornu.ops`.
"""

from cornu.backend import arrays, draws, elementwise, networks
from cornu.backend.arrays import *  # noqa: F403
from cornu.backend.draws import *  # noqa: F403
from cornu.backend.elementwise import *  # noqa: F403
from cornu.backend.networks import *  # noqa: F403
from cornu.config import (
    backend,
    epsilon,
    floatx,
    image_data_format,
    set_epsilon,
    set_floatx,
    set_image_data_format,
)
from cornu.dtypes import result_type
from cornu.dtypes import standardize as standardize_dtype
from cornu.symbolic import is_keras_tensor
from cornu.utils.session import clear_session

__all__ = [
    "backend", "clear_session", "epsilon", "floatx", "image_data_format", "is_keras_tensor",
    "result_type", "set_epsilon", "set_floatx", "set_image_data_format", "standardize_dtype",
    *arrays.__all__, *draws.__all__, *elementwise.__all__, *networks.__all__,
]
