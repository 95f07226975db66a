"""What `cornu.install()` and `cornu run` do before a program's first line."""


from cornu import frames
from cornu.doors import finder, tensorflow
from cornu.doors.keras_module import KERAS


def install() -> None:
    """Let `import keras` and `tensorflow.keras` mean cornu in this process, from now on.

    So do they in the processes that are started from here. Where TensorFlow is installed,
    `import tensorflow` gives it as it is, with only its `keras` replaced; elsewhere a stand-in
    that has nothing but `keras`. Call it before the first `import keras`: in a notebook, in the
    first cell. A second call changes nothing.

    >>> import cornu
    >>> cornu.install()
    >>> import keras
    >>> keras.layers is cornu.layers, keras.__version__
    (True, '3.15.1')
    """
    if finder.forget_another_keras():
        frames.warn(
            "Another keras was imported before cornu.install(): what was made with it stays what "
            "it was, and does not mix with cornu. Call cornu.install() before the first import of it.")
    finder.install()
    finder.hand_on()
    tensorflow.adopt(KERAS)
