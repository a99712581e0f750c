"""The soak, in short."""

import pytest
from soak.stress import Stress, build_caller


@pytest.fixture(scope="module")
def machine(guest_factory, tmp_path_factory):
    return guest_factory("6.1", smp=4, files={"bin/caller": build_caller(tmp_path_factory.mktemp("caller"))})


@pytest.mark.parametrize("mechanism", ["shared-toc", "guarded/slot", "odd-toc/cr4"])
def test_patches_come_and_go_while_all_processors_call(machine, mechanism):
    result = Stress(machine, mechanism, processes=4).run(8)
    assert result.right, result
    assert result.patched > 0
    assert (result.bpf_patched > 0) == (mechanism != "odd-toc/cr4")
