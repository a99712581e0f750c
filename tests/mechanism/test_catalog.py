"""Mechanisms by name: what exists, what `auto` takes, what is refused and why."""

import pytest

from oddtoc.errors import MechanismError, UsageError
from oddtoc.image.entry import Entry, SiteKind, TocSetup
from oddtoc.mechanism.catalog import AUTOMATIC, MECHANISMS, by_name
from oddtoc.mechanism.parts import DETECTIONS, STORAGES

SITE = 0xC0000000006154CC


def entry(toc_setup=TocSetup.PAIR):
    mark = SITE - 8 if toc_setup is TocSetup.PAIR else None
    return Entry(
        function="f", global_entry=SITE - 12, local_entry=SITE - 4, size=96, toc_setup=toc_setup, toc=None, mark=mark,
        mark_word=0x38422C40, site=SITE, site_kind=SiteKind.MPROFILE, site_word=0x60000000, behind=SITE + 4, words=(),
    )  # fmt: skip


def test_all_combinations_exist_but_those_that_can_never_work():
    pairs = {f"{detection.name}/{storage.name}" for detection in DETECTIONS for storage in STORAGES}
    assert set(MECHANISMS) == (pairs - {"always/slot", "always/cr4"}) | {"shared-toc"}


def test_auto_takes_shared_toc_or_guarded_slot_and_nothing_else():
    assert [mechanism.name for mechanism in AUTOMATIC] == ["shared-toc", "guarded/slot"]


def test_an_unknown_name_is_answered_with_all_known_ones():
    with pytest.raises(UsageError) as caught:
        by_name("guarded/cr5")
    assert all(name in caught.value.advice for name in ("auto", *MECHANISMS))


@pytest.mark.parametrize("name", ["always/slot", "always/cr4"])
def test_halves_that_do_not_go_together_are_refused_with_the_reason(name):
    with pytest.raises(MechanismError, match=r"24\(r1\)|overwrite"):
        by_name(name)


@pytest.mark.parametrize("name", [name for name in MECHANISMS if "stack" in name])
def test_stacks_per_thread_need_a_target_that_has_them(name):
    with pytest.raises(MechanismError, match="no room") as caught:
        by_name(name).check(entry())
    assert "CONFIG_LIVEPATCH" in caught.value.advice
    by_name(name).check(entry(), thread_stack=True)


def test_only_odd_toc_slot_has_nothing_to_go_by_without_toc_setup():
    refused = []
    for name, mechanism in MECHANISMS.items():
        try:
            mechanism.check(entry(TocSetup.NONE), thread_stack=True)
        except MechanismError:
            refused.append(name)
    assert refused == ["odd-toc/slot"]


@pytest.mark.parametrize("name", list(MECHANISMS))
def test_what_is_marked_follows_from_the_detection(name):
    mechanism = by_name(name)
    assert mechanism.marks == name.startswith(("odd-toc/", "guarded/"))
    assert mechanism.rfc_guards == name.startswith("odd-toc/")
    assert mechanism.helper_block == name.endswith("/cr4")
    assert mechanism.own_toc == (name != "shared-toc")
    words = {SITE - 8: 0x38422C40, SITE - 12: 0x3C4C0001}
    assert mechanism.mark(entry(), words.__getitem__) == (SITE - 8 if mechanism.marks else None)


def test_pcrel_is_refused_by_all():
    for mechanism in MECHANISMS.values():
        with pytest.raises(MechanismError, match="pcrel"):
            mechanism.check(entry(TocSetup.PCREL), thread_stack=True)
