"""oddtoc killed after every single write of an operation: the target stays right, and the next run goes on."""

import pytest
from cleaning import revert_all

from oddtoc.live.session import Session
from oddtoc.target.stopped import Stopped

SERIES = "6.1"


class KilledError(Exception):
    """Stands for the end of the process."""


@pytest.fixture
def open_session(guest):
    return lambda: Session.open(f"guest:{guest(SERIES).name}")


@pytest.fixture
def shown(guest):
    def get():
        lines = guest(SERIES).run("cat /proc/cmdline /proc/version").stdout.decode().splitlines()
        assert len(lines) == 2
        return lines

    return get


def killed_after(monkeypatch, writes):
    """Every stop writes one piece at a time, and the process ends after so many of them."""
    left = iter(range(writes))
    whole = Stopped.write_many

    def write(stopped, pieces, **options):
        for piece in pieces:
            if next(left, None) is None:
                raise KilledError
            whole(stopped, [piece], **options)

    monkeypatch.setattr(Stopped, "write_many", write)


def run_killed(open_session, operation, monkeypatch, writes):
    """Whether the operation ended before it was killed."""
    with open_session() as session, monkeypatch.context() as patching:
        killed_after(patching, writes)
        try:
            operation(session)
        except KilledError:
            return False
    return True


def every_kill(open_session, prepare, operation, monkeypatch):
    """Kill an operation after 0, 1, 2 ... writes; yields after each kill, when the next command can come."""
    for writes in range(100):
        with open_session() as session:
            prepare(session)
        if run_killed(open_session, operation, monkeypatch, writes):
            assert writes > 1
            with open_session() as session:
                revert_all(session)
            return
        yield writes
        with open_session() as session:
            revert_all(session)
            assert session.status() == [] or not any(status.present for status in session.status())
    raise AssertionError("the operation never ends")


def test_apply(open_session, shown, saying, monkeypatch):
    original = shown()
    patch = saying("one", cmdline="one", version="one")

    def apply(session):
        session.apply(session.plan(patch, mechanism="guarded/slot"))

    for writes in every_kill(open_session, lambda _: None, apply, monkeypatch):
        assert all(line in ("one", before) for line, before in zip(shown(), original, strict=True))
        with open_session() as session:
            apply(session)
            assert shown() == ["one", "one"], writes
    assert shown() == original


@pytest.mark.parametrize("name, left", [("low", ["high", None]), ("high", ["low", "low"])])
def test_revert(open_session, shown, saying, monkeypatch, name, left):
    original = shown()
    expected = [text or before for text, before in zip(left, original, strict=True)]

    def prepare(session):
        session.apply(session.plan(saying("low", cmdline="low", version="low"), mechanism="guarded/slot"))
        session.apply(session.plan(saying("high", cmdline="high"), mechanism="shared-toc"))
        assert shown() == ["high", "low"]

    for writes in every_kill(open_session, prepare, lambda session: session.revert(name), monkeypatch):
        assert shown() in (["high", "low"], expected)
        with open_session() as session:
            if name in {status.record.name for status in session.status()}:
                session.revert(name)
            assert shown() == expected, writes


def test_replace(open_session, shown, saying, monkeypatch):
    original = shown()

    def prepare(session):
        session.apply(session.plan(saying("low", cmdline="low", version="low"), mechanism="guarded/slot"))
        session.apply(session.plan(saying("high", cmdline="high"), mechanism="shared-toc"))

    def replace(session):
        session.apply(session.plan(saying("all", cmdline="all"), replace=True))

    for writes in every_kill(open_session, prepare, replace, monkeypatch):
        cmdline, version = shown()
        assert cmdline in ("high", "all") and version in ("low", original[1])
        with open_session() as session:
            replace(session)
            assert shown() == ["all", original[1]], writes
            assert [status.record.name for status in session.status()] == ["all"]


def test_gc(open_session, saying, monkeypatch):
    """A collection that is killed gives back the rest when it comes again, and what is applied stays applied."""
    names = ("a", "b", "c", "d")

    def prepare(session):
        for name in names:
            session.apply(session.plan(saying(name, cmdline=name)))
        for name in ("b", "c", "d"):
            session.revert(name)

    for _writes in every_kill(open_session, prepare, lambda session: session.gc(lambda _spans: None), monkeypatch):
        with open_session() as session:
            assert [status.record.name for status in session.status()] == ["a"]
            session.gc(lambda _spans: None)
            contents = session.journal().contents
            assert [entry.record.name for entry in contents.entries] == ["a"]
            assert all(gap.clean for gap in contents.gaps)
            session.apply(session.plan(saying("e", cmdline="e")))
            session.revert("e")
