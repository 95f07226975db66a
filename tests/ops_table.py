"""A row for every operation: calls with small arguments. Properties of all of them are in test_ops.py.

Flags of a case: K not compared with Keras (it refuses, or differs for a stated reason); S not symbolic; J not under
jit (arguments that must be known); G no gradient.
"""

import numpy as np

import cornu
from cornu import ops

_random = np.random.RandomState(0)


class Case:
    def __init__(self, *args, flags="", **kwargs):
        self.args, self.kwargs, self.flags = args, kwargs, flags


def f(*shape):
    return _random.randn(*shape).astype("float32")


def unit(*shape):
    return _random.uniform(0.1, 0.9, shape).astype("float32")


def i(*shape, high=5):
    return _random.randint(0, high, shape).astype("int32")


def b(*shape):
    return _random.rand(*shape) > 0.5


def spd(n):
    a = f(n, n)
    return a @ a.T + np.eye(n, dtype="float32")


def nan(*shape):
    a = f(*shape)
    a.flat[0] = np.nan
    return a


X, Y, SQUARE = unit(2, 3), unit(2, 3), spd(3)
IMAGE, RGB = unit(2, 6, 5, 2), unit(2, 6, 5, 3)
ROWS = {}


def same(names, *cases):
    for name in names.split():
        ROWS[name] = list(cases)


same("abs absolute angle arccos arcsin arcsinh arctan arctanh cbrt ceil conj conjugate cos cosh deg2rad exp exp2 "
     "expm1 fabs floor i0 imag log log10 log1p log2 negative rad2deg real reciprocal round sign sin sinc sinh sqrt "
     "square tan tanh trunc erf erfc erfinv rsqrt nan_to_num copy", Case(X))
same("isfinite isinf isnan isneginf isposinf isreal logical_not signbit",
     Case(np.array([[1, np.nan, -np.inf], [0, 2, np.inf]], "float32")))
same("arccosh", Case(1 + X))
same("bitwise_invert bitwise_not", Case(i(2, 3)))
same("celu elu gelu hard_shrink hard_sigmoid hard_silu hard_swish hard_tanh leaky_relu log_sigmoid relu relu6 selu "
     "sigmoid silu swish soft_shrink softplus softsign sparse_plus sparse_sigmoid squareplus "
     "tanh_shrink", Case(3 * f(2, 3)))
same("softmax log_softmax", Case(f(2, 3)), Case(f(2, 3, 4), axis=(1, 2)), Case(f(2, 3), axis=None))
# Keras's results do not sum to 1.
same("sparsemax", Case(f(2, 3), flags="K"), Case(f(2, 3), axis=0, flags="K"))
same("glu", Case(f(2, 4)))
same("threshold", Case(f(2, 3), 0.1, 5.0))
same("add subtract multiply divide true_divide maximum minimum fmax fmin arctan2 logaddexp logaddexp2 hypot power "
     "divide_no_nan nextafter", Case(X, Y), Case(X, 2), Case(X, unit(3)))
same("equal not_equal greater greater_equal less less_equal logical_and logical_or logical_xor heaviside",
     Case(i(2, 3, high=2).astype("float32"), i(2, 3, high=2).astype("float32")))
same("floor_divide mod fmod", Case(X, Y, flags="G"), Case(i(2, 3), 3))
same("gcd lcm", Case(i(2, 3), i(2, 3)))
same("bitwise_and bitwise_or bitwise_xor bitwise_left_shift bitwise_right_shift left_shift right_shift",
     Case(i(2, 3), i(2, 3)))
same("ldexp", Case(X, i(2, 3)))
same("isclose allclose", Case(X, X), Case(X, Y))
same("clip", Case(f(2, 3), -0.5, 0.5))
same("where", Case(b(2, 3), X, Y), Case(b(2, 3), flags="SJ"))
same("select", Case([b(2, 3), b(2, 3)], [X, Y], 7.0))
same("view", Case(X, "int32"))

