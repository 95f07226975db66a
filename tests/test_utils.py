"""Utilities: bounding boxes, images, folders, splits, windows, sessions, diagrams."""

import re
import sys
import types
import wave

import numpy as np
import pytest

import cornu
from cornu.utils import bounding_boxes

keras = pytest.importorskip("keras")
BOXES = np.random.default_rng(0).uniform(1, 20, (2, 3, 4)).astype("float32")
BOXES[..., 2:] += BOXES[..., :2]
MOVED = BOXES + np.random.default_rng(1).uniform(0, 3, BOXES.shape).astype("float32")
LABELLED = {"boxes": BOXES * 3, "labels": np.ones((2, 3), "int32")}
FORMATS = ("xyxy", "yxyx", "xywh", "center_xywh", "center_yxhw", "rel_xyxy", "rel_yxyx", "rel_xywh", "rel_center_xywh")
TURNS = [np.array([v, v / 2], "float32") for v in (10, 0.1, 0.2, 1.3, 5, 7)]

BOX_CALLS = {
    **{f"to {f}": lambda m, f=f: m.convert_format(BOXES, "xyxy", f, 60, 90) for f in FORMATS},
    **{f"from {f}": lambda m, f=f: m.convert_format(BOXES, f, "xywh", 60, 90) for f in FORMATS},
    "clip": lambda m: m.clip_to_image_size(LABELLED, 60, 40)["boxes"],
    "clip's labels": lambda m: m.clip_to_image_size({"boxes": BOXES * 9, "labels": LABELLED["labels"]}, 60, 40)["labels"],
    "clip shares": lambda m: m.clip_to_image_size({**LABELLED, "boxes": BOXES / 20}, 60, 40, "rel_xyxy")["boxes"],
    "iou": lambda m: m.compute_iou(BOXES, MOVED, "xyxy"),
    "iou of other ranks": lambda m: m.compute_iou(BOXES, MOVED[0], "xywh"),
    "iou with gaps": lambda m: m.compute_iou(BOXES, np.where(np.arange(3)[:, None] == 1, -1, MOVED), "xyxy", use_masking=True),
    "ciou": lambda m: m.compute_ciou(BOXES, MOVED, "center_xywh"),
    "encode": lambda m: m.encode_box_to_deltas(BOXES[0], MOVED, "xyxy", "yxyx", variance=[0.1, 0.2, 0.3, 0.4]),
    "decode": lambda m: m.decode_deltas_to_boxes(BOXES[0], MOVED / 20, "xyxy", "xywh", "center_xywh"),
    "crop": lambda m: m.crop(BOXES, 2, 3, 10, 12),
    "pad": lambda m: m.pad(BOXES, 2, 3, 20, 30),
    "affine": lambda m: m.affine_transform(BOXES, *TURNS, 60, 90),
}


@pytest.mark.parametrize("name", BOX_CALLS)
def test_bounding_boxes_equal_keras(name):
    ours, theirs = BOX_CALLS[name](bounding_boxes), BOX_CALLS[name](keras.utils.bounding_boxes)
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-3)


def test_encoding_is_undone_by_decoding():
    deltas = bounding_boxes.encode_box_to_deltas(BOXES, MOVED, "xyxy", "xyxy", variance=[0.1, 0.1, 0.2, 0.2])
    again = bounding_boxes.decode_deltas_to_boxes(BOXES, deltas, "xyxy", "xyxy", variance=[0.1, 0.1, 0.2, 0.2])
    np.testing.assert_allclose(again, MOVED, rtol=1e-4)


@pytest.mark.parametrize("call, message", [
    (lambda: bounding_boxes.convert_format(BOXES, "xyxx", "xyxy"), "source"),
    (lambda: bounding_boxes.convert_format(BOXES, "xyxy", "rel_xyxy"), "height"),
    (lambda: bounding_boxes.crop(BOXES, 0, 0, 5, 5, "rel_xyxy"), "pixels"),
    (lambda: bounding_boxes.convert_format(BOXES[..., :3], "xyxy", "xywh"), "4 numbers")])
def test_bounding_boxes_refuse(call, message):
    with pytest.raises(ValueError, match=message):
        call()


# Images ---------------------------------------------------------------------------------------------------------------


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "picture.png"
    cornu.utils.save_img(path, np.random.default_rng(0).uniform(0, 255, (6, 9, 3)))
    return path


@pytest.mark.parametrize("options", [{}, {"color_mode": "grayscale"}, {"color_mode": "rgba"}, {"target_size": (4, 5)},
                                     {"target_size": (4, 5), "interpolation": "bicubic", "keep_aspect_ratio": True}])
def test_images_are_read_as_keras_reads_them(picture, options):
    ours, theirs = (m.utils.img_to_array(m.utils.load_img(picture, **options)) for m in (cornu, keras))
    np.testing.assert_array_equal(ours, theirs)
    assert ours.dtype == theirs.dtype == "float32"


