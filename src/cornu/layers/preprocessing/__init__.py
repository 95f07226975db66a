"""Layers that turn raw data (numbers, words, texts, images, sound) into what a network takes."""

from cornu.layers.preprocessing.categorical import CategoryEncoding, HashedCrossing, Hashing
from cornu.layers.preprocessing.feature_space import FeatureSpace
from cornu.layers.preprocessing.lookup import IntegerLookup, StringLookup
from cornu.layers.preprocessing.numerical import Discretization, Normalization, Rescaling
from cornu.layers.preprocessing.text import TextVectorization
