"""The mark and the guards of the RFC's search for it, each by name."""

import pytest

from oddtoc.errors import ChangedError, FaultError, MechanismError
from oddtoc.image.entry import Entry, SiteKind, TocSetup
from oddtoc.mechanism.mark import is_marked, marked, odd_toc_mark, rfc_mark, unmarked

SITE = 0xC0000000006154CC
ADDI = 0x38422C40
OTHER = 0x7C0802A6


def memory(words):
    def read_word(address):
        if address not in words:
            raise FaultError(f"{address:#x} can't be read", address=address, size=4)
        return words[address]

    return read_word


def entry(site, mark, function="f"):
    return Entry(
        function=function, global_entry=site - 12, local_entry=site - 4, size=96, toc_setup=TocSetup.PAIR, toc=None,
        mark=mark, mark_word=ADDI, site=site, site_kind=SiteKind.MPROFILE, site_word=0x60000000, behind=site + 4,
        words=(),
    )  # fmt: skip


def test_the_addi_8_bytes_before_the_site_is_found_first():
    assert rfc_mark(SITE, memory({SITE - 8: ADDI, SITE - 12: ADDI})) == SITE - 8


def test_the_addi_12_bytes_before_the_site_is_an_older_compilers():
    assert rfc_mark(SITE, memory({SITE - 8: OTHER, SITE - 12: ADDI})) == SITE - 12


def test_neither_there_means_nothing_to_mark():
    assert rfc_mark(SITE, memory({SITE - 8: OTHER, SITE - 12: OTHER})) is None


@pytest.mark.parametrize("offset", [0, 4, 8])
def test_a_site_at_the_start_of_a_64k_page_is_left_alone(offset):
    assert rfc_mark(0xC000000000610000 + offset, memory({})) is None


def test_a_site_12_bytes_into_the_page_is_searched():
    site = 0xC00000000061000C
    assert rfc_mark(site, memory({site - 8: ADDI})) == site - 8


def test_memory_that_cant_be_read_is_a_fault():
    with pytest.raises(FaultError) as caught:
        rfc_mark(SITE, memory({}))
    assert caught.value.address == SITE - 8


def test_marking_makes_odd_and_disabling_clears_the_bit():
    assert marked(ADDI, SITE - 8) == ADDI | 1
    assert is_marked(marked(ADDI, SITE - 8)) and not is_marked(ADDI)
    assert unmarked(marked(ADDI, SITE - 8)) == ADDI
    assert unmarked(ADDI) == ADDI


def test_another_addi_is_not_marked():
    with pytest.raises(ChangedError):
        marked(0x38630001, SITE)


def test_odd_toc_takes_the_symbols_mark_where_the_rfc_does_not_know_the_layout():
    read = memory({SITE - 8: OTHER, SITE - 12: OTHER})
    assert odd_toc_mark(entry(SITE, SITE - 4), read) == SITE - 4


def test_odd_toc_refuses_a_function_that_its_page_guard_would_leave_unmarked():
    site = 0xC000000000610008
    with pytest.raises(MechanismError, match="64 KiB"):
        odd_toc_mark(entry(site, site - 4), memory({}))


def test_odd_toc_refuses_a_hit_outside_of_the_functions_entry():
    with pytest.raises(MechanismError, match="not in the global entry"):
        odd_toc_mark(entry(SITE, None), memory({SITE - 8: OTHER, SITE - 12: ADDI}))
