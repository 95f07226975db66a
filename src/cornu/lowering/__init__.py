"""How an operation is told to XLA on each platform: pure functions of arrays, each choice with its measured reason."""

from cornu.lowering.attention import keys_first_attention, with_order
from cornu.lowering.classes import is_largest, max_classes, softmax, sum_classes
from cornu.lowering.convolution import conv, conv_transpose, depthwise_conv, separable_conv
from cornu.lowering.dispatch import steps_at_once
from cornu.lowering.platform import (
    calls_back, compiler_options, current_platform, island, lowering_for, materialized, on_cpu, options_for,
    recomputed
)
from cornu.lowering.memory import free_memory, prepare_cpu, total_memory
from cornu.lowering.normalization import group_norm, row_norm, special
from cornu.lowering.pooling import average_pool, max_pool
from cornu.lowering.product import einsum_product, product
from cornu.lowering.reduction import affine, bias_add, moments, sum_leading
from cornu.lowering.threefry import bernoulli, by_place, uniform, uniform_on_host
from cornu.lowering.together import in_turn, one_kernel
