"""The rows of the layer table for convolutions, pools, recurrences and attention; see layer_table.py for the format."""

from layer_table import TRAINING, row

FIRST = dict(data_format="channels_first")
SIZES = (7, 6, 5)


def shaped(rank, channels=4, data_format=None):
    """An input's shape for a data format."""
    return (2, channels, *SIZES[:rank]) if data_format else (2, *SIZES[:rank], channels)


def over_time(shape):
    return (shape[0], 3, *shape[1:])


def convolutions(name, rank, *variants, **common):
    """A row for each variant, in both data formats."""
    return [row(f"{name}{rank}D" if "Transpose" not in name else f"Conv{rank}DTranspose", {**common, **kw, **form},
                shaped(rank, **form)) for kw in variants for form in ({}, FIRST)]


CONVOLUTION = [
    *(r for rank in (1, 2, 3) for r in convolutions(
        "Conv", rank, {}, dict(padding="same", strides=2), dict(groups=2, use_bias=False, activation="relu"),
        dict(dilation_rate=2, kernel_regularizer="l2", bias_constraint="non_neg"), filters=4, kernel_size=2)),
    row("Conv1D", dict(filters=3, kernel_size=3, padding="causal", dilation_rate=2), (2, 7, 4)),
    row("Conv1D", dict(filters=3, kernel_size=3, padding="causal", strides=2, **FIRST), (2, 4, 7)),
    row("Conv2D", dict(filters=2, kernel_size=(3, 2), strides=(1, 2), padding="same"), (2, 7, 6, 3)),
    row("Conv2D", dict(filters=2, kernel_size=1, activity_regularizer="l2"), (2, 3, 3, 1)),
    row("Conv2D", dict(filters=8, kernel_size=5, padding="same", groups=4), (1, 6, 6, 8)),
    *(r for rank in (1, 2, 3) for r in convolutions(
        "ConvTranspose", rank, {}, dict(padding="same", strides=2), dict(strides=3, use_bias=False),
        dict(padding="same", strides=2, output_padding=1), dict(padding="valid", strides=2, output_padding=1),
        dict(dilation_rate=2, padding="same"), filters=3, kernel_size=3)),
    row("Conv2DTranspose", dict(filters=3, kernel_size=(2, 4), strides=(3, 1), padding="same"), (2, 4, 5, 2)),
    row("Conv2DTranspose", dict(filters=3, kernel_size=(4, 3), strides=(2, 3), output_padding=(1, 0)), (2, 4, 5, 2)),
    *(r for rank in (1, 2) for r in convolutions(
        "DepthwiseConv", rank, {}, dict(padding="same", strides=2, depth_multiplier=2), dict(dilation_rate=2, use_bias=False),
        kernel_size=3)),
    *(r for rank in (1, 2) for r in convolutions(
        "SeparableConv", rank, {}, dict(padding="same", strides=2, depth_multiplier=2),
        dict(dilation_rate=2, use_bias=False, activation="tanh", pointwise_regularizer="l1"), filters=3, kernel_size=3)),
]

POOLING = [
    *(row(f"{kind}Pooling{rank}D", {"pool_size": 2, **kw, **form}, shaped(rank, **form))
      for kind in ("Max", "Average") for rank in (1, 2, 3) for form in ({}, FIRST)
      for kw in ({}, dict(padding="same"), dict(pool_size=3, strides=2), dict(pool_size=3, strides=1, padding="same"))),
    row("MaxPooling2D", dict(pool_size=(2, 3), strides=(2, 1)), (2, 7, 6, 3)),
    row("AveragePooling2D", dict(pool_size=(3, 2), strides=(1, 2), padding="same"), (2, 7, 6, 3)),
    *(row(f"Global{kind}Pooling{rank}D", {**kw, **form}, shaped(rank, **form))
      for kind in ("Max", "Average") for rank in (1, 2, 3) for form in ({}, FIRST) for kw in ({}, dict(keepdims=True))),
    row("GlobalAveragePooling1D", {}, (2, 7, 4), mask=True),
    row("GlobalAveragePooling1D", dict(keepdims=True), (2, 7, 4), mask=True),
    *(row(f"Adaptive{kind}Pooling{rank}D", dict(output_size=size, **form), shaped(rank, **form))
      for kind in ("Max", "Average") for rank in (1, 2, 3) for form in ({}, FIRST) for size in (2, 4)),
    row("AdaptiveAveragePooling2D", dict(output_size=(3, 8)), (2, 7, 6, 3)),
    row("AdaptiveMaxPooling2D", dict(output_size=(1, 6)), (2, 7, 6, 3)),
]

CELLS = ("SimpleRNN", "LSTM", "GRU")
LONG = 1e-4  # through recurrences
STEPS = (2, 6, 4)


def cell(name, *args, **kwargs):
    return lambda keras: getattr(keras.layers, name)(*args, **kwargs)