@pytest.mark.parametrize("shape", [(4, 5, 1), (4, 5, 3), (4, 5, 4)])
@pytest.mark.parametrize("scale", [True, False])
def test_arrays_become_images_as_in_keras(shape, scale):
    x = np.random.default_rng(0).uniform(0, 200, shape)
    ours, theirs = (np.asarray(m.utils.array_to_img(x, scale=scale)) for m in (cornu, keras))
    np.testing.assert_array_equal(ours, theirs)


@pytest.fixture
def folder(tmp_path):
    for name in ("cats", "dogs"):
        (tmp_path / name).mkdir()
        for number in range(5):
            cornu.utils.save_img(tmp_path / name / f"{number}.png", np.full((6, 8, 3), 10.0 * number), scale=False)
            (tmp_path / name / f"{number}.txt").write_text(f"{name} {number}")
            with wave.open(str(tmp_path / name / f"{number}.wav"), "wb") as file:
                file.setparams((1, 2, 8000, 0, "NONE", ""))
                file.writeframes((np.arange(4 + number, dtype="<i2") * 1000).tobytes())
    return tmp_path


@pytest.mark.parametrize("mode, shape", [("int", (4,)), ("categorical", (4, 2)), ("binary", (4, 1))])
def test_images_from_a_folder(folder, mode, shape):
    data = cornu.utils.image_dataset_from_directory(folder, label_mode=mode, image_size=(3, 4), batch_size=4, verbose=False)
    images, labels = next(iter(data))
    assert (images.shape, labels.shape, len(data), data.class_names) == ((4, 3, 4, 3), shape, 3, ["cats", "dogs"])


def test_parts_of_a_folder_do_not_overlap(folder):
    kept, held = cornu.utils.image_dataset_from_directory(folder, validation_split=0.3, subset="both", seed=1, verbose=False)
    assert not set(kept.file_paths) & set(held.file_paths) and (kept.samples, held.samples) == (7, 3)
    with pytest.raises(ValueError, match="seed"):
        cornu.utils.image_dataset_from_directory(folder, validation_split=0.3, subset="both")


def test_padding_keeps_the_shape_of_images(folder):
    data = cornu.utils.image_dataset_from_directory(folder, None, None, image_size=(8, 8), pad_to_aspect_ratio=True,
                                                    shuffle=False, verbose=False)
    last = next(iter(data))[4]
    assert (last[0] == 0).all() and (last[4] == 40).all()


def test_texts_and_sounds_from_a_folder(folder):
    texts, labels = next(iter(cornu.utils.text_dataset_from_directory(folder, max_length=4, shuffle=False, verbose=False)))
    assert list(texts[[0, -1]]) == ["cats", "dogs"] and labels.tolist() == [0] * 5 + [1] * 5
    sounds, _ = next(iter(cornu.utils.audio_dataset_from_directory(folder, shuffle=False, verbose=False)))
    assert sounds.shape == (10, 8, 1) and sounds[4, 7, 0] == np.float32(7000 / 32768) and sounds[0, 7, 0] == 0


