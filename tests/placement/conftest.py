"""The models that discovery and replacement are held to, each small, with random weights."""

import os
from dataclasses import dataclass
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import pytest
import torch
import torch.nn.functional as F
from torch import nn


@dataclass
class Case:
    """A model, an input of it, and what is known of it by reading its code.

    Args:
        gates: whether its only nonlinearities are gates, so that the main path has none.
        swap: what to put everywhere to see a change: silu, but where silu stands already.
    """

    model: nn.Module
    example: Any
    method: str
    gates: bool = False
    swap: str = "silu"

    def run(self, model=None):
        model = self.model if model is None else model
        if isinstance(self.example, dict):
            result = model(**self.example)
        else:
            result = (
                model(*self.example) if isinstance(self.example, tuple) else model(self.example)
            )
        return flat(result)


def flat(result):
    if isinstance(result, torch.Tensor):
        return result
    parts = result.values() if isinstance(result, dict) else result
    return torch.cat([part.flatten() for part in parts if isinstance(part, torch.Tensor)])


def transformer():
    model = nn.Transformer(16, 2, 2, 2, 32, batch_first=True)
    return Case(model, (torch.randn(2, 5, 16), torch.randn(2, 4, 16)), "function mode")


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.attention = nn.MultiheadAttention(16, 2, batch_first=True)
        self.mlp = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 16))

    def forward(self, x):
        x = x + self.attention(x, x, x, need_weights=False)[0]
        return x + self.mlp(x)


def multihead_attention():
    return Case(Attention(), torch.randn(2, 5, 16), "fx")


def bert():
    from transformers import BertConfig, BertModel

    config = BertConfig(
        vocab_size=50,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=16,
    )
    return Case(BertModel(config), {"input_ids": torch.randint(0, 50, (2, 6))}, "function mode")


def llama():
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=50,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=16,
        hidden_act="gelu",
        use_cache=False,
    )
    return Case(
        LlamaForCausalLM(config),
        {"input_ids": torch.randint(0, 50, (2, 6))},
        "function mode",
        gates=True,
    )


def vit():
    from transformers import ViTConfig, ViTForImageClassification

    config = ViTConfig(
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        image_size=16,
        patch_size=8,
    )
    return Case(
        ViTForImageClassification(config),
        {"pixel_values": torch.randn(2, 3, 16, 16)},
        "function mode",
    )


def unet():
    from monai.networks.nets import UNet

    model = UNet(
        spatial_dims=2,
        in_channels=1,
        out_channels=2,
        channels=(4, 8, 16),
        strides=(2, 2),
        num_res_units=1,
    )
    return Case(model, torch.randn(2, 1, 16, 16), "fx")


def se_resnet():
    from monai.networks.nets import SENet

    model = SENet(
        spatial_dims=2,
        in_channels=1,
        block="se_resnet_bottleneck",
        layers=(1, 1, 1, 1),
        groups=1,
        reduction=16,
        inplanes=64,
        downsample_kernel_size=1,
        input_3x3=False,
        num_classes=3,
    )
    return Case(model, torch.randn(1, 1, 32, 32), "fx")


def densenet():
    from monai.networks.nets import DenseNet

    model = DenseNet(
        spatial_dims=2,
        in_channels=1,
        out_channels=3,
        init_features=8,
        growth_rate=4,
        block_config=(2, 2),
        bn_size=2,
    )
    return Case(model, torch.randn(2, 1, 32, 32), "fx")


def efficientnet():
    from monai.networks.nets import EfficientNet

    blocks = ["r1_k3_s11_e1_i32_o16_se0.25", "r2_k3_s22_e6_i16_o24_se0.25"]
    model = EfficientNet(
        blocks,
        width_coefficient=0.25,
        depth_coefficient=1.0,
        image_size=32,
        in_channels=1,
        num_classes=3,
    )
    return Case(model, torch.randn(2, 1, 32, 32), "fx", swap="mish")


def swin_unetr():
    from monai.networks.nets import SwinUNETR

    model = SwinUNETR(
        in_channels=1,
        out_channels=2,
        feature_size=12,
        spatial_dims=2,
        depths=(1, 1, 1, 1),
        num_heads=(1, 1, 1, 1),
        window_size=2,
    )
    return Case(model, torch.randn(1, 1, 64, 64), "function mode")