same("sum mean max min amax amin prod std var median ptp", Case(f(2, 3)), Case(f(2, 3), axis=1),
     Case(f(2, 3), axis=(0, 1), keepdims=True))
same("all any", Case(b(2, 3)), Case(b(2, 3), axis=0, keepdims=True))
same("argmax argmin argsort", Case(f(2, 3)), Case(f(2, 3), axis=0))
same("count_nonzero", Case(i(2, 3), axis=0))
same("nansum nanmean nanmax nanmin nanprod nanstd nanvar nanmedian nanargmax nanargmin",
     Case(nan(2, 3), axis=1, flags="G"))
same("nancumsum nancumprod", Case(nan(2, 3), axis=1, flags="G"))
same("quantile nanquantile", Case(f(4, 3), 0.3, axis=0),
     Case(f(4, 3), np.array([0.3, 0.7], "float32"), axis=0, keepdims=True))
same("percentile nanpercentile", Case(f(4, 3), 30.0, axis=0, method="nearest"))
same("cumsum cumprod", Case(f(2, 3), axis=1), Case(f(2, 3)))
same("average", Case(f(2, 3), axis=1, weights=unit(3)), Case(f(2, 3)))
same("diff", Case(f(2, 4), n=2))
same("trapezoid", Case(f(2, 4)), Case(f(2, 4), unit(4)))
same("sort", Case(f(2, 4)), Case(f(2, 4), axis=0))
same("argpartition", Case(f(2, 4), 1))
same("searchsorted", Case(np.array([1, 2, 3], "float32"), f(4)))
same("digitize", Case(f(2, 3), np.array([-1, 0, 1], "float32")))
same("bincount", Case(i(6), minlength=6, flags="SJ"), Case(i(6), weights=f(6), minlength=6, flags="SJ"))
same("histogram", Case(f(9), 4, flags="JG"), Case(f(9), 3, range=(-1.0, 1.0), flags="JG"))
same("isin", Case(i(2, 3), i(3)))
same("unique", Case(i(6), size=3), Case(i(6), flags="SJ"))
same("corrcoef", Case(f(3, 4)))
same("correlate", Case(f(5), f(3), mode="same"))

same("zeros ones", Case((2, 3)), Case((2,), "int32"))
same("empty", Case((2, 3)))
same("zeros_like ones_like empty_like", Case(X), Case(X, "int32"))
same("full", Case((2, 3), 7.0))
same("full_like", Case(X, 7.0))
same("eye tri", Case(3), Case(2, 4, 1, dtype="int32"))
same("identity", Case(3))
same("arange", Case(5), Case(1, 2, 0.25), Case(5, dtype="float32"))
same("linspace logspace geomspace", Case(1.0, 2.0, 5), Case(X, 1 + X, 3))
same("array convert_to_tensor", Case(X), Case(X, "int32"))
same("bartlett blackman hamming hanning", Case(6))
same("kaiser", Case(6, 2.0))
same("meshgrid", Case(f(2), f(3)), Case(f(2), f(3), indexing="ij"))
same("diag diagflat", Case(f(3)), Case(f(3), 1))
same("vander", Case(f(3)), Case(f(3), N=2, increasing=True))
same("fliplr flipud ravel", Case(X))
same("reshape", Case(X, (3, 2)), Case(X, (-1,)))
same("transpose", Case(f(2, 3, 4)), Case(f(2, 3, 4), (1, 0, 2)))
same("expand_dims", Case(X, 1), Case(X, (0, -1)))
same("squeeze", Case(f(2, 1, 3), 1))
same("moveaxis", Case(f(2, 3, 4), 0, -1))
same("swapaxes", Case(f(2, 3, 4), 1, 2))
same("broadcast_to", Case(f(3), (2, 3)))
same("flip", Case(X), Case(X, axis=1))
same("rot90", Case(X), Case(X, k=2))
same("roll", Case(X, 1), Case(X, 1, axis=1))
same("tile", Case(X, (2, 1)))
same("repeat", Case(X, 2), Case(X, 2, axis=1))
same("pad", Case(X, ((1, 0), (0, 2))), Case(X, 1, mode="reflect"), Case(X, 1, constant_values=5.0))
same("tril triu", Case(f(3, 3)), Case(f(3, 3), k=1))
same("diagonal trace", Case(f(3, 3)), Case(f(2, 3, 3), offset=1, axis1=1, axis2=2))
same("concatenate", Case([X, Y]), Case([X, Y], axis=1))
same("stack", Case([X, Y], axis=1))
same("append", Case(X, Y, axis=0), Case(X, Y))
same("hstack vstack dstack", Case([X, Y]))
same("split", Case(f(4, 3), 2), Case(f(4, 3), [1, 2], axis=1))
same("array_split", Case(f(4, 3), 3), Case(f(4, 3), [1, 2], axis=1, flags="K"))
same("hsplit", Case(f(4, 2), 2))
same("vsplit", Case(f(4, 2), 2))
same("dsplit", Case(f(2, 3, 4), 2))
same("get_item", Case(X, 0), Case(X, (slice(None), 1)), Case(X, (Ellipsis, None)))
same("take", Case(X, i(2, high=2), axis=0), Case(X, i(2, high=2)))
same("take_along_axis", Case(X, i(2, 3, high=2), axis=0))
same("nonzero", Case(i(2, 3), flags="SJ"))
same("unravel_index", Case(i(4), (2, 3)))
same("ndim size", Case(X, flags="JS"))
same("shape dtype is_tensor", Case(np.float32(1) * X, flags="JSK"))
same("convert_to_numpy", Case(X, flags="JS"))

