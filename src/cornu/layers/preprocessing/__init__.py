"""Layers that turn raw data (numbers, words, texts, images, sound) into what a network takes."""

from cornu.layers.preprocessing.numerical import Rescaling
