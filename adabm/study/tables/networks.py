"""What people call networks and series; a network that is not listed is called by the name of its file."""

import pandas as pd

_LABELS = {  # by the name of the file in small letters, as plans name shipped networks
    "edsr_f32b8_x4": "EDSR-small",
    "edsr_f64b16_x4": "EDSR-baseline",
    "edsr_f64b8_x2": "EDSR x2",
    "srresnet_bn_x4": "SRResNet",
    "rrdbnet_psnr_x4": "RRDBNet",
    "dat_light_x4": "DAT-light",
    "dat_light_x2": "DAT-light x2",
}


def network(name: str) -> str:
    """Return what people read for a network that a table calls by the name of its file.

    >>> network("srresnet_bn_x4"), network("mine_x3")
    ('SRResNet', 'mine_x3')
    """
    return _LABELS.get(name.lower(), name)


def named(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table with ``backbone`` and ``series`` as people read them; one without these columns as it is."""
    told = {
        name: table[name].map(read, na_action="ignore")
        for name, read in (("backbone", network), ("series", series))
        if name in table
    }
    return table.assign(**told)


def series(name: str) -> str:
    """Return what people read for a series, whose name in a table stays as it was measured.

    >>> series("AdaBM (untuned)")
    'AdaBM (not fine-tuned)'
    """
    return name.replace("(untuned)", "(not fine-tuned)")