same("dot matmul", Case(f(2, 3), f(3, 4)), Case(f(2, 3), f(3)))
same("inner", Case(f(2, 3), f(4, 3)))
same("kron", Case(f(2, 2), f(2, 3)))
same("outer vdot", Case(f(3), f(3)))
same("cross", Case(f(2, 3), f(2, 3)))
same("tensordot", Case(f(2, 3, 4), f(3, 4, 5)), Case(f(2, 3), f(3, 2), axes=[[1], [0]]))
same("einsum", Case("ij,jk->ik", f(2, 3), f(3, 4)))
same("vectorize", Case(lambda x: x, flags="KSJ"))
same("rearrange", Case(f(2, 6), "b (h w) -> w b h", h=2))

same("cast saturate_cast", Case(3 * f(2, 3), "int32"), Case(i(2, 3), "float16"))
same("stop_gradient", Case(X))
same("custom_gradient", Case(lambda x: x, flags="KSJ"))
same("slice", Case(f(3, 4), (1, 0), (2, 3)))
same("slice_update", Case(f(3, 4), (1, 0), f(2, 3)))
same("scatter", Case(i(3, 1, high=4), f(3), (4,)))
same("scatter_update", Case(f(4), i(3, 1, high=4), f(3)), Case(f(4), i(3, 1, high=4), f(3), "max"))
same("unstack", Case(f(3, 2)), Case(f(3, 2), axis=1))
same("scan", Case(lambda c, x: (c + x, c * x), np.float32(0), f(4)))
same("map", Case(lambda x: x * 2, f(4)))
same("vectorized_map", Case(lambda x: x * 2, f(4)))
same("while_loop", Case(lambda n: n < 5, lambda n: n + 1, np.int32(0)),
     Case(lambda n, m: n < 5, lambda n, m: (n + 1, m * 2), (np.int32(0), np.float32(1))))
same("fori_loop", Case(0, 3, lambda n, x: x + n, np.int32(1)))
same("associative_scan", Case(lambda x, y: x + y, f(5)), Case(lambda x, y: x * y, f(2, 5), reverse=True, axis=1))
same("cond", Case(True, lambda: 1.0, lambda: 2.0))
same("switch", Case(1, [lambda x: x, lambda x: x * 2], np.float32(3)))

