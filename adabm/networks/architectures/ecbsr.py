"""ECBSR of BasicSR, after its blocks were folded (see :mod:`adabm.networks.folding`)."""

from ..architecture import register_basicsr
from ..descriptor import Role
from ..layout import Layout

LAYOUT = Layout(((r"backbone\.\d+\.conv", Role.BODY),), blocks=r"backbone\.\d+")

register_basicsr("ECBSR", "archs.ecbsr_arch", __name__, LAYOUT)
