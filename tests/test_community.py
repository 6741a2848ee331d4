"""Files of the community's networks, recognized by spandrel: loaded, described, quantized, saved, loaded again."""

import pytest
import torch

import adabm
from adabm.networks.community import facts_of
from helpers.community_networks import COMMUNITY, scale_of, write_community


@pytest.mark.parametrize("name", COMMUNITY)
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_file_becomes_a_network(tmp_path, name, suffix):
    path, theirs = write_community(tmp_path, name, suffix)
    random = torch.get_rng_state()
    network = adabm.load_network(path)
    assert torch.equal(torch.get_rng_state(), random) and not network.training
    facts = facts_of(network)
    assert (facts.name, facts.scale, facts.channels) == (name, scale_of(name), 3)
    picture = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    before = picture.clone()
    with torch.no_grad():
        found = network(picture)
        assert torch.equal(picture, before), "the input is left as it was"
        assert torch.equal(found, theirs(picture))