RECURRENT = [
    *(row(name, dict(units=3, **kw), STEPS, mask=mask, tolerance=LONG) for name in CELLS for mask in (False, True)
      for kw in ({}, dict(return_sequences=True), dict(return_state=True, go_backwards=True, return_sequences=True),
                 dict(unroll=True, return_state=True))),
    *(row(name, dict(units=3, return_sequences=True, zero_output_for_mask=True), STEPS, mask=True, tolerance=LONG)
      for name in CELLS),
    *(row(name, dict(units=3, use_bias=False, activation="relu", kernel_regularizer="l2"), STEPS, tolerance=LONG)
      for name in CELLS),
    *(row(name, dict(units=3, seed=1, **kw), STEPS, call=TRAINING, tolerance=LONG) for name in CELLS
      for kw in (dict(dropout=0.3), dict(recurrent_dropout=0.3), dict(dropout=0.3, recurrent_dropout=0.2))),
    row("LSTM", dict(units=3, unit_forget_bias=False, recurrent_activation="hard_sigmoid"), STEPS, tolerance=LONG),
    row("LSTM", dict(units=3, use_cudnn=False), STEPS, mask=True, tolerance=LONG),
    row("GRU", dict(units=3, reset_after=False), STEPS, tolerance=LONG),
    row("GRU", dict(units=3, reset_after=False, return_sequences=True), STEPS, mask=True, tolerance=LONG),
    row("GRU", dict(units=3, reset_after=False, recurrent_dropout=0.3, seed=1), STEPS, call=TRAINING, tolerance=LONG),
    row("GRU", dict(units=3, use_cudnn=False), STEPS, mask=True, tolerance=LONG),
    *(row("RNN", dict(cell=cell(name + "Cell", 3), return_sequences=True, name=f"over_{name}"), STEPS, mask=mask, tolerance=LONG)
      for name in CELLS for mask in (False, True)),
    row("RNN", dict(cell=lambda keras: [keras.layers.LSTMCell(4), keras.layers.GRUCell(3)], return_state=True), STEPS,
        tolerance=LONG),
    row("RNN", dict(cell=lambda keras: keras.layers.StackedRNNCells([keras.layers.SimpleRNNCell(3), keras.layers.GRUCell(3)]),
                    return_sequences=True), STEPS, mask=True, tolerance=LONG),
    *(row("Bidirectional", dict(layer=cell(name, 3), merge_mode=merge, name=f"over_{name}"), STEPS, mask=True, tolerance=LONG)
      for name, merge in (("SimpleRNN", "concat"), ("LSTM", "sum"), ("GRU", "mul"), ("LSTM", "ave"), ("GRU", None))),
    *(row("Bidirectional", dict(layer=cell(name, 3, return_sequences=True, return_state=state), name=f"{name}_{state}"), STEPS, mask=mask,
          tolerance=LONG) for name in ("LSTM", "GRU") for state in (False, True) for mask in (False, True)),
    row("Bidirectional", dict(layer=cell("LSTM", 3), backward_layer=cell("GRU", 2, go_backwards=True)), STEPS,
        tolerance=LONG),
    row("TimeDistributed", dict(layer=cell("Dense", 3)), STEPS),
    row("TimeDistributed", dict(layer=cell("Dense", 3, activation="relu")), STEPS, mask=True),
    row("TimeDistributed", dict(layer=cell("Conv2D", 3, 2)), (2, 3, 5, 5, 2)),
    row("TimeDistributed", dict(layer=cell("LSTM", 3)), (2, 3, 5, 2), tolerance=LONG),
    *(row(f"ConvLSTM{rank}D", dict(filters=2, kernel_size=2, **kw, **form), over_time(shaped(rank, 3, **form)),
          tolerance=LONG) for rank in (1, 2, 3) for form in ({}, FIRST) for kw in (
              {}, dict(padding="same", strides=2, return_sequences=True, go_backwards=True))),
    row("ConvLSTM2D", dict(filters=2, kernel_size=2, dilation_rate=2, use_bias=False, return_state=True), (2, 3, 6, 5, 2),
        tolerance=LONG),
    row("ConvLSTM1D", dict(filters=2, kernel_size=2, dropout=0.3, recurrent_dropout=0.2, seed=1), (2, 3, 6, 2), call=TRAINING,
        tolerance=LONG),
]

QUERY, VALUE, KEY = (2, 5, 4), (2, 6, 3), (2, 6, 4)
ATTENTION = [
    *(row("Attention", kw, [QUERY, VALUE, KEY], call=call, mask=mask) for mask in (False, True)
      for kw in ({}, dict(use_scale=True), dict(score_mode="concat", use_scale=True))
      for call in ({}, dict(use_causal_mask=True, return_attention_scores=True))),
    row("Attention", dict(dropout=0.4, seed=1), [QUERY, KEY], call=TRAINING),
    *(row("AdditiveAttention", kw, [QUERY, VALUE, KEY], call=call, mask=mask) for mask in (False, True)
      for kw in ({}, dict(use_scale=False)) for call in ({}, dict(use_causal_mask=True))),
]

ROWS_B = [*CONVOLUTION, *POOLING, *RECURRENT, *ATTENTION]


def is_long(row) -> bool:
    """Rows that only repeat, over more axes or in another form, what a quicker row shows."""
    told = row.kwargs
    return ("3D" in row.name or row.name.startswith("ConvLSTM2") or "data_format" in told and "1D" in row.name
            or row.name == "SimpleRNN" and row.mask or bool(told.get("unroll")) or told.get("use_cudnn") is False
            or row.name == "Bidirectional" and told.get("merge_mode") in ("mul", "ave") or told.get("pool_size") == 3)
