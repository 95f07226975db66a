"""Layers: a file per family."""

from cornu import frames, registry
from cornu.layers.activation import Activation, ReLU, LeakyReLU, PReLU, ELU, Softmax, ThresholdedReLU
from cornu.layers.attention import (
    Attention, AdditiveAttention, MultiHeadAttention, GroupedQueryAttention, GroupQueryAttention
)
from cornu.layers.convolution import (
    Conv1D, Conv2D, Conv3D, Conv1DTranspose, Conv2DTranspose, Conv3DTranspose, DepthwiseConv1D, DepthwiseConv2D,
    SeparableConv1D, SeparableConv2D, Convolution1D, Convolution2D, Convolution3D, Convolution1DTranspose,
    Convolution2DTranspose, Convolution3DTranspose, SeparableConvolution1D, SeparableConvolution2D
)
from cornu.layers.core import InputLayer, Input, Identity, Masking, Wrapper, Lambda
from cornu.layers.dense import Dense, EinsumDense, Embedding, ReversibleEmbedding
from cornu.layers.jax_layer import FlaxLayer, JaxLayer
from cornu.layers.layer import Layer
from cornu.layers.merging import (
    Add, Subtract, Multiply, Average, Maximum, Minimum, Concatenate, Dot, add, subtract, multiply, average, maximum,
    minimum, concatenate, dot
)
from cornu.layers.normalization import (
    BatchNormalization, LayerNormalization, GroupNormalization, RMSNormalization, UnitNormalization,
    SpectralNormalization
)
from cornu.layers.pooling import (
    MaxPooling1D, MaxPooling2D, MaxPooling3D, AveragePooling1D, AveragePooling2D, AveragePooling3D,
    GlobalMaxPooling1D, GlobalMaxPooling2D, GlobalMaxPooling3D, GlobalAveragePooling1D, GlobalAveragePooling2D,
    GlobalAveragePooling3D, AdaptiveMaxPooling1D, AdaptiveMaxPooling2D, AdaptiveMaxPooling3D,
    AdaptiveAveragePooling1D, AdaptiveAveragePooling2D, AdaptiveAveragePooling3D, MaxPool1D, MaxPool2D, MaxPool3D,
    AvgPool1D, AvgPool2D, AvgPool3D, GlobalMaxPool1D, GlobalMaxPool2D, GlobalMaxPool3D, GlobalAvgPool1D,
    GlobalAvgPool2D, GlobalAvgPool3D
)
from cornu.layers.preprocessing import *  # noqa: F403
from cornu.layers.regularization import (
    Dropout, SpatialDropout1D, SpatialDropout2D, SpatialDropout3D, GaussianNoise, GaussianDropout, AlphaDropout,
    ActivityRegularization
)
from cornu.layers.reshaping import (
    Flatten, Reshape, Permute, RepeatVector, Cropping1D, Cropping2D, Cropping3D, ZeroPadding1D, ZeroPadding2D,
    ZeroPadding3D, UpSampling1D, UpSampling2D, UpSampling3D
)
from cornu.layers.rnn import (
    Bidirectional, ConvLSTM1D, ConvLSTM2D, ConvLSTM3D, GRU, GRUCell, LSTM, LSTMCell, RNN, SimpleRNN, SimpleRNNCell,
    StackedRNNCells, TimeDistributed
)
from cornu.input_spec import InputSpec


@frames.filtered
def serialize(layer) -> dict:
    """A layer's config as JSON can hold it; `deserialize` reads it back."""
    return registry.serialize(layer)


@frames.filtered
def deserialize(config: dict, custom_objects: dict | None = None) -> Layer:
    """The layer of a config, of cornu or Keras; `custom_objects` names the caller's own classes and functions.

    Raises ValueError where the config is not a layer's.
    """
    layer = registry.deserialize(config, custom_objects, "layers", "layer")
    if not isinstance(layer, Layer):
        raise ValueError(f"layers.deserialize takes a layer's config. Received: {config!r:.120}")
    return layer
