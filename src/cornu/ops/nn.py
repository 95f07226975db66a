"""The operations of neural networks, gathered from the files that define them."""

from cornu.ops.nn_activations import *  # noqa: F403
from cornu.ops.nn_convolution import *  # noqa: F403
from cornu.ops.nn_losses import *  # noqa: F403
from cornu.ops.nn_sequence import *  # noqa: F403
