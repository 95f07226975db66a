"""The operations that NumPy has too, gathered from the files that define them."""

from cornu.ops.numpy_elementwise import *  # noqa: F403
from cornu.ops.numpy_making import *  # noqa: F403
from cornu.ops.numpy_products import *  # noqa: F403
from cornu.ops.numpy_reduce import *  # noqa: F403
from cornu.ops.numpy_shape import *  # noqa: F403