class Convolution(nn.Module):
    def __init__(self, width_in, width, size=1):
        super().__init__()
        self.conv = nn.Conv2d(width_in, width, size, padding=size // 2, bias=False)
        self.bn = nn.BatchNorm2d(width)

    def forward(self, x):
        return F.relu(self.bn(self.conv(x)), inplace=True)


class InceptionBlock(nn.Module):
    def __init__(self, width_in):
        super().__init__()
        self.branch1 = Convolution(width_in, 4)
        self.branch3 = nn.Sequential(Convolution(width_in, 3), Convolution(3, 4, 3))
        self.pool = Convolution(width_in, 4)

    def forward(self, x):
        return torch.cat([self.branch1(x), self.branch3(x), self.pool(F.max_pool2d(x, 3, 1, 1))], 1)


class Inception(nn.Module):
    """Every activation a functional call; an auxiliary head that runs in training only."""

    def __init__(self):
        super().__init__()
        self.stem = Convolution(3, 8, 3)
        self.inception3a = InceptionBlock(8)
        self.inception3b = InceptionBlock(12)
        self.aux = nn.Linear(12, 8)
        self.fc1, self.fc2 = nn.Linear(12, 8), nn.Linear(8, 3)

    def forward(self, x):
        x = self.inception3b(self.inception3a(self.stem(x))).mean((2, 3))
        if self.training:
            return self.fc2(torch.tanh(self.aux(x)))
        return self.fc2(torch.relu(self.fc1(x)))


class SqueezeExcitation(nn.Module):
    def __init__(self, width, squeezed):
        super().__init__()
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc1, self.fc2 = nn.Conv2d(width, squeezed, 1), nn.Conv2d(squeezed, width, 1)
        self.activation, self.scale_activation = nn.ReLU(), nn.Hardsigmoid()

    def forward(self, x):
        scale = self.activation(self.fc1(self.avgpool(x)))
        return self.scale_activation(self.fc2(scale)) * x


class InvertedResidual(nn.Module):
    def __init__(self, width, expanded):
        super().__init__()
        self.block = nn.Sequential(
            nn.Conv2d(width, expanded, 1),
            nn.BatchNorm2d(expanded),
            nn.Hardswish(inplace=True),
            nn.Conv2d(expanded, expanded, 3, padding=1, groups=expanded),
            nn.BatchNorm2d(expanded),
            nn.Hardswish(inplace=True),
            SqueezeExcitation(expanded, 4),
            nn.Conv2d(expanded, width, 1),
        )

    def forward(self, x):
        return x + self.block(x)


def inception():
    return Case(Inception(), torch.randn(2, 3, 12, 12), "fx")


def mobilenet_v3():
    features = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.Hardswish(), InvertedResidual(8, 16), InvertedResidual(8, 16)
    )
    head = nn.Sequential(
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 16), nn.Hardswish(), nn.Linear(16, 3)
    )
    return Case(nn.Sequential(features, head), torch.randn(2, 3, 12, 12), "fx")


class FunctionalDenseNet(nn.Module):
    """Modules everywhere but for one functional call at the end, as in torchvision's."""

    def __init__(self):
        super().__init__()
        self.conv0 = nn.Conv2d(1, 4, 3, padding=1)
        for number in (1, 2):
            width = 4 * number
            layer = nn.Sequential(
                nn.BatchNorm2d(width), nn.ReLU(inplace=True), nn.Conv2d(width, 4, 3, padding=1)
            )
            self.add_module(f"denselayer{number}", layer)
        self.norm5, self.classifier = nn.BatchNorm2d(12), nn.Linear(12, 3)

    def forward(self, x):
        x = self.conv0(x)
        for layer in (self.denselayer1, self.denselayer2):
            x = torch.cat([x, layer(x)], 1)
        return self.classifier(F.relu(self.norm5(x), inplace=True).mean((2, 3)))


def functional_densenet():
    return Case(FunctionalDenseNet(), torch.randn(2, 1, 10, 10), "fx")


class Recurrent(nn.Module):
    """One cell over time: the loop is one site however long the sequence."""

    def __init__(self):
        super().__init__()
        self.cell_in, self.cell_state, self.head = nn.Linear(3, 8), nn.Linear(8, 8), nn.Linear(8, 2)

    def forward(self, x):
        state = x.new_zeros(x.shape[0], 8)
        for step in x.unbind(1):
            state = torch.tanh(self.cell_in(step) + self.cell_state(state))
        return self.head(state)


def recurrent():
    return Case(Recurrent(), torch.randn(2, 6, 3), "function mode")


class SharedReLU(nn.Module):
    """One instance, called three times by its owner and once in a sequence that holds it too."""

    def __init__(self):
        super().__init__()
        self.relu = nn.ReLU(inplace=True)
        self.layers = nn.ModuleList(nn.Linear(8, 8) for _ in range(3))
        self.head = nn.Sequential(nn.Linear(8, 8), self.relu, nn.Linear(8, 2))

    def forward(self, x):
        for layer in self.layers:
            x = self.relu(layer(x))
        return self.head(x)


def shared_relu():
    return Case(SharedReLU(), torch.randn(4, 8), "fx")


class ControlFlow(nn.Module):
    """Which calls run depends on the data, so torch.fx cannot trace it."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.c = nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 2)
        self.act = F.relu
        self.norm = nn.LayerNorm(8)

    def forward(self, x):
        x = self.act(self.a(x))
        x = x + self.b(x).relu_() if x.sum() > 0 else x - F.elu(self.b(x))
        return self.c(F.gelu(self.norm(x), approximate="tanh"))


def control_flow():
    return Case(ControlFlow(), torch.randn(4, 8), "function mode")


BUILDERS = {
    builder.__name__: builder
    for builder in (
        transformer,
        multihead_attention,
        bert,
        llama,
        vit,
        unet,
        se_resnet,
        densenet,
        efficientnet,
        swin_unetr,
        inception,
        mobilenet_v3,
        functional_densenet,
        recurrent,
        shared_relu,
        control_flow,
    )
}


@pytest.fixture(params=list(BUILDERS))
def case(request):
    """Every model in turn, in evaluation mode."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    built = BUILDERS[request.param]()
    built.model.eval()
    return built
