"""The packages written on Keras 3 that are tried, and what each needs."""

import pathlib
from typing import NamedTuple

ROOT = pathlib.Path(__file__).resolve().parents[2]
COMMON = ["-e", str(ROOT), "keras==3.15.1", "pytest", "absl-py"]
TENSORFLOW = "tensorflow-cpu==2.21.0"


class Client(NamedTuple):
    """What is installed, what of it without its own dependencies, and the tests that are run."""

    packages: list[str]
    alone: list[str] = []
    tests: list[str] = []


# keras-hub and keras-tcn ask for the whole of TensorFlow, and an older text of it; both run with
# the one that fits Keras.
CLIENTS = {
    "scikeras": Client(["scikeras", "scikit-learn", TENSORFLOW], tests=["tests"]),
    "keras-tuner": Client(
        ["keras-tuner", "scikit-learn", "scipy", "pandas", "six", "portpicker", "tensorboard",
         TENSORFLOW],
        tests=["keras_tuner"],
    ),
    "keras-hub": Client(
        ["kagglehub", "kagglesdk==0.1.28", "huggingface_hub", "regex", "sentencepiece",
         "tokenizers", "pillow", TENSORFLOW],
        alone=["keras-hub", "tensorflow-text==2.21.1"],
        tests=["keras_hub/src/layers"],
    ),
    "keras-rs": Client(["keras-rs"]),
    "bayesflow": Client(["bayesflow"]),
    "keras-tcn": Client([TENSORFLOW], alone=["keras-tcn"]),
    "optuna": Client(["optuna", "optuna-integration"]),
    "wandb": Client(["wandb", TENSORFLOW]),
    "mlflow": Client(["mlflow"]),
}
