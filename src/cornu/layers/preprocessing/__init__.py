"""Layers that turn raw data (numbers, words, texts, images, sound) into what a network takes."""

from cornu.layers.layer import Layer
from cornu.layers.preprocessing.audio import MelSpectrogram, STFTSpectrogram
from cornu.layers.preprocessing.categorical import CategoryEncoding, HashedCrossing, Hashing
from cornu.layers.preprocessing.colour import (
    AutoContrast, RandomBrightness, RandomColorDegeneration, RandomColorJitter, RandomContrast, RandomGrayscale,
    RandomHue, RandomInvert, RandomPosterization, RandomSaturation, Solarization
)
from cornu.layers.preprocessing.feature_space import FeatureSpace
from cornu.layers.preprocessing.filters import (
    ContrastLimitedAdaptiveHistogramEqualization, Equalization, RandomErasing, RandomGaussianBlur, RandomSharpness
)
from cornu.layers.preprocessing.geometric import (
    RandomElasticTransform, RandomFlip, RandomPerspective, RandomRotation, RandomShear, RandomTranslation, RandomZoom
)
from cornu.layers.preprocessing.lookup import IntegerLookup, StringLookup
from cornu.layers.preprocessing.mixing import AugMix, CutMix, MaxNumBoundingBoxes, MixUp, Pipeline, RandAugment
from cornu.layers.preprocessing.numerical import Discretization, Normalization, Rescaling
from cornu.layers.preprocessing.random_size import RandomHeight, RandomWidth
from cornu.layers.preprocessing.sizes import CenterCrop, RandomCrop, Resizing
from cornu.layers.preprocessing.text import TextVectorization

__all__ = [name for name, value in list(globals().items())
           if isinstance(value, type) and issubclass(value, Layer) and value is not Layer]
