"""Small data sets to learn and to test with, each with `load_data()` as in Keras: same arrays, dtypes and order."""

from cornu.datasets import (
    boston_housing,
    california_housing,
    cifar10,
    cifar100,
    fashion_mnist,
    imdb,
    mnist,
    reuters,
)
