"""The whole method in plain PyTorch: a second, independent implementation to compare with.

It follows the method's text step by step on one kind of network, an EDSR for x2 with two residual
blocks, and shares no code with the package. Everything is written for reading, nothing for speed:
loops over candidates, images and layers, autograd for every gradient, Adam by hand.
"""

import math
from dataclasses import dataclass, field

import torch
from torch.nn import functional as F

BODY = ("body.0.conv1", "body.0.conv2", "body.1.conv1", "body.1.conv2")
LAYERS = ("conv_first", *BODY, "conv_after_body", "upsample.0", "conv_last")
MEAN = (0.4488, 0.4371, 0.4040)


@dataclass
class Settings:
    """Bits, what is quantized, which modules are on; learning rates are the released ones."""

    weight_bits: int = 4
    activation_bits: int = 4
    fully_quantized: bool = True
    image_mapping: bool = True
    layer_mapping: bool = True
    clipping: bool = True
    weight_observer: str = "omse"
    rates: dict = field(default_factory=lambda: dict(scale=0.01, lower=0.01, upper=0.01, m=0.01, c_l=0.1, c_u=0.1))


def quantize(x, lower, upper, bits):
    """Section 2, with rounding of gradient 1."""
    n = 2**bits - 1
    t = (torch.clamp(x, lower, upper) - lower) / (upper - lower) * n
    k = t + (torch.round(t) - t).detach()
    return k / n * (upper - lower) + lower


def mean_squared_error(x, lower, upper, bits):
    return float(((quantize(x, lower, upper, bits) - x) ** 2).mean())


def percentile(values, p):
    """Linear interpolation between the two nearest ranks."""
    ordered = sorted(float(v) for v in values)
    position = p / 100 * (len(ordered) - 1)
    below = min(math.floor(position), len(ordered) - 1)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (position - below) * (ordered[above] - ordered[below])


def complexity(image):
    """Of one (3, H, W) image of values 0 to 1: mean |Sobel/8| of the gray values, times 1000."""
    gray = 0.299 * image[0] + 0.587 * image[1] + 0.114 * image[2]
    p = F.pad(gray[None, None], (1, 1, 1, 1), mode="replicate")[0, 0]
    top, middle, bottom = p[:-2], p[1:-1], p[2:]
    gx = (top[:, 2:] - top[:, :-2] + 2 * (middle[:, 2:] - middle[:, :-2]) + bottom[:, 2:] - bottom[:, :-2]) / 8
    gy = (bottom[:, :-2] + 2 * bottom[:, 1:-1] + bottom[:, 2:] - top[:, :-2] - 2 * top[:, 1:-1] - top[:, 2:]) / 8
    return 1000 * (gx.abs().mean() + gy.abs().mean()) / 2


