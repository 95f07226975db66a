"""The arguments of layers: what a `call` takes, and what constructors are told that no layer knows."""

import functools
import inspect

from cornu import check


@functools.lru_cache(maxsize=None)
def of_call(call):
    """Of a `call` function: parameter names, training's default, and which of them are masks."""
    params = list(inspect.signature(call).parameters.values())[1:]
    named = tuple(p.name for p in params if p.kind in (p.POSITIONAL_OR_KEYWORD, p.POSITIONAL_ONLY, p.KEYWORD_ONLY))
    default = next((p.default for p in params if p.name == "training"), None)
    masks = tuple(n for n in named if n == "mask" or n.endswith("_mask") and n[:-5] in named)
    return named, "training" in named, None if default is inspect.Parameter.empty else default, masks


# Names of older Kerases, and what they are called today.
RENAMED = {
    "W_constraint": "kernel_constraint", "W_regularizer": "kernel_regularizer",
    "atrous_rate": "dilation_rate", "b_constraint": "bias_constraint",
    "b_regularizer": "bias_regularizer", "beta_init": "beta_initializer", "bias": "use_bias",
    "border_mode": "padding", "consume_less": "implementation", "dim_ordering": "data_format",
    "dropout_U": "recurrent_dropout", "dropout_W": "dropout", "filter_length": "kernel_size",
    "forget_bias_init": "unit_forget_bias", "gamma_init": "gamma_initializer",
    "init": "kernel_initializer", "inner_activation": "recurrent_activation",
    "inner_init": "recurrent_initializer", "input": "inputs", "kernel_dim1": "kernel_size",
    "nb_col": "kernel_size", "nb_epoch": "epochs",
    "nb_feature": "units", "nb_filter": "filters", "nb_row": "kernel_size", "output": "outputs",
    "output_dim": "units", "p": "rate", "period": "save_freq", "pool_length": "pool_size", "sigma": "stddev",
    "subsample": "strides", "subsample_length": "strides", "U_regularizer": "recurrent_regularizer",
    "stride": "strides",
}


def unknown(cls, names) -> ValueError:
    """The error for arguments that no constructor of the class takes, with what to write instead.

    That is the name of today of an older one, or the nearest one that the class takes.
    """
    known = [p for c in cls.__mro__ if "__init__" in c.__dict__ for p in inspect.signature(c.__init__).parameters]
    if any(c.__name__ == "Model" for c in cls.__mro__):
        known += ["inputs", "outputs"]
    renamed = [n for n in names if RENAMED.get(n) in known]
    if renamed:
        pairs = ", ".join(f"{n}= is {RENAMED[n]}= today" for n in renamed)
        return ValueError(f"{cls.__name__}: unknown argument{'s' * (len(names) > 1)} "
                          f"{', '.join(map(repr, names))}: {pairs}.")
    close = check.nearest(next(iter(names)), [k for k in known if k not in ("self", "args", "kwargs")], 1)
    return ValueError(f"{cls.__name__}: unknown argument{'s' * (len(names) > 1)} {', '.join(map(repr, names))}."
                      + (f" Did you mean {close[0]!r}?" if close else ""))


def legacy_input_shape(kwargs):
    """The shape that old code gives a first layer: input_shape, batch_input_shape, batch_shape or input_dim."""
    batch = kwargs.pop("batch_size", None)
    shape = kwargs.pop("input_shape", None)
    dim = kwargs.pop("input_dim", None)
    whole = kwargs.pop("batch_input_shape", None)
    if dim is not None and shape is None:
        shape = (dim,)
    if whole is None and shape is not None:
        whole = (batch, *(shape if isinstance(shape, (list, tuple)) else (shape,)))
    return None if whole is None else tuple(whole)


def refuse_later(owner: str, kwargs: dict) -> None:
    """Drop the arguments of LoRA and quantization, which are None in Keras's configs; an error for other values."""
    for name in ("lora_rank", "lora_alpha", "quantization_config", "gptq_unpacked_column_size"):
        if (value := kwargs.pop(name, None)) is not None:
            raise ValueError(f"{owner}: {name}={value!r:.80}: layers with LoRA or quantized weights are not part of "
                             f"cornu. Leave {name} at None.")
