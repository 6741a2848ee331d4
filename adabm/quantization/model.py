"""A super-resolution network with adaptive low-bit layers."""

import copy
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, NamedTuple, Protocol

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from ..errors import ConfigError, NetworkError
from ..networks import NetworkDescriptor, Role, describe, fold_reparameterized, registered_name
from ..networks.trace import split_product_name
from ..networks.unquantized import left_out
from ..networks.usable import check_network
from .bit_mapping import Image2Bit
from .bit_rule import Policy, counts_in_average, feature_average_bits, policy_of
from .complexity import image_complexity
from .given import check_images
from .layers import BitContext, Bits, QuantizedConv2d, QuantizedLayer, QuantizedLinear
from .products import QuantizedAttention, QuantizedProduct, quantize_products, quantized_layers


class SROutput(NamedTuple):
    """What one pass gives.

    Attributes:
        image: (N, C, scale*H, scale*W), in the network's value range, not rounded.
        feature_average_bits: (N,) FAB of each image, differentiable; 32 in full precision.
        layer_bits: (N,) activation bits of each quantized layer by name; empty in full precision.
        blocks: outputs of the descriptor's blocks, if asked for.
    """

    image: Tensor
    feature_average_bits: Tensor
    layer_bits: dict[str, Tensor]
    blocks: tuple[Tensor, ...]


class Configuration(Protocol):
    """What the model needs of a configuration: base bits, and steps that install what they will decide with."""

    weight_bits: int
    activation_bits: int
    fully_quantized: bool
    fixed_bits: int

    def install(self, model: "QuantizedSR") -> None:
        """Put modules, such as bit mappings, into a freshly wrapped model."""


