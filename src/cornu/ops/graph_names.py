"""How Keras names the operations that stand in a graph: the module and the class, and which arguments are its settings.

In a functional model's config an operation is an object: its settings are the object's config, the other arguments
those of the call. So `mean(x, axis=0)` is `keras.src.ops.numpy` > `Mean`, config `{"axis": 0, "keepdims": False}`,
called on x. The rows were found by asking Keras for the configs of such calls.
"""

from typing import Callable

from cornu.ops import control, core, image, linalg, math, nn, numpy, rearrange

# Module -> settings -> operations.
_SETTINGS = {
    "numpy": {
        "":
            "abs absolute add angle arccos arccosh arcsin arcsinh arctan arctan2 arctanh bitwise_and "
            "bitwise_invert bitwise_left_shift bitwise_not bitwise_or bitwise_right_shift bitwise_xor cbrt ceil "
            "conj conjugate copy corrcoef cos cosh deg2rad digitize divide divide_no_nan dot dstack equal exp "
            "exp2 expm1 fabs fliplr flipud floor floor_divide fmax fmin fmod gcd get_item greater greater_equal "
            "heaviside hstack hypot i0 imag inner isfinite isinf isnan isneginf isposinf isreal kron lcm ldexp "
            "left_shift less less_equal log log10 log1p log2 logaddexp logaddexp2 logical_and logical_not "
            "logical_or logical_xor matmul maximum minimum mod multiply ndim negative nextafter nonzero not_equal "
            "outer power rad2deg ravel real reciprocal right_shift select sign signbit sin sinc sinh size slogdet "
            "sqrt square subtract tan tanh true_divide trunc vdot vstack where",
        "axis keepdims":
            "all amax amin any argmax argmin mean median nanargmax nanargmin nanmax nanmean nanmedian nanmin "
            "nanprod nanstd nansum nanvar ptp std sum var",
        "axis":
            "append argsort average concatenate count_nonzero expand_dims flip sort squeeze stack take "
            "take_along_axis",
        "dtype": "array empty_like full_like ones_like view zeros_like",
        "axis dtype": "cumprod cumsum nancumprod nancumsum",
        "axis method keepdims": "nanpercentile nanquantile percentile quantile",
        "k": "diag diagflat tril triu",
        "indices_or_sections": "dsplit hsplit vsplit",
        "axes": "tensordot transpose",
        "axis keepdims initial": "max min",
        "indices_or_sections axis": "array_split split",
        "offset axis1 axis2": "diagonal trace",
        "shape": "broadcast_to unravel_index",
        "N increasing": "vander",
        "assume_unique invert": "isin",
        "axis keepdims dtype": "prod",
        "axis1 axis2": "swapaxes",
        "axisa axisb axisc axis": "cross",
        "bins range": "histogram",
        "decimals": "round",
        "equal_nan": "isclose",
        "indexing": "meshgrid",
        "k axes": "rot90",
        "kth axis": "argpartition",
        "mode": "correlate",
        "n axis": "diff",
        "nan posinf neginf": "nan_to_num",
        "newshape": "reshape",
        "num endpoint base dtype axis": "logspace",
        "num endpoint dtype axis": "geomspace",
        "num endpoint retstep dtype axis": "linspace",
        "pad_width mode": "pad",
        "repeats": "tile",
        "repeats axis": "repeat",
        "rtol atol equal_nan": "allclose",
        "shift axis": "roll",
        "side": "searchsorted",
        "sorted return_index return_inverse return_counts axis size fill_value": "unique",
        "source destination": "moveaxis",
        "subscripts": "einsum",
        "weights minlength sparse": "bincount",
        "x dx axis": "trapezoid",
        "x_min x_max": "clip",
    },
    "math": {
        "": "cdist erf erfc erfinv fft fft2 ifft2 logdet rsqrt view_as_complex view_as_real",
        "num_segments sorted": "segment_max segment_min segment_prod segment_sum",
        "fft_length": "irfft rfft",
        "axis keepdims": "logsumexp",
        "k": "in_top_k",
        "k sorted": "top_k",
        "sequence_length sequence_stride": "extract_sequences",
        "sequence_length sequence_stride fft_length length window center": "istft",
        "sequence_length sequence_stride fft_length window center": "stft",
    },
    "nn": {
        "":
            "hard_sigmoid hard_silu hard_swish hard_tanh log_sigmoid polar relu relu6 selu sigmoid silu softplus "
            "softsign sparse_plus sparse_sigmoid swish tanh_shrink",
        "axis": "glu log_softmax softmax sparsemax",
        "strides padding data_format dilation_rate": "conv depthwise_conv separable_conv",
        "alpha": "celu elu",
        "axis epsilon": "batch_normalization rms_normalization",
        "block_size data_format": "depth_to_space space_to_depth",
        "from_logits axis": "categorical_crossentropy sparse_categorical_crossentropy",
        "num_classes axis dtype sparse": "multi_hot one_hot",
        "output_size data_format": "adaptive_average_pool adaptive_max_pool",
        "pool_size strides padding data_format": "average_pool max_pool",
        "threshold": "hard_shrink soft_shrink",
        "approximate": "gelu",
        "axes keepdims synchronized": "moments",
        "axis epsilon rms_scaling": "layer_normalization",
        "axis order epsilon": "normalize",
        "b": "squareplus",
        "from_logits": "binary_crossentropy",
        "is_causal flash_attention attn_logits_soft_cap": "dot_product_attention",
        "kernel_size dilation padding stride": "unfold",
        "mask_index": "ctc_loss",
        "max_val": "psnr",
        "negative_slope": "leaky_relu",
        "output_size kernel_size dilation padding stride": "fold",
        "strategy beam_width top_paths merge_repeated mask_index": "ctc_decode",
        "strides padding output_padding data_format dilation_rate": "conv_transpose",
        "threshold default_value": "threshold",
    },
    "core": {
        "": "map slice_update stop_gradient switch",
        "dtype": "cast saturate_cast",
        "shape": "scatter slice",
        "dtype sparse ragged": "convert_to_tensor",
        "function": "vectorized_map",
        "length reverse unroll": "scan",
        "num axis": "unstack",
        "reduction": "scatter_update",
        "reverse axis": "associative_scan",
    },
    "einops": {
        "": "rearrange",
    },
    "linalg": {
        "": "det eig eigh inv lu_factor solve",
        "rcond": "lstsq pinv",
        "upper": "cholesky cholesky_inverse",
        "full_matrices compute_uv": "svd",
        "has_aux": "jvp",
        "lower": "solve_triangular",
        "mode": "qr",
        "ord axis keepdims": "norm",
        "tol": "matrix_rank",
    },
    "image": {
        "data_format": "hsv_to_rgb rgb_to_grayscale rgb_to_hsv sobel_edges",
        "size strides dilation_rate padding data_format": "extract_patches extract_patches_3d",
        "alpha sigma interpolation fill_mode fill_value seed data_format": "elastic_transform",
        "interpolation fill_mode fill_value data_format": "affine_transform",
        "interpolation fill_value data_format": "perspective_transform",
        "kernel_size sigma data_format": "gaussian_blur",
        "max_val filter_size filter_sigma k1 k2 data_format": "ssim",
        "order fill_mode fill_value": "map_coordinates",
        "size interpolation antialias crop_to_aspect_ratio pad_to_aspect_ratio fill_mode fill_value data_format":
            "resize",
        "spatial_dims method antialias": "scale_and_translate",
        "top_cropping left_cropping bottom_cropping right_cropping target_height target_width data_format":
            "crop_images",
        "top_padding left_padding bottom_padding right_padding target_height target_width data_format": "pad_images",
    },
}

