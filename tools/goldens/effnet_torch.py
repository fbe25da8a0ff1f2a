"""EfficientNet-Lite in plain torch, built from a checkpoint's tensor names.

The reference for core/model/efficientnet.c: used to write its golden file and
to export the network for peers. Not used by Osprey itself.
"""
import torch
import torch.nn.functional as F
from safetensors.torch import load_file

EPS = 1e-3
STAGE_STRIDES = (1, 2, 2, 2, 1, 2, 1)


def same_conv(x, w, stride, groups):
    """A convolution with TensorFlow's SAME padding: the odd pixel goes right and
    below. Padding is left to the convolution where both sides get the same, so
    that an exported graph is one that its runtime can optimise."""
    kernel = w.shape[2]
    size = int(x.shape[2])  # square; a constant in an exported graph
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    before, after = total // 2, total - total // 2
    if before != after:
        x = F.pad(x, (before, after, before, after))
        before = 0
    return F.conv2d(x, w, None, stride, before, 1, groups)


class EffNet(torch.nn.Module):
    def __init__(self, path, prefix="vision_model."):
        super().__init__()
        self.t = {k[len(prefix):]: v for k, v in load_file(path).items() if k.startswith(prefix)}
        self.blocks = 1 + max(int(k.split(".")[1]) for k in self.t if k.startswith("_blocks."))
        self.tap = None

    def see(self, name, x):
        if self.tap:
            self.tap(name, x)

    def norm(self, x, name):
        t = self.t
        return F.batch_norm(x, t[name + ".running_mean"], t[name + ".running_var"],
                            t[name + ".weight"], t[name + ".bias"], False, 0.0, EPS)

    def conv(self, x, name, stride=1, groups=1):
        return same_conv(x, self.t[name + ".weight"], stride, groups)

    def block(self, x, i, stride):
        b, start = f"_blocks.{i}.", x
        if b + "_expand_conv.weight" in self.t:
            x = F.relu6(self.norm(self.conv(x, b + "_expand_conv"), b + "_bn0"))
        x = F.relu6(self.norm(self.conv(x, b + "_depthwise_conv", stride, x.shape[1]), b + "_bn1"))
        x = self.norm(self.conv(x, b + "_project_conv"), b + "_bn2")
        return x + start if stride == 1 and int(x.shape[1]) == int(start.shape[1]) else x

    def forward(self, x):
        x = F.relu6(self.norm(self.conv(x, "_conv_stem", 2), "_bn0"))
        self.see("stem", x)
        stage, width = -1, 0
        for i in range(self.blocks):
            out = self.t[f"_blocks.{i}._project_conv.weight"].shape[0]
            first = out != width
            stage, width = stage + first, out
            x = self.block(x, i, STAGE_STRIDES[stage] if first else 1)
            self.see(f"block{i}", x)
        x = F.relu6(self.norm(self.conv(x, "_conv_head"), "_bn1"))
        self.see("head", x)
        x = x.mean((2, 3))
        self.see("pooled", x)
        x = F.linear(x, self.t["_fc.weight"], self.t["_fc.bias"])
        self.see("logits", x)
        return x
