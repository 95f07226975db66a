"""Operations on tensors: everything of `keras.ops`, for arrays, Variables and symbolic tensors."""

from cornu.ops import operators as _operators
from cornu.ops.control import *  # noqa: F403
from cornu.ops.core import *  # noqa: F403
from cornu.ops.nn import *  # noqa: F403
from cornu.ops.numpy import *  # noqa: F403
