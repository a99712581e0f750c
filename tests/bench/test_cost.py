"""What the mechanisms cost: in a booted kernel and in user mode, against the limits that the project set itself."""

from __future__ import annotations

import json

import pytest
from bench.cost import ours, user
from bench.cost.calls import Call
from bench.cost.cases import GLOBAL, GLOBAL_UNMARKED, LOCAL, LOCAL_UNMARKED
from bench.cost.cost import Cost
from bench.cost.table import as_json, as_text

from oddtoc.errors import TargetError
from oddtoc.mechanism.catalog import MECHANISMS

IN_USE = ("shared-toc", "guarded/slot", "odd-toc/cr4")


@pytest.fixture(scope="module")
def in_kernel(kernels):
    return {(cost.mechanism, cost.call, cost.functions): cost for cost in ours.costs(kernels["6.1"], IN_USE)}


@pytest.fixture(scope="module")
def in_user_mode():
    return {(cost.mechanism, cost.call): cost for cost in user.costs()}


def test_calls_in_a_kernel_stay_within_their_limits(in_kernel):
    both = {key: (cost.into, cost.back) for key, cost in in_kernel.items()}
    assert not any(cost.refused for cost in in_kernel.values())
    assert both["shared-toc", GLOBAL, 1] == both["shared-toc", LOCAL, 1] == (1, 0)
    assert both["guarded/slot", GLOBAL, 1] <= (6, 0)
    into, back = both["guarded/slot", LOCAL, 1]
    assert into <= 17 and back <= 5
    into, back = both["odd-toc/cr4", LOCAL, 1]
    assert into <= 12 and back <= 5


def test_a_call_costs_the_same_however_many_functions_are_patched(in_kernel):
    for mechanism in IN_USE:
        totals = {in_kernel[mechanism, GLOBAL, number].total for number in (1, 2, 5, 9)}
        assert len(totals) == 1


def test_user_mode_runs_the_same_instructions_where_the_trampolines_are_the_same(in_kernel, in_user_mode):
    # where the TOC pointer has to be loaded, it is one instruction in a kernel and five in a process
    for mechanism in IN_USE:
        assert in_user_mode[mechanism, GLOBAL].total == in_kernel[mechanism, GLOBAL, 1].total
    kernel, process = in_kernel["guarded/slot", LOCAL, 1], in_user_mode["guarded/slot", LOCAL]
    assert (process.into, process.back) == (kernel.into, kernel.back + 4)


def test_every_mechanism_is_counted_or_refused_with_a_reason(in_user_mode):
    calls = (GLOBAL, GLOBAL_UNMARKED, LOCAL, LOCAL_UNMARKED)
    assert set(in_user_mode) == {(mechanism, call) for mechanism in MECHANISMS for call in calls}
    assert all(cost.refused or cost.into > 0 for cost in in_user_mode.values())


def test_a_call_that_comes_back_with_a_wrong_r2_is_not_counted(monkeypatch):
    monkeypatch.setitem(user._SYMBOLS, "oddtoc_toc", "0x1234")
    with pytest.raises(TargetError, match="came back wrong"):
        list(user.costs())


def test_a_function_that_ends_with_a_sibling_call_comes_back_with_one_return_too():
    plain, patched = Call(into=3, back=70, entered=64), Call(into=14, back=6, entered=128)
    cost = Cost.between("6.12", "guarded/slot", LOCAL, 1, plain, patched)
    assert (cost.into, cost.back) == (11, 5)


PEER = [Cost("peer", "upstream livepatch", GLOBAL, 1, 252, 13)]
OURS = [
    Cost("6.1", "guarded/slot", GLOBAL, 1, 6, 0),
    Cost("6.1", "odd-toc/slot", LOCAL, 1, refused="nothing to mark"),
]


def test_the_text_gives_ratios_first():
    text = as_text(OURS, PEER, {"6.1": "Debian's"})
    assert text.index("44.2") < text.index("252+13") < text.index("6+0")
    assert "nothing to mark" in text


def test_the_json_gives_ratios_first():
    plain = json.loads(json.dumps(as_json(OURS, PEER, {})))
    assert list(plain).index("ratios") < list(plain).index("costs")
    assert plain["ratios"] == [
        {"kernel": "6.1", "mechanism": "guarded/slot", "call": GLOBAL, "functions": 1, "upstream/oddtoc": 44.2}
    ]
    assert plain["costs"][1]["refused"] == "nothing to mark"
    assert plain["peer"][0]["total"] == 265


def test_without_a_peer_there_are_no_ratios():
    assert "Upstream" not in as_text(OURS, [], {})
    assert as_json(OURS, [], {})["ratios"] == []