def test_a_folder_feeds_fit(folder):
    data = cornu.utils.image_dataset_from_directory(folder, image_size=(3, 4), batch_size=4, verbose=False)
    model = cornu.Sequential([cornu.Input((3, 4, 3)), cornu.layers.Flatten(), cornu.layers.Dense(2, "softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy")
    assert np.isfinite(model.fit(data, epochs=2, verbose=0).history["loss"]).all()


# Splits and windows -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sizes, expected", [((0.8, None), (8, 2)), ((None, 3), (7, 3)), ((4, 0.2), (4, 2)), ((0.5, 0.3), (5, 3))])
def test_split_dataset(sizes, expected):
    left, right = cornu.utils.split_dataset((np.arange(10), np.arange(10) * 2), *sizes, shuffle=True, seed=0)
    assert (len(left), len(right)) == expected
    seen = [a for a, b in [*left, *right] if b == 2 * a]
    assert len(set(map(int, seen))) == sum(expected)


@pytest.mark.parametrize("sizes", [(None, None), (0.8, 0.3), (11, None), (0, None), (1.5, None)])
def test_split_dataset_refuses(sizes):
    with pytest.raises(ValueError, match="size"):
        cornu.utils.split_dataset(np.arange(10), *sizes)


@pytest.mark.parametrize("options, windows, targets", [
    ({}, [[t, t + 1, t + 2] for t in range(8)], list(range(8))),
    ({"sequence_stride": 2, "sampling_rate": 2}, [[0, 2, 4], [2, 4, 6], [4, 6, 8]], [0, 2, 4]),
    ({"start_index": 2, "end_index": 8}, [[t, t + 1, t + 2] for t in range(2, 6)], [2, 3, 4, 5])])
def test_windows_of_a_time_series(options, windows, targets):
    data = cornu.utils.timeseries_dataset_from_array(np.arange(10), np.arange(10), sequence_length=3, **options)
    x, y = next(iter(data))
    assert (x.tolist(), y.tolist()) == (windows, targets)


# Sessions, configs, diagrams ----------------------------------------------------------------------------------------


def test_clear_session():
    cornu.config.set_dtype_policy("mixed_bfloat16")
    cornu.layers.Dense(1)
    cornu.utils.clear_session()
    assert cornu.layers.Dense(1).name == "dense" and cornu.config.dtype_policy().name == "float32"


def test_config_object():
    config = cornu.utils.Config(a=1, b={"c": 2})
    config.a += 1
    assert (config["a"], config.b, list(config), config.to_json()) == (2, {"c": 2}, ["a", "b"], '{"a": 2, "b": {"c": 2}}')
    config.freeze()
    with pytest.raises(ValueError, match="frozen"):
        config.a = 3
    with pytest.raises(AttributeError, match="no setting 'z'"):
        config.unfreeze().z


def test_source_inputs():
    x, y = cornu.Input((3,)), cornu.Input((3,))
    found = cornu.utils.get_source_inputs(cornu.layers.Dense(2)(x + y))
    assert found[0] is x and found[1] is y and len(found) == 2


def test_register_and_scope():
    @cornu.utils.register_keras_serializable("mine")
    class Twice(cornu.layers.Layer):
        def call(self, x):
            return 2 * x

    assert cornu.utils.get_registered_name(Twice) == "mine>Twice"
    assert cornu.utils.get_registered_object("mine>Twice") is Twice
    config = cornu.utils.serialize_keras_object(Twice())
    assert config["registered_name"] == "mine>Twice"
    assert type(cornu.utils.deserialize_keras_object(config)) is Twice
    with cornu.utils.CustomObjectScope({"twice": len}):
        assert cornu.utils.legacy.deserialize_keras_object("twice") is len


class _Recorder(types.SimpleNamespace):
    """Stands in for pydot: keeps what was drawn."""

    def __init__(self, *args, **kwargs):
        super().__init__(args=args, options=kwargs, nodes=[], edges=[], parts=[])
        self.add_node, self.add_edge, self.add_subgraph = self.nodes.append, self.edges.append, self.parts.append
        self.set_node_defaults = lambda **_: None


@pytest.fixture
def pydot(monkeypatch):
    fake = types.SimpleNamespace(Dot=_Recorder, Cluster=_Recorder, Node=_Recorder, Edge=_Recorder)
    monkeypatch.setitem(sys.modules, "pydot", fake)


def drawn():
    x = cornu.Input((4,), name="x")
    inner = cornu.Sequential([cornu.Input((4,)), cornu.layers.Dense(4, name="d")], name="inner")
    return cornu.Model(x, cornu.layers.Add(name="sum")([inner(x), x]), name="net")


def test_diagram(pydot):
    dot = cornu.utils.model_to_dot(drawn(), show_shapes=True, show_layer_activations=True, show_trainable=True)
    assert [n.options["label"].split(" ")[0] for n in dot.nodes] == ["{x", "{inner", "{sum"] and len(dot.edges) == 3
    assert "(None, 4)" in dot.nodes[1].options["label"] and "trainable" in dot.nodes[1].options["label"]


def test_diagram_with_nested_layers(pydot):
    dot = cornu.utils.model_to_dot(drawn(), expand_nested=True)
    assert len(dot.parts) == 1 and len(dot.parts[0].nodes) == 1 and len(dot.nodes) == 2 and len(dot.edges) == 3


def test_diagrams_say_what_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "pydot", None)
    with pytest.raises(ImportError, match=r'pip install "cornu\[plot\]"'):
        cornu.utils.plot_model(drawn())


def shown(module, capsys, told, target):
    bar = module.utils.Progbar(target, interval=0, **told)
    for step, value in ((1, 1.0), (4, 2.0), (8, 3.0)):
        bar.update(step, [("a", value), ("b", value * 10)])
    return re.findall(r"- ([ab]): ([\d.]+)", capsys.readouterr().out)


def test_a_progress_bar_in_a_pipe_shows_each_drawing(capsys):
    assert [value for name, value in shown(cornu, capsys, {}, 8) if name == "a"] == ["1.0000", "1.7500", "3.0000"]


@pytest.mark.parametrize("target", [8, None])
@pytest.mark.parametrize("told", [{}, {"stateful_metrics": ["a"]}, {"stateless_metrics": ["a"]}, {"stateless_metrics": []}], ids=str)
def test_a_progress_bar_averages_what_keras_averages(capsys, monkeypatch, told, target):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    assert shown(cornu, capsys, told, target) == shown(keras, capsys, told, target) != []


def test_old_names_and_arguments():
    with pytest.raises(NotImplementedError, match="custom_objects"):
        cornu.config.enable_unsafe_deserialization()
    with pytest.raises(ValueError, match="not both"):
        cornu.utils.Progbar(3, stateful_metrics=["a"], stateless_metrics=["a"])
    for name in ("Adagrad", "Adam", "Ftrl", "Optimizer", "RMSprop", "SGD"):
        assert getattr(cornu.optimizers.legacy, name) is getattr(cornu.optimizers, name)
