"""`keras.applications` for packages that name its models when they are imported.

cornu has none of these models. A package that only lists them works nevertheless; who calls one
is told that it is not here.
"""

import types

MODELS = {
    "convnext": "ConvNeXtBase ConvNeXtLarge ConvNeXtSmall ConvNeXtTiny ConvNeXtXLarge",
    "densenet": "DenseNet121 DenseNet169 DenseNet201",
    "efficientnet":
        "EfficientNetB0 EfficientNetB1 EfficientNetB2 EfficientNetB3 EfficientNetB4 "
        "EfficientNetB5 EfficientNetB6 EfficientNetB7",
    "efficientnet_v2":
        "EfficientNetV2B0 EfficientNetV2B1 EfficientNetV2B2 EfficientNetV2B3 EfficientNetV2L "
        "EfficientNetV2M EfficientNetV2S",
    "imagenet_utils": "",
    "inception_resnet_v2": "InceptionResNetV2",
    "inception_v3": "InceptionV3",
    "mobilenet": "MobileNet",
    "mobilenet_v2": "MobileNetV2",
    "mobilenet_v3": "",
    "nasnet": "NASNetLarge NASNetMobile",
    "resnet": "ResNet101 ResNet152 ResNet50",
    "resnet50": "ResNet50",
    "resnet_v2": "ResNet101V2 ResNet152V2 ResNet50V2",
    "vgg16": "VGG16",
    "vgg19": "VGG19",
    "xception": "Xception",
}
HELPERS = ("decode_predictions", "preprocess_input")


def _absent(path):
    def absent(*args, **kwargs):
        raise NotImplementedError(
            f"{path} is not in cornu: it has no ready-made models yet. Build the model from "
            "layers, or make it under Keras, save it as .keras, and load that file here."
        )

    absent.__name__ = absent.__qualname__ = path.rpartition(".")[2]
    return absent


def _build():
    top = types.ModuleType("keras.applications", "Names of models that cornu does not have.")
    top.__path__ = []
    modules = {"": top}
    for area, models in MODELS.items():
        module = types.ModuleType(f"{top.__name__}.{area}")
        for name in (*models.split(), *HELPERS):
            setattr(module, name, _absent(f"{module.__name__}.{name}"))
        for name in models.split():
            setattr(top, name, _absent(f"{top.__name__}.{name}"))
        setattr(top, area, module)
        modules[area] = module
    for name in ("MobileNetV3Large", "MobileNetV3Small"):
        setattr(top, name, _absent(f"{top.__name__}.{name}"))
    return modules


_modules = _build()


def find(path: str):
    """The module `keras.applications.PATH` ("" for the uppermost), or None."""
    return _modules.get(path)
