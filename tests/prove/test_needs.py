"""What an apply asks of a site is what the proofs leave open."""

import json
from importlib.resources import files

import pytest

from oddtoc.mechanism import needs as table
from oddtoc.mechanism.catalog import AUTOMATIC, MECHANISMS, by_name
from oddtoc.mechanism.conditions import SideCondition
from oddtoc.mechanism.needs import needs
from oddtoc.prove import prove_all
from oddtoc.prove.needs import needs_of

SAME, TRUE, FITS = SideCondition.SAME_TOC, SideCondition.TRUE_RETURN_ADDRESS, SideCondition.DELTA_FITS


def test_the_table_is_what_the_proofs_say():
    written = json.loads(files(table.__package__).joinpath("needs.json").read_text())
    proven = {mechanism.name: needs_of(proofs) for mechanism, proofs in prove_all(list(MECHANISMS.values()))}
    assert written == proven


def found(name, has_toc_setup=True):
    return {need.call: need.alternatives for need in needs(by_name(name), has_toc_setup=has_toc_setup)}


def test_the_rfc_needs_more_than_ours():
    assert found("shared-toc") == found("shared-toc", False) == {}
    assert found("odd-toc/cr4")["sibling"] == ((SAME,),)
    assert found("odd-toc/cr4")["jit"] == ((FITS,),)
    assert found("odd-toc/cr4")["traced-sibling"] == ((SAME, FITS),)
    assert "sibling" not in found("guarded/slot")
    assert found("guarded/slot")["traced-sibling"] == ((SAME,), (TRUE,))


@pytest.mark.parametrize("mechanism", AUTOMATIC, ids=lambda mechanism: mechanism.name)
def test_what_auto_picks_needs_nothing_of_calls_that_compilers_make(mechanism):
    calls = {need.call for both in (True, False) for need in needs(mechanism, has_toc_setup=both)}
    assert calls <= {"assembly", "traced-global", "traced-sibling", "longjmp"}
