"""Layers: a file per family."""

from cornu.layers.activation import Activation, ReLU, LeakyReLU, PReLU, ELU, Softmax
from cornu.layers.convolution import (
    Conv1D, Conv2D, Conv3D, Conv1DTranspose, Conv2DTranspose, Conv3DTranspose, DepthwiseConv1D, DepthwiseConv2D,
    SeparableConv1D, SeparableConv2D, Convolution1D, Convolution2D, Convolution3D, Convolution1DTranspose,
    Convolution2DTranspose, Convolution3DTranspose, SeparableConvolution1D, SeparableConvolution2D
)
from cornu.layers.core import InputLayer, Input, Dense, Identity, Masking
from cornu.layers.layer import Layer
from cornu.layers.normalization import BatchNormalization
from cornu.layers.pooling import (
    MaxPooling1D, MaxPooling2D, MaxPooling3D, AveragePooling1D, AveragePooling2D, AveragePooling3D,
    GlobalMaxPooling1D, GlobalMaxPooling2D, GlobalMaxPooling3D, GlobalAveragePooling1D, GlobalAveragePooling2D,
    GlobalAveragePooling3D, AdaptiveMaxPooling1D, AdaptiveMaxPooling2D, AdaptiveMaxPooling3D,
    AdaptiveAveragePooling1D, AdaptiveAveragePooling2D, AdaptiveAveragePooling3D, MaxPool1D, MaxPool2D, MaxPool3D,
    AvgPool1D, AvgPool2D, AvgPool3D, GlobalMaxPool1D, GlobalMaxPool2D, GlobalMaxPool3D, GlobalAvgPool1D,
    GlobalAvgPool2D, GlobalAvgPool3D
)
from cornu.layers.regularization import Dropout
from cornu.layers.reshaping import Flatten, Reshape
from cornu.layers.spec import InputSpec
