"""What the private names under `keras.src` mean here: one table, to which names may be added.

Programs and packages import some of Keras's private names. A module of `keras.src` that is listed
in MODULES can be imported; a name in it is looked up

1. in NAMES, which says for a name of one module what it is here ("cornu.names.auto_name");
2. in the modules of PLACES for the longest beginning of its path, in that order;
3. in the public module of its area: `keras.src.layers.core.dense.Dense` in cornu.layers;
4. in all public modules.

What has no public counterpart belongs into NAMES only where cornu really has the thing.
"""

# Module -> (name -> where it is). "*" stands for any module of keras.src.
NAMES = {
    "*": {
        "keras_export": "cornu.doors.private_helpers.keras_export",
        "in_grain_data_pipeline": "cornu.doors.private_helpers.in_grain_data_pipeline",
        "any_symbolic_tensors": "cornu.symbolic.any_symbolic",
        "no_automatic_dependency_tracking":
            "cornu.doors.private_helpers.no_automatic_dependency_tracking",
        "auto_name": "cornu.names.auto_name",
        "to_snake_case": "cornu.names.to_snake_case",
        "call_context": "cornu.context.current",
        "standardize_dtype": "cornu.backend.standardize_dtype",
        "standardize_data_format": "cornu.config.standardize_data_format",
        "standardize_shape": "cornu.variable.standardize_shape",
        "KerasVariable": "cornu.Variable",
        "get_keras_mask": "cornu.doors.private_helpers.get_keras_mask",
        "set_keras_mask": "cornu.doors.private_helpers.set_keras_mask",
        "KerasTensor": "cornu.KerasTensor",
    },
    "trainers.data_adapters.data_adapter_utils": {
        "class_weight_to_sample_weights": "cornu.data.class_weights_for",
    },
}

# Where the names of a module and of those below it are looked up first.
PLACES = {
    "": ["cornu"],
    "backend": ["cornu.ops", "cornu.backend", "cornu.random", "cornu"],
    "backend.jax.image": ["cornu.ops.image", "cornu.ops"],
    "backend.jax.linalg": ["cornu.ops.linalg", "cornu.ops"],
    "backend.jax.nn": ["cornu.ops.nn", "cornu.ops"],
    "backend.jax.numpy": ["cornu.ops.numpy", "cornu.ops"],
    "backend.jax.random": ["cornu.random"],
    "backend.config": ["cornu.config"],
    "distribution": ["cornu.doors.distribution"],
    "legacy.backend": ["cornu.backend"],
    "legacy.layers": ["cornu.layers"],
    "legacy.losses": ["cornu.losses"],
    "legacy.preprocessing.image": ["cornu.preprocessing.image"],
    "legacy.preprocessing.sequence": ["cornu.preprocessing.sequence"],
    "legacy.preprocessing.text": ["cornu.preprocessing.text"],
    "legacy.saving.serialization": ["cornu.legacy.saving"],
    "models": ["cornu.models", "cornu"],
    "optimizers.schedules": ["cornu.optimizers.schedules"],
    "saving": ["cornu.saving", "cornu.models"],
    "trainers": ["cornu.utils", "cornu"],
    "utils": ["cornu.utils", "cornu.config"],
}

# The public modules, in the order in which a name is looked for where nothing else is said.
PUBLIC = ("", "layers", "models", "ops", "utils", "saving", "callbacks", "losses", "metrics",
          "optimizers", "initializers", "regularizers", "constraints", "activations", "random",
          "backend", "config", "dtype_policies", "tree", "datasets", "optimizers.schedules")

# Parts of `keras.src.backend` that are modules of the engine: each is looked up in PLACES of that.
ENGINE = ("core", "image", "linalg", "math", "nn", "numpy", "random", "rnn", "sparse",
          "distribution_lib", "tensorboard", "trainer", "layer")

