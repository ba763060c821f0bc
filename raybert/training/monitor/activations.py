"""What flows through the layers during a training step, seen by hooks that exist only for that step."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import nn

from raybert.errors import ModelError
from raybert.training.monitor.layers import down_projection, hooked_layers
from raybert.training.monitor.statistics import dead_fraction, moments

QUANTITIES = ("activation_mean", "activation_std", "activation_kurtosis", "activation_dead_fraction")


class ActivationProbe:
    """Measures the first forward pass of a step: moments of every layer's output, dead units of its feed-forward block.

    A unit is what the block's last linear map reads: after the non-linearity, and after the gate if there is one. A
    layer that a pass uses several times is measured the first time.

    Raises:
        ModelError: the model is not an encoder with a list of layers.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.layers = hooked_layers(model)
        self.readers = {name: down_projection(layer) for name, layer in self.layers.items()}
        self._mask: torch.Tensor | None = None
        self._moments: dict[str, torch.Tensor] = {}
        self._dead: dict[str, torch.Tensor] = {}

    @contextmanager
    def attached(self) -> Iterator[None]:
        """Watch the forward passes inside the block."""
        self._mask, self._moments, self._dead = None, {}, {}
        with ExitStack() as hooks:
            handles = [self.model.register_forward_pre_hook(self._see_mask, with_kwargs=True)]
            for name, layer in self.layers.items():
                handles.append(layer.register_forward_hook(self._output_hook(name)))
                handles.append(self.readers[name].register_forward_pre_hook(self._units_hook(name)))
            for handle in handles:
                hooks.callback(handle.remove)
            yield

    def read(self) -> dict[str, torch.Tensor]:
        """Return (layers,) values by quantity, on the device.

        Raises:
            ModelError: the hooks were not called, as in a compiled model.
        """
        if len(self._moments) < len(self.layers) or len(self._dead) < len(self.layers):
            raise ModelError(
                f"monitor.activations: saw {len(self._moments)} of {len(self.layers)} layers in the forward pass; set "
                "it to null, or do not compile the model"
            )
        columns = torch.stack([self._moments[name] for name in self.layers]).unbind(1)
        dead = torch.stack([self._dead[name] for name in self.layers])
        return dict(zip(QUANTITIES, (*columns, dead), strict=True))

    def _see_mask(self, _: nn.Module, __: tuple[Any, ...], inputs: Mapping[str, Any]) -> None:
        if self._mask is None:
            self._mask = inputs.get("attention_mask")

    def _output_hook(self, name: str) -> Any:
        def hook(_: nn.Module, __: tuple[Any, ...], output: Any) -> None:
            if name not in self._moments:
                hidden = output[0] if isinstance(output, tuple) else output
                with torch.no_grad():
                    self._moments[name] = moments(hidden.detach(), self._mask_for(hidden))

        return hook

    def _units_hook(self, name: str) -> Any:
        def hook(_: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
            if name not in self._dead:
                with torch.no_grad():
                    self._dead[name] = dead_fraction(inputs[0].detach(), self._mask_for(inputs[0]))

        return hook

    def _mask_for(self, values: torch.Tensor) -> torch.Tensor | None:
        """Return the mask in the shape of the tokens (packed rows have no padding, and none)."""
        if self._mask is None:
            return None
        if self._mask.shape != values.shape[:-1]:
            raise ModelError(
                f"monitor.activations: needs an attention mask (rows, width) like the layers' outputs, got "
                f"{tuple(self._mask.shape)} and {tuple(values.shape)}; set it to null"
            )
        return self._mask