# The classes whose name is not the operation's in capitals.
_CLASSES = {
    "abs": "Absolute", "allclose": "AllClose", "batch_normalization": "BatchNorm", "cdist": "CDist", "conj":
    "Conjugate", "ctc_decode": "CTCDecode", "ctc_loss": "CTCLoss", "extract_patches_3d": "ExtractPatches", "fft":
    "FFT", "fft2": "FFT2", "hard_swish": "HardSilu", "hsv_to_rgb": "HSVToRGB", "ifft2": "IFFT2", "irfft": "IRFFT",
    "isin": "IsIn", "istft": "ISTFT", "jvp": "JVP", "layer_normalization": "LayerNorm", "psnr": "PSNR", "rfft":
    "RFFT", "rgb_to_grayscale": "RGBToGrayscale", "rgb_to_hsv": "RGBToHSV", "rms_normalization": "RMSNorm",
    "searchsorted": "SearchSorted", "ssim": "SSIM", "stft": "STFT", "svd": "SVD", "swish": "Silu",
}


def _class_name(name: str) -> str:
    return _CLASSES.get(name) or "".join(part.capitalize() for part in name.split("_"))


# The name of an operation -> (module, class name, settings).
TABLE = {name: (f"keras.src.ops.{module}", _class_name(name), settings.split())
         for module, groups in _SETTINGS.items() for settings, names in groups.items() for name in names.split()}


def function(name: str) -> Callable | None:
    """The operation of a name, those on images included; None if there is none."""
    for module in (numpy, nn, core, math, linalg, image, control, rearrange):
        if hasattr(module, name):
            return getattr(module, name)
    return None


for _name, (_, _class, _settings) in TABLE.items():
    function(_name).graph_name = _class  # a node is called by it: layer_norm, layer_norm_1 ...
