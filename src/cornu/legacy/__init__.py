"""What older programs ask of Keras under `keras.legacy`."""

from cornu.legacy import saving

__all__ = ["saving"]
