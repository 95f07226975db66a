"""How an operation is told to XLA on each platform: pure functions of arrays, each choice with its measured reason."""

from cornu.lowering.platform import compiler_options, island, lowering_for, materialized, platform, prepare_cpu, sum_leading
