"""Boxes round things in images: formats, overlaps, and what happens to boxes when their image is changed."""

from cornu.ops.boxes import (
    affine_transform, clip_to_image_size, compute_ciou, compute_iou, convert_format, crop, decode_deltas_to_boxes,
    encode_box_to_deltas, pad)
