"""How an operation is told to XLA on each platform: pure functions of arrays, each choice with its measured reason."""

from cornu.lowering.platform import (compiler_options, current_platform, island, lowering_for, materialized, prepare_cpu,
                                     sum_leading)