# Package -> the modules in it.
MODULES = {
    "":
        "activations api_export backend callbacks constraints datasets distribution dtype_policies "
        "initializers layers legacy losses metrics models ops optimizers random regularizers "
        "saving trainers tree utils version",
    "activations": "activations",
    "backend": "common config jax",
    "backend.common":
        "backend_utils dtypes global_state keras_tensor masking name_scope remat "
        "stateless_scope symbolic_scope tensor_attributes variables",
    "backend.jax":
        "core distribution_lib export image layer linalg math nn numpy optimizer random rnn "
        "sparse tensorboard trainer",
    "callbacks":
        "backup_and_restore callback callback_list csv_logger early_stopping history "
        "lambda_callback learning_rate_scheduler model_checkpoint monitor_callback "
        "orbax_checkpoint progbar_logger reduce_lr_on_plateau remote_monitor swap_ema_weights "
        "tensorboard terminate_on_nan",
    "constraints": "constraints",
    "datasets":
        "boston_housing california_housing cifar cifar10 cifar100 fashion_mnist imdb mnist "
        "npz_utils reuters",
    "distribution": "distribution_lib",
    "dtype_policies": "dtype_policy dtype_policy_map",
    "initializers": "constant_initializers initializer random_initializers",
    "layers":
        "activations attention convolutional core input_spec layer merging normalization "
        "pooling preprocessing regularization reshaping rnn",
    "layers.activations": "activation elu leaky_relu prelu relu softmax",
    "layers.attention": "additive_attention attention grouped_query_attention multi_head_attention",
    "layers.convolutional":
        "base_conv base_conv_transpose base_depthwise_conv base_separable_conv conv1d "
        "conv1d_transpose conv2d conv2d_transpose conv3d conv3d_transpose depthwise_conv1d "
        "depthwise_conv2d separable_conv1d separable_conv2d",
    "layers.core":
        "dense einsum_dense embedding identity input_layer lambda_layer masking "
        "reversible_embedding wrapper",
    "layers.merging": "add average base_merge concatenate dot maximum minimum multiply subtract",
    "layers.normalization":
        "batch_normalization group_normalization layer_normalization rms_normalization "
        "spectral_normalization unit_normalization",
    "layers.pooling":
        "adaptive_average_pooling1d adaptive_average_pooling2d adaptive_average_pooling3d "
        "adaptive_max_pooling1d adaptive_max_pooling2d adaptive_max_pooling3d "
        "average_pooling1d average_pooling2d average_pooling3d base_adaptive_pooling "
        "base_global_pooling base_pooling global_average_pooling1d global_average_pooling2d "
        "global_average_pooling3d global_max_pooling1d global_max_pooling2d "
        "global_max_pooling3d max_pooling1d max_pooling2d max_pooling3d",
    "layers.preprocessing":
        "category_encoding data_layer discretization feature_space hashed_crossing hashing "
        "image_preprocessing index_lookup integer_lookup mel_spectrogram normalization "
        "pipeline rescaling stft_spectrogram string_lookup text_vectorization",
    "layers.preprocessing.image_preprocessing":
        "aug_mix auto_contrast base_image_preprocessing_layer bounding_boxes center_crop "
        "clahe cut_mix equalization max_num_bounding_box mix_up rand_augment "
        "random_brightness random_color_degeneration random_color_jitter random_contrast "
        "random_crop random_elastic_transform random_erasing random_flip random_gaussian_blur "
        "random_grayscale random_hue random_invert random_perspective random_posterization "
        "random_rotation random_saturation random_sharpness random_shear random_translation "
        "random_zoom resizing solarization",
    "layers.preprocessing.image_preprocessing.bounding_boxes":
        "bounding_box converters formats iou validation",
    "layers.regularization":
        "activity_regularization alpha_dropout dropout gaussian_dropout gaussian_noise "
        "spatial_dropout",
    "layers.reshaping":
        "cropping1d cropping2d cropping3d flatten permute repeat_vector reshape up_sampling1d "
        "up_sampling2d up_sampling3d zero_padding1d zero_padding2d zero_padding3d",
    "layers.rnn":
        "bidirectional conv_lstm conv_lstm1d conv_lstm2d conv_lstm3d dropout_rnn_cell gru "
        "lstm rnn simple_rnn stacked_rnn_cells time_distributed",
    "legacy": "backend layers losses preprocessing saving",
    "legacy.preprocessing": "image sequence text",
    "legacy.saving": "json_utils legacy_h5_format saving_options saving_utils serialization",
    "losses": "loss losses",
    "metrics":
        "accuracy_metrics confusion_metrics correlation_metrics f_score_metrics hinge_metrics "
        "iou_metrics metric metrics_utils probabilistic_metrics reduction_metrics "
        "regression_metrics",
    "models": "cloning functional model sequential variable_mapping",
    "ops":
        "core einops function image linalg math nn node numpy operation operation_utils "
        "symbolic_arguments",
    "optimizers":
        "adadelta adafactor adagrad adam adamax adamw base_optimizer ftrl lamb lion "
        "loss_scale_optimizer multi_optimizer muon nadam optimizer rmsprop "
        "schedule_free_adamw schedules sgd",
    "optimizers.schedules": "learning_rate_schedule",
    "random": "random seed_generator",
    "regularizers": "regularizers",
    "saving":
        "file_editor keras_saveable object_registration orbax_util saving_api saving_lib "
        "serialization_lib",
    "trainers": "compile_utils data_adapters epoch_iterator trainer",
    "trainers.data_adapters":
        "array_data_adapter array_slicing data_adapter data_adapter_utils "
        "generator_data_adapter grain_dataset_adapter py_dataset_adapter tf_dataset_adapter "
        "torch_data_loader_adapter",
    "tree": "dmtree_impl optree_impl torchtree_impl tree_api",
    "utils":
        "argument_validation audio_dataset_utils backend_utils code_stats config "
        "dataset_utils dtype_utils file_utils grain_utils image_dataset_utils image_utils "
        "io_utils jax_layer jax_utils model_visualization module_utils naming numerical_utils "
        "progbar python_utils rng_utils sequence_utils summary_utils text_dataset_utils "
        "tf_utils timeseries_dataset_utils torch_utils traceback_utils tracking",}