class QuantizedSR(nn.Module):
    """Wrap a network: its convolutions, linear layers and products of attention become quantized ones in place.

    Normalization, softmax and what else is computed stay in full precision.

    The network's own weights are frozen and batch norm stays in evaluation mode; the released code
    lets its statistics drift during calibration and fine-tuning.

    Args:
        network: any network of ``nn.Conv2d`` and ``nn.Linear``; it is copied, the original stays as it is.
        config: see :class:`adabm.QuantizationConfig`.
        descriptor: roles of the layers, of all convolutions and linear ones that it does not list as unquantized; by default
            :func:`adabm.networks.describe` finds them.

    Raises:
        NetworkError: no network that can be computed with, copied or described.
        ConfigError: a configuration or descriptor that is none, or a step that cannot work on this model.
    """

    def __init__(self, network: nn.Module, config: Configuration, descriptor: NetworkDescriptor | None = None) -> None:
        super().__init__()
        _check_arguments(network, config, descriptor)
        if any(isinstance(m, QuantizedLayer) for m in network.modules()):
            raise NetworkError("the network is quantized already; start from the full-precision one")
        network = fold_reparameterized(_copied(network).eval()).requires_grad_(False)
        if descriptor is None:
            descriptor = describe(network)
            if registered_name(network) is None:
                warnings.warn(
                    f"{descriptor.name} is unknown; its layout was guessed. Check it:\n{descriptor.summary()}",
                    stacklevel=2,
                )
        self.descriptor = descriptor
        self.config = config
        self.context = BitContext()
        self.network = network
        self.image2bit: Image2Bit | None = None  # a step that maps bits to images puts it there
        self.calibrated = self.clipped = False
        self.carried_out: bool | None = None  # all steps of the recipe; False: calibrate() alone, which leaves some out
        self._replace_layers()
        config.install(self)
        self.requires_grad_(False)  # fine-tuning asks for the gradients that it needs
        self.eval()

    def _replace_layers(self) -> None:
        roles, modules = self.descriptor.roles, dict(self.network.named_modules())
        places: dict[nn.Module, list[str]] = {}  # a layer that several parents share has several names
        for name, module in self.network.named_modules(remove_duplicate=False):
            places.setdefault(module, []).append(name)
        products: dict[nn.Module, dict[int, tuple[str, nn.Module]]] = {}  # by the module whose forward computes them
        unknown = next((name for name in self.descriptor.blocks if name not in modules), None)
        if unknown is not None:
            raise NetworkError(f"the descriptor names {unknown!r}, which {self.descriptor.name} does not have")
        for name, role in roles.items():
            bits = self._bits_of(role)
            if name in modules:
                if bits is not None:
                    layer = self._quantized_layer(modules[name], name, bits)
                    for place in places[modules[name]]:
                        parent, _, child = place.rpartition(".")
                        setattr(self.network.get_submodule(parent), child, layer)
                continue
            owner, kind, index = split_product_name(name) or ("", "", 0)
            if not kind or owner not in modules:
                raise NetworkError(f"the descriptor names {name!r}, which {self.descriptor.name} does not have")
            sites = products.setdefault(modules[owner], {})
            if bits is not None:
                site = QuantizedAttention if kind == "attention" else QuantizedProduct
                sites[index] = name.rpartition(".")[2], site(name, bits, self.context, self.device)
        for owner, sites in products.items():
            quantize_products(owner, sites)
        if others := list(left_out(self.network, self.descriptor)):
            more = f" and {len(others) - 1} more" if len(others) > 1 else ""
            raise NetworkError(
                f"the descriptor of {self.descriptor.name} does not name the layer {others[0]!r}{more}; give each a role in roles, "
                "such as 'skip' where it shall stay in full precision, or list it in unquantized"
            )

    def _bits_of(self, role: Role) -> Bits | None:
        policy, config = policy_of(role, self.config.fully_quantized), self.config
        if policy is None:
            return None
        if policy is Policy.FIXED:
            return Bits(role, policy, config.fixed_bits, config.fixed_bits)
        return Bits(role, policy, config.activation_bits, config.weight_bits)

    def _quantized_layer(self, module: nn.Module, name: str, bits: Bits) -> QuantizedConv2d | QuantizedLinear:
        if parametrize.is_parametrized(module):
            raise NetworkError(f"{name} has a parametrized weight; remove the parametrization first")
        for original, quantized in ((nn.Conv2d, QuantizedConv2d), (nn.Linear, QuantizedLinear)):
            if getattr(type(module), "forward", None) is original.forward:
                return quantized(module, name, bits, self.context)
        raise NetworkError(
            f"{name} is a {type(module).__name__}, which does not compute what nn.Conv2d or nn.Linear does; "
            "give it the role 'skip' in a NetworkDescriptor"
        )

    @property
    def layers(self) -> dict[str, QuantizedLayer]:
        """What is quantized by name, in execution order: layers, and of a product its two operands."""
        return {layer.name: layer for layers in self.layers_by_role.values() for layer in layers}

    @property
    def layers_by_role(self) -> dict[str, list[QuantizedLayer]]:
        """What is quantized of each name in ``descriptor.roles``: the layer, the operands of a product, or nothing."""
        modules = dict(self.network.named_modules(remove_duplicate=False))
        return {name: quantized_layers(modules[name]) if name in modules else [] for name in self.descriptor.roles}

    def train(self, mode: bool = True) -> "QuantizedSR":
        """Stay in evaluation mode: nothing here depends on it but batch norm, which must not drift."""
        return super().train(False)

    @contextmanager
    def full_precision(self) -> Iterator[None]:
        """Run the wrapped network in full precision inside the ``with`` block."""
        self.context.threads.check()
        before, self.context.quantizing = self.context.quantizing, False
        try:
            yield
        finally:
            self.context.quantizing = before

    @contextmanager
    def computing(self, kind: torch.dtype | None) -> Iterator[None]:
        """Let convolutions but the first and last compute in the type ``kind`` inside the block; None: as features come."""
        self.context.threads.check()
        before, self.context.computing = self.context.computing, kind
        try:
            yield
        finally:
            self.context.computing = before

    @contextmanager
    def visiting(self, visitor: Callable[[QuantizedLayer, Tensor], None]) -> Iterator[None]:
        """Call ``visitor(layer, input)`` before each quantized layer inside the ``with`` block."""
        self.context.threads.check()
        before, self.context.visitor = self.context.visitor, visitor
        try:
            yield
        finally:
            self.context.visitor = before

    def forward(self, images: Tensor) -> Tensor:
        """Upscale (N, C, H, W) images in the network's value range to (N, C, scale*H, scale*W)."""
        return self.infer(images).image

    def infer(self, images: Tensor, blocks: bool = False) -> SROutput:
        """Upscale images and tell the bits that were used; with ``blocks`` also block outputs.

        Raises:
            ImageError: images of another shape or type than the network takes.
            NetworkError: the model is not calibrated, or another thread is using it.
        """
        with self.context.threads.alone():
            return self._inferred(images, blocks)

    def _inferred(self, images: Tensor, blocks: bool) -> SROutput:
        check_images(images, self.descriptor.channels, self.dtype)
        if self.context.quantizing and not self.calibrated:
            raise NetworkError("the model is not calibrated: call adabm.calibrate(model, batches) first")
        captured: list[Tensor] = []
        hooks = [
            self.network.get_submodule(name).register_forward_hook(lambda _m, _i, out: captured.append(out))
            for name in (self.descriptor.blocks if blocks else ())
        ]
        self.context.bits, self.context.images = {}, len(images)
        try:
            if self.context.quantizing and self.image2bit is not None:
                self.context.image_factor = self.image2bit(self.complexity(images)).to(images.dtype).view(-1, 1, 1, 1)
            image = self.network(images)
            layer_bits = self.context.bits
        finally:
            self.context.image_factor, self.context.bits, self.context.images = None, {}, 1
            for hook in hooks:
                hook.remove()
        layer_bits = {name: bits.expand(images.shape[0]) for name, bits in layer_bits.items()}
        return SROutput(image, feature_average_bits(layer_bits, self.layers, images), layer_bits, tuple(captured))

    def counts_in_fab(self, name: str) -> bool:
        """Whether a layer enters the feature average bits: all quantized ones but those at fixed bits."""
        return counts_in_average(self.layers[name])

    def complexity(self, images: Tensor) -> Tensor:
        """Return the (N,) complexities of images in the network's value range, by the measure of the image mapping.

        Without an image mapping it is the paper's (:func:`adabm.image_complexity`).
        """
        half = images.dtype in (torch.float16, torch.bfloat16)
        measure = self.image2bit.measure if self.image2bit is not None else image_complexity
        return measure(images.float() if half else images, self.descriptor.value_range)

    @property
    def device(self) -> torch.device:
        """Where the network's parameters are."""
        return next(self.network.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """Type of the network's parameters, and of the pictures that it takes."""
        return next(self.network.parameters()).dtype


IsModel = Annotated[QuantizedSR, "a QuantizedSR, as adabm.quantize and adabm.load_quantized return it"]


def _check_arguments(network: object, config: object, descriptor: object) -> None:
    check_network(network)
    if isinstance(config, type) or not all(
        hasattr(config, name) for name in (*Configuration.__annotations__, "install")
    ):
        raise ConfigError(f"config is a {type(config).__name__}; give one such as adabm.preset('adabm')")
    if not isinstance(descriptor, NetworkDescriptor | None):
        raise ConfigError(
            f"descriptor is a {type(descriptor).__name__}; give an adabm.NetworkDescriptor, such as adabm.describe(network)"
        )


def _copied(network: nn.Module) -> nn.Module:
    try:
        return copy.deepcopy(network)
    except Exception as error:  # whatever a module that keeps a lock, a file or a part of a graph raises
        told = (str(error).splitlines() or [""])[0][:200]
        raise NetworkError(
            f"{type(network).__name__} cannot be copied ({type(error).__name__}: {told}); give one that copy.deepcopy copies"
        ) from error
