"""Operations on tensors: everything of `keras.ops`, for arrays, Variables and symbolic tensors."""

from cornu.ops import graph_names, image, linalg, math, nn, numpy, operators
from cornu.ops.control import *  # noqa: F403
from cornu.ops.core import *  # noqa: F403
from cornu.ops.linalg import *  # noqa: F403
from cornu.ops.math import *  # noqa: F403
from cornu.ops.nn import *  # noqa: F403
from cornu.ops.numpy import *  # noqa: F403
from cornu.ops.rearrange import *  # noqa: F403