same("max_pool average_pool", Case(IMAGE, 2, 2),
     Case(IMAGE, (2, 3), (1, 2), padding="same", data_format="channels_last"))
same("adaptive_max_pool adaptive_average_pool", Case(IMAGE, (3, 2)), Case(IMAGE, 3))
same("conv", Case(IMAGE, f(3, 2, 2, 4)), Case(IMAGE, f(3, 3, 1, 4), 2, "same"),
     Case(f(1, 2, 8), f(3, 2, 3), data_format="channels_first", dilation_rate=2))
same("depthwise_conv", Case(IMAGE, f(3, 3, 2, 2)))
same("separable_conv", Case(IMAGE, f(3, 3, 2, 2), f(1, 1, 4, 3)))
same("conv_transpose", Case(IMAGE, f(3, 3, 4, 2), 2), Case(IMAGE, f(3, 3, 4, 2), 2, "same"))
same("depth_to_space", Case(f(1, 2, 3, 8), 2), Case(f(1, 8, 2, 3), 2, data_format="channels_first"))
same("space_to_depth", Case(f(1, 4, 6, 2), 2), Case(f(1, 2, 4, 6), 2, data_format="channels_first"))
same("unfold", Case(f(1, 2, 5, 4), 2, padding=1, stride=2))
same("fold", Case(f(1, 8, 9), (4, 4), 2))
same("one_hot", Case(i(2, 3), 5), Case(i(2), 3, axis=0, dtype="int32"))
same("multi_hot", Case(i(2, 3), 5))
same("binary_crossentropy", Case(X, Y), Case(X, f(2, 3), from_logits=True))
same("categorical_crossentropy", Case(X, Y), Case(X, f(2, 3), from_logits=True))
same("sparse_categorical_crossentropy", Case(i(2, high=3), unit(2, 3)),
     Case(i(2, 1, high=3), f(2, 3), from_logits=True), Case(i(2, 4, high=3), unit(2, 3, 4), axis=1, flags="K"))
same("moments", Case(f(2, 3), axes=0), Case(f(2, 3, 4), axes=(0, 1), keepdims=True))
same("batch_normalization", Case(f(2, 3), f(3), unit(3), axis=-1, offset=f(3), scale=f(3)),
     Case(f(2, 3, 4), f(3), unit(3), axis=1))
same("layer_normalization", Case(f(2, 3)), Case(f(2, 3), f(3), f(3)))
same("rms_normalization", Case(f(2, 3)), Case(f(2, 3), f(3)))
same("normalize", Case(f(2, 3)), Case(f(2, 3), order=3, axis=0))
same("psnr", Case(X, Y, 1.0))
same("polar", Case(X, Y))
same("ctc_loss", Case(i(2, 3, high=3) + 1, f(2, 8, 4), np.array([2, 3]), np.array([7, 8])))
same("ctc_decode", Case(f(2, 6, 4), np.array([6, 5])),
     Case(f(2, 6, 4), np.array([6, 5]), strategy="beam_search", beam_width=5, top_paths=2))
same("dot_product_attention", Case(f(2, 3, 2, 4), f(2, 5, 2, 4), f(2, 5, 2, 4)),
     Case(f(1, 3, 4, 4), f(1, 3, 2, 4), f(1, 3, 2, 4), is_causal=True))

