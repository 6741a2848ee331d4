"""What takes a convolution's place in a network that integers compute."""

from torch import nn


class StandIn(nn.Conv2d):
    """A module that is called in place of a convolution; ``forward`` is its subclass's.

    Code of the network may ask for the class of its layers, or for their weight, channels and the like: it is a convolution,
    and what it does not have itself is that of the one that it replaces. It has no parameters.
    """

    def __init__(self, replaced: nn.Conv2d) -> None:
        nn.Module.__init__(self)
        self.hidden = (replaced,)  # no child: its parameters are no part of the network

    def __getattr__(self, name: str) -> object:
        try:
            return super().__getattr__(name)
        except AttributeError:
            if "hidden" not in vars(self):  # while it is copied
                raise
            return getattr(self.hidden[0], name)

    def extra_repr(self) -> str:
        return self.hidden[0].extra_repr()
