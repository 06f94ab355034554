"""Operations by name: one name for all spellings, and what each kind does to a signal."""

from __future__ import annotations

from typing import Any

# Hold weights over a whole input: between two of them is where activations belong.
LAYERS = {
    "linear", "bilinear", "embedding", "embedding_bag", "conv1d", "conv2d", "conv3d",
    "conv_transpose1d", "conv_transpose2d", "conv_transpose3d", "multi_head_attention_forward",
    "lstm", "gru", "rnn_tanh", "rnn_relu", "lstm_cell", "gru_cell", "rnn_tanh_cell",
    "rnn_relu_cell",
}  # fmt: skip
# Layers where one of their operands is a parameter.
PRODUCTS = {"matmul", "mm", "bmm", "addmm", "baddbmm", "einsum", "tensordot", "mv"}
# Only move or copy elements, or act as the identity once trained.
MOVING = {
    "view", "reshape", "flatten", "unflatten", "permute", "transpose", "swapaxes", "contiguous",
    "squeeze", "unsqueeze", "expand", "expand_as", "repeat", "tile", "broadcast_to", "chunk",
    "split", "getitem", "unbind", "narrow", "select", "to", "type", "type_as", "float", "half",
    "bfloat16", "double", "clone", "detach", "dropout", "dropout1d", "dropout2d", "dropout3d",
    "feature_dropout", "alpha_dropout", "interpolate", "upsample", "identity", "t", "movedim",
    "rearrange", "size", "getattr", "stochastic_depth", "droppath",
}  # fmt: skip
# With a number or a parameter: the same signal, scaled and shifted.
AFFINE = {"add", "sub", "mul", "div", "neg", "rsub"}
# Normalise, as functions and as torch's modules.
NORMS = {
    "batch_norm", "layer_norm", "group_norm", "instance_norm", "rms_norm", "batchnorm1d",
    "batchnorm2d", "batchnorm3d", "layernorm", "groupnorm", "instancenorm1d", "instancenorm2d",
    "instancenorm3d", "rmsnorm", "syncbatchnorm", "normalize",
}  # fmt: skip
# The steps of an activation that is written out by hand.
FORMULA_STEPS = AFFINE | {
    "pow", "square", "sqrt", "exp", "log", "log1p", "tanh", "softplus", "sigmoid", "erf", "relu6",
}  # fmt: skip
# Their channels are the second dimension, not the last.
CHANNELS_SECOND = (
    "conv", "batch_norm", "instance_norm", "group_norm", "batchnorm", "instancenorm", "groupnorm",
)  # fmt: skip

_SAME = {
    "rmul": "mul", "imul": "mul", "multiply": "mul", "radd": "add", "iadd": "add", "rsub": "sub",
    "isub": "sub", "subtract": "sub", "truediv": "div", "rtruediv": "div", "itruediv": "div",
    "divide": "div", "get": "view", "concat": "cat", "concatenate": "cat", "rmatmul": "matmul",
}  # fmt: skip


def operation_name(function: Any) -> str:
    """Return one name for all spellings: ``mul`` for ``*``, ``*=`` and ``torch.multiply``."""
    if not isinstance(function, str):
        function = getattr(function, "__name__", type(function).__name__)
    name: str = function.strip("_")
    return _SAME.get(name, name)