same("cholesky eigh", Case(SQUARE, flags="G"))
same("cholesky_inverse", Case(np.linalg.cholesky(SQUARE)))
same("det inv logdet slogdet", Case(SQUARE))
same("eig", Case(SQUARE, flags="GK"))
same("lu_factor", Case(SQUARE))
same("qr", Case(f(4, 3)), Case(f(4, 3), "complete", flags="G"))
same("svd", Case(f(4, 3), full_matrices=False), Case(f(4, 3), compute_uv=False))
same("solve", Case(SQUARE, f(3)), Case(SQUARE, f(3, 2)))
same("solve_triangular", Case(np.tril(SQUARE), f(3, 2), lower=True), Case(SQUARE, f(3)))
same("lstsq", Case(f(4, 3), f(4)))
same("pinv", Case(f(4, 3)))
same("matrix_rank", Case(SQUARE))
same("norm", Case(f(2, 3)), Case(f(2, 3), 1, axis=1), Case(f(2, 3), "nuc"))
same("jvp", Case(lambda x: x * x, (f(3),), (f(3),), flags="S"))
same("logsumexp", Case(f(2, 3), axis=1))
same("cdist", Case(f(2, 3), f(4, 3)))
same("top_k", Case(f(2, 4), 2))
same("in_top_k", Case(i(2, high=4), f(2, 4), 2))
same("segment_sum segment_max segment_min", Case(f(4, 2), np.array([0, 1, 1, 0]), 2))
same("segment_prod", Case(f(4, 2), np.array([0, 1, 1, 0]), 2, flags="G"))
same("view_as_complex", Case(f(3, 2)))
same("view_as_real", Case(f(3).astype("complex64"), flags="G"))
same("fft fft2 ifft2", Case((f(3, 4), f(3, 4))))
same("rfft", Case(f(3, 8)), Case(f(3, 8), 6))
same("irfft", Case((f(3, 5), f(3, 5))), Case((f(3, 5), f(3, 5)), 6))
same("extract_sequences", Case(f(2, 9), 4, 2))
same("stft", Case(f(2, 16), 6, 2, 8), Case(f(2, 16), 6, 2, 8, window=None, center=False))
same("istft", Case((f(2, 7, 5), f(2, 7, 5)), 8, 2, 8), Case((f(2, 7, 5), f(2, 7, 5)), 8, 2, 8, length=10))

same("image.resize", Case(IMAGE, (4, 7)), Case(IMAGE, (3, 9), interpolation="bicubic", antialias=True),
     Case(i(1, 4, 4, 1, high=255).astype("uint8"), (7, 7)), Case(IMAGE, (3, 3), crop_to_aspect_ratio=True))
same("image.scale_and_translate",
     Case(IMAGE, (2, 4, 4, 2), np.float32([0.7, 0.8]), np.float32([0, 1]), (1, 2), "linear"))
same("image.affine_transform", Case(IMAGE[:1], np.float32([1, 0.2, -1, 0.1, 1, 0.5, 0, 0]), fill_mode="reflect"))
same("image.perspective_transform",
     Case(IMAGE[0], np.float32([[0, 0], [0, 3], [2, 0], [2, 3]]), np.float32([[0, 1], [0, 3], [2, 0], [2, 2]])))
same("image.map_coordinates", Case(f(3, 4), unit(2, 5), 1, "nearest"))
# Keras blurs along the width only and mixes the channels; it bends along the diagonal only.
same("image.gaussian_blur", Case(IMAGE, flags="K"))
same("image.elastic_transform", Case(IMAGE, seed=3, flags="K"))
same("image.rgb_to_grayscale image.rgb_to_hsv image.hsv_to_rgb", Case(RGB))
same("image.pad_images", Case(IMAGE, 1, 1, target_height=9, target_width=8))
same("image.crop_images", Case(IMAGE, 1, 1, target_height=3, target_width=2))
same("image.extract_patches", Case(IMAGE, 2), Case(IMAGE, 2, 1, 2, "same"))
same("image.extract_patches_3d", Case(f(1, 4, 4, 4, 2), 2))
same("image.sobel_edges", Case(IMAGE))
same("image.ssim", Case(unit(2, 12, 12, 3), unit(2, 12, 12, 3)))


def find(name, library=ops):
    for part in name.split("."):
        library = getattr(library, part)
    return library


def names(library=ops) -> set:
    """The public operations: functions, and those of `image`, which have no other place."""
    plain = {n for n in dir(library) if callable(getattr(library, n)) and not n.startswith("_")}
    return plain | {f"image.{n}" for n in library.image.__all__}


assert cornu.ops is ops