class Naive:
    """State: ``p["<layer>/lower|upper|scale|m"]`` and ``p["c_l"]``, ``p["c_u"]``, float64 scalars."""

    def __init__(self, state, settings):
        self.state, self.settings = state, settings
        self.quantized = LAYERS if settings.fully_quantized else BODY
        self.adaptive = (*BODY, "conv_after_body") if settings.fully_quantized else BODY
        self.p, self.adam, self.rates = {}, {}, dict(settings.rates)

    # -- the network ---------------------------------------------------------------------------

    def forward(self, images, quantized, visit=None):
        """Return the picture, the block outputs and the FAB of each image."""
        factor, used = None, []
        if quantized and self.settings.image_mapping:
            factor = self.image_factor(torch.stack([complexity(image) for image in images])).view(-1, 1, 1, 1)

        def conv(name, x):
            weight, bias = self.state[f"{name}.weight"], self.state[f"{name}.bias"]
            if visit is not None and name in self.quantized:
                visit(name, x)
            if quantized and name in self.quantized:
                weight_bits = bits = 8
                if name in self.adaptive:
                    weight_bits, bits = self.settings.weight_bits, self.settings.activation_bits
                    bits = torch.full((len(x), 1, 1, 1), float(bits), dtype=x.dtype)
                    if factor is not None:
                        bits = bits + factor
                    if self.settings.layer_mapping:
                        bits = bits + self.layer_factor(name)
                    used.append(bits.flatten())
                x = quantize(x, self.p[f"{name}/lower"], self.p[f"{name}/upper"], bits)
                weight = quantize(weight, -self.p[f"{name}/scale"], self.p[f"{name}/scale"], weight_bits)
            return F.conv2d(x, weight, bias, padding=1)

        mean = torch.tensor(MEAN).to(images.dtype).view(1, 3, 1, 1)  # BasicSR keeps it in float32
        first = x = conv("conv_first", (images - mean) * 255)
        blocks = []
        for b in (0, 1):
            x = x + conv(f"body.{b}.conv2", torch.relu(conv(f"body.{b}.conv1", x)))
            blocks.append(x)
        x = conv("conv_after_body", x) + first
        x = conv("conv_last", F.pixel_shuffle(conv("upsample.0", x), 2))
        bits = torch.stack(used).mean(0) if used else torch.full((len(images),), 32.0, dtype=images.dtype)
        return x / 255 + mean, blocks, bits

    # -- calibration (section 3) ---------------------------------------------------------------

    @torch.no_grad()
    def calibrate(self, batches):
        s, spread, thresholds = self.settings, {}, None
        for name in self.quantized:
            self.p[f"{name}/scale"] = self.weight_scale(self.state[f"{name}.weight"])
        for batch in batches:
            values = [complexity(image) for image in batch]
            new = [percentile(values, 10), percentile(values, 90)]
            thresholds = new if thresholds is None else [0.9 * o + 0.1 * n for o, n in zip(thresholds, new)]

            def observe(name, x):
                for kind, value in (("lower", x.min()), ("upper", x.max())):
                    key = f"{name}/{kind}"
                    self.p[key] = 0.9 * self.p[key] + 0.1 * value if name in spread else value
                deviations = [image.std() for image in x]
                spread.setdefault(name, []).append(sum(deviations) / len(deviations))

            self.forward(batch, quantized=False, visit=observe)
        if s.image_mapping:
            self.p["c_l"], self.p["c_u"] = (torch.tensor(t, dtype=torch.float64) for t in thresholds)
        self.sigma = sigma = {name: float(sum(spread[name]) / len(spread[name])) for name in self.adaptive}
        low, high = percentile(sigma.values(), 30), percentile(sigma.values(), 70)
        if s.layer_mapping:
            for name, value in sigma.items():
                self.p[f"{name}/m"] = torch.tensor(float((value > high) - (value < low)), dtype=torch.float64)

    def weight_scale(self, weight):
        if self.settings.weight_observer == "minmax":
            return weight.abs().max()
        candidates = [weight.max() * (1 - 0.01 * i) for i in range(50)]
        return min(candidates, key=lambda s: mean_squared_error(weight, -s, s, self.settings.weight_bits))

    # -- bit mapping (section 4) ---------------------------------------------------------------

    def image_factor(self, c):
        low, high = self.p["c_l"], self.p["c_u"]
        hard = torch.tensor([float((v > high).int() - (v < low).int()) for v in c], dtype=torch.float64)
        soft = torch.tanh((c - (high + low) / 2) * 2 / (high - low))
        return hard + (soft - soft.detach())

    def layer_factor(self, name):
        m = self.p[f"{name}/m"]
        return torch.round(m.detach().clamp(-1, 1)) + (torch.tanh(m) - torch.tanh(m).detach())

    # -- bit-aware clipping (section 5) --------------------------------------------------------

    @torch.no_grad()
    def clip(self, images):
        def visit(name, x):
            if name not in self.adaptive:
                return
            bits = self.settings.activation_bits
            if self.settings.layer_mapping:
                bits = bits + float(torch.round(self.p[f"{name}/m"].clamp(-1, 1)))
            lower, upper = self.p[f"{name}/lower"], self.p[f"{name}/upper"]
            shrunk = [(lower * (1 - 0.01 * i), upper * (1 - 0.01 * i)) for i in range(100)]
            best = min(shrunk, key=lambda ends: mean_squared_error(x, *ends, bits))
            self.p[f"{name}/lower"] = 0.5 * lower + 0.5 * best[0]
            self.p[f"{name}/upper"] = 0.5 * upper + 0.5 * best[1]

        self.forward(images, quantized=True, visit=visit)

    # -- fine-tuning (section 6) ---------------------------------------------------------------

    def losses(self, images):
        """Pixel, structure, bit and FAB, weighted; the released structure term averages over the images."""
        with torch.no_grad():
            teacher, teacher_blocks, _ = self.forward(images, quantized=False)
        student, student_blocks, bits = self.forward(images, quantized=True)
        pixel = 255 * (student - teacher).abs().mean()
        distances = []
        for q, t in zip(student_blocks, teacher_blocks):
            difference = q / torch.linalg.norm(q) - t / torch.linalg.norm(t)
            distances += [torch.sqrt((d**2).sum()) / len(images) for d in difference]
        structure = 10 * sum(distances) / len(distances)
        bit = 50 * torch.maximum(bits.mean() - self.settings.activation_bits, torch.zeros((), dtype=bits.dtype))
        return pixel, structure, bit, bits.mean()

    def group(self, name):
        kinds = dict(weight=("scale",), activation=("lower", "upper"), mapping=("m", "c_l", "c_u"))[name]
        return [key for key in self.p if key.split("/")[-1] in kinds]

    def step(self, group, images):
        """Take one Adam step; return the losses as numbers and the gradients."""
        keys = self.group(group)
        for key in self.p:
            self.p[key] = self.p[key].detach().requires_grad_(key in keys)
        pixel, structure, bit, bits = self.losses(images)
        total = pixel + structure + (bit if group == "mapping" else 0)
        gradients = dict(zip(keys, torch.autograd.grad(total, [self.p[key] for key in keys])))
        for key, g in gradients.items():
            first, second, count = self.adam.get(key, (0.0, 0.0, 0))
            first, second, count = 0.9 * first + 0.1 * g, 0.999 * second + 0.001 * g * g, count + 1
            self.adam[key] = first, second, count
            change = first / (1 - 0.9**count) / (torch.sqrt(second / (1 - 0.999**count)) + 1e-8)
            self.p[key] = self.p[key].detach() - self.rates[key.split("/")[-1]] * change
        return [v.item() for v in (pixel, structure, bit, bits)], gradients

    def decay(self, group):
        for kind in dict(weight=("scale",), activation=("lower", "upper"), mapping=("m", "c_l", "c_u"))[group]:
            self.rates[kind] *= 0.9
