"""The debug protocol against servers that are broken, hostile or merely slow. Real ones are in test_qemu_target.py."""

import os
import socket
import tempfile
import threading
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_packets import PAYLOADS

from oddtoc.errors import TargetError, TargetGoneError, TargetInUseError
from oddtoc.target import wire
from oddtoc.target.packets import BIGGEST_PAYLOAD, packet
from oddtoc.target.server import ServerConnection
from oddtoc.target.wire import NoAnswerError

ANYHOW = b"+$c#63+$c#63"


@contextmanager
def served(server=None, *, replies=b"", timeout=5.0):
    """A connection, whose other end gets `replies` and an end, or a function that plays the server in a thread."""
    ours, theirs = socket.socketpair()
    with patch.object(wire, "_connect", return_value=ours):
        connection = ServerConnection(Path("fake"), timeout)
    failures = []

    def play():
        try:
            server(theirs)
        except OSError as error:
            failures.append(error)  # the client has left: what an endless server waits for

    thread = threading.Thread(target=play) if server else None
    try:
        if thread:
            thread.start()
        else:
            theirs.sendall(replies)
            theirs.shutdown(socket.SHUT_WR)
        yield connection
    finally:
        connection.close()
        if thread:
            thread.join(20)
            assert not thread.is_alive()
        theirs.close()


@settings(max_examples=300, deadline=None)
@given(st.lists(st.binary(max_size=40) | st.binary(max_size=40).map(packet), max_size=12).map(b"".join))
def test_whatever_a_server_sends_there_are_replies_or_a_typed_error(data):
    with served(replies=data) as connection:
        try:
            assert len(connection.exchange([b"m0,4", b"m4,4"])) == 2
        except TargetError:
            with pytest.raises(TargetGoneError):
                connection.exchange([b"?"])


@settings(deadline=None)
@given(st.lists(PAYLOADS.filter(lambda p: not set(p) & set(b"$#}*")), min_size=1, max_size=4), st.data())
def test_replies_arrive_whole_however_they_are_cut(payloads, data):
    stream = b"+".join(packet(payload) for payload in payloads)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    parts = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    with served(replies=stream) as connection:
        connection._wire._socket = Pieces(connection._wire._socket, parts)
        assert connection.exchange([b"?"] * len(payloads)) == payloads


class Pieces:
    """A socket whose data come in the given parts."""

    def __init__(self, inner, parts):
        self.inner, self.parts = inner, [part for part in parts if part]

    def recv(self, size):
        del size
        return self.parts.pop(0) if self.parts else b""

    def __getattr__(self, name):
        return getattr(self.inner, name)


BROKEN = {
    "wrong checksum": (b"$OK#9b", "checksum"),
    "checksum that is no number": (b"$OK#zz", "checksum"),
    "another protocol": (b'{"QMP": {}}\r\n', "does not speak"),
    "a web server": (b"HTTP/1.1 400 Bad Request\r\n", "does not speak"),
    "not acknowledged": (b"-", "does not speak"),
    "end in the middle of a packet": (b"+$OK#9", "closed"),
    "end at once": (b"", "closed"),
    "escape at the end": (packet(b"ab}"), "escape"),
}


@pytest.mark.parametrize("data, message", BROKEN.values(), ids=BROKEN)
def test_broken_servers_give_typed_errors(data, message):
    with served(replies=data) as connection, pytest.raises(TargetError, match=message):
        connection.exchange([b"?"])


def until_it_closes(theirs):
    while theirs.recv(1 << 16):
        pass


def flood(data):
    def server(theirs):
        theirs.recv(100)
        while True:
            theirs.sendall(data)

    return server


def drip(theirs):
    theirs.sendall(b"$")
    stop = threading.Event()
    while not stop.wait(0.02):
        theirs.sendall(b"0")


def test_a_packet_without_end_is_given_up_with_bounded_memory():
    with served(flood(b"$" + b"0" * 65536)) as connection:
        with pytest.raises(TargetError, match="without end"):
            connection.exchange([b"?"])
        assert len(connection._wire._received) <= BIGGEST_PAYLOAD + wire._CHUNK


@pytest.mark.parametrize("data", [packet(b"T05"), b"+"], ids=["stop packets", "acknowledgements"])
def test_packets_without_end_are_given_up(data):
    with served(flood(data * 1000)) as connection, pytest.raises(TargetError, match="without end"):
        connection.hello(b"qSupported", b"PacketSize=")


def test_printing_without_end_is_given_up():
    with served(flood(packet(b"O41") * 1000)) as connection, pytest.raises(TargetError, match="without end"):
        connection.monitor(["help"])


@pytest.mark.parametrize("server", [until_it_closes, drip], ids=["silent", "a byte now and then"])
@pytest.mark.parametrize("call", ["hello", "exchange", "monitor", "resume"])
def test_every_wait_ends(server, call):
    arguments = {"hello": [b"qSupported", b"P"], "exchange": [[b"?"]], "monitor": [["help"]], "resume": []}[call]
    with served(server, timeout=0.2) as connection, pytest.raises(NoAnswerError):
        if call == "resume":
            connection.stop()
        getattr(connection, call)(*arguments)


def test_a_time_limit_holds_over_many_round_trips():
    def slow(theirs):
        while data := theirs.recv(100):
            threading.Event().wait(0.03)
            theirs.sendall(packet(b"OK") * data.count(b"#"))

    with served(slow, timeout=60) as connection, pytest.raises(NoAnswerError), connection.within(0.3):
        for _ in range(200):
            connection.exchange([b"?"])


def test_a_server_that_does_not_read_does_not_hold_us():
    never = threading.Event()
    with (
        served(lambda theirs: never.wait(1) and theirs, timeout=0.2) as connection,
        pytest.raises(NoAnswerError),
    ):
        connection.exchange([b"M0,100000:" + b"00" * (1 << 20)])


def test_thousands_of_requests_do_not_lock_up_with_a_server_that_writes_before_it_reads_on():
    def like_qemu(theirs):
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
        pending = b""
        while data := theirs.recv(4096):
            pending += data
            while b"#" in pending and len(pending) >= pending.index(b"#") + 3:
                end = pending.index(b"#") + 3
                number, pending = pending[1 : end - 3], pending[end:]
                theirs.sendall(b"+")
                theirs.sendall(packet(number))

    requests = [b"%d" % number + b"x" * 60 for number in range(5000)]
    with served(like_qemu) as connection:
        assert connection.exchange(requests) == requests


def read_all(theirs):
    data = bytearray()
    theirs.settimeout(5)
    while part := theirs.recv(4096):
        data += part
    return bytes(data)


def test_a_new_connection_leaves_the_order_to_run_on():
    said = []
    with served(lambda theirs: said.append(read_all(theirs))):
        pass
    assert said == [ANYHOW]


def test_a_running_target_gets_no_byte():
    said = []

    def server(theirs):
        assert theirs.recv(100) == b"$c#63"
        said.append(read_all(theirs))

    with served(server) as connection:
        connection.resume()
        connection.resume()
    assert said == [b""]


def test_requests_do_not_wait_for_the_stop():
    said = []

    def server(theirs):
        said.append(theirs.recv(5))
        while b"#" not in said[-1]:
            said.append(theirs.recv(100))
        theirs.sendall(packet(b"T02thread:01;") + b"+" + packet(b"E14"))
        said.append(read_all(theirs))

    with served(server) as connection:
        connection.resume()
        connection.stop()
        assert connection.exchange([b"m0,4"]) == [b"E14"]
        connection.resume()
    assert b"".join(said) == b"$c#63\x03" + packet(b"m0,4") + b"$c#63"


def test_a_stop_without_requests_is_waited_for_before_it_ends():
    said = []

    def server(theirs):
        said.append(theirs.recv(5))
        said.append(theirs.recv(100))
        theirs.sendall(packet(b"T02thread:01;"))
        said.append(read_all(theirs))

    with served(server) as connection:
        connection.resume()
        connection.stop()
        connection.resume()
    assert said == [b"$c#63", b"\x03", b"$c#63"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError, TargetError])
def test_out_of_step_it_refuses_requests_but_lets_the_target_run(error):
    said = []
    with served(lambda theirs: said.append(read_all(theirs)), timeout=1) as connection:
        with patch.object(connection, "_receive", side_effect=error("no")), pytest.raises(error):
            connection.exchange([b"?"])
        for call, arguments in (("exchange", [[b"?"]]), ("stop", []), ("monitor", [["help"]]), ("hello", [b"q", b"P"])):
            with pytest.raises(TargetGoneError, match="middle of a request"):
                getattr(connection, call)(*arguments)
        connection.resume()
    assert said == [b"$?#3f" + ANYHOW]


@pytest.mark.parametrize("reply, kind", [(b"W00", TargetGoneError), (b"X09", TargetGoneError), (b"E01", TargetError)])
def test_a_target_that_does_not_stop(reply, kind):
    with served(replies=packet(reply) + packet(b"OK")) as connection, pytest.raises(kind):
        connection.stop()
        connection.exchange([b"?"])


BEFORE = {
    "a stop packet": packet(b"T02thread:01;") + b"+",
    "replies to somebody who has gone": packet(b"OK") + packet(b"E01") + packet(b"7f454c46") + packet(b""),
    "half a reply": packet(b"7f454c46")[:6] + packet(b"OK"),
    "half of what was said unasked": b"%Stop:T0506:" + packet(b"OK"),
}


@pytest.mark.parametrize("before", BEFORE.values(), ids=BEFORE)
def test_what_comes_before_the_first_reply_is_passed_over(before):
    with served(replies=before + packet(b"PacketSize=1000")) as connection:
        assert connection.hello(b"qSupported", b"PacketSize=") == b"PacketSize=1000"


def stop_of(number):
    return b"T00thread:p1.%x;core:0;" % number


def test_threads_that_stop_are_told_one_by_one():
    """As gdbserver does it: one unasked, the next when that was acknowledged, among replies to something else."""
    waiting = [stop_of(2), stop_of(3)]

    def server(theirs):
        assert theirs.recv(100) == packet(b"vCont;t:p1.-1")
        theirs.sendall(b"%" + packet(b"Stop:" + stop_of(1))[1:] + packet(b"OK"))
        asked = b""
        while waiting or len(told) < 4:
            asked += theirs.recv(100)
            while asked.startswith(packet(b"vStopped")):
                asked = asked.removeprefix(packet(b"vStopped"))
                told.append(waiting.pop(0) if waiting else b"OK")
                theirs.sendall(packet(told[-1]))
            if len(told) == 3:
                theirs.sendall(b"%" + packet(b"Stop:" + stop_of(4))[1:])

    told = []
    with served(server) as connection:
        assert connection.exchange([b"vCont;t:p1.-1"]) == [b"OK"]
        assert connection.stops(4, 5.0) == [stop_of(1), stop_of(2), stop_of(3), stop_of(4)]
    assert told == [stop_of(2), stop_of(3), b"OK", b"OK"]


def test_who_stops_for_a_signal_of_its_own_goes_on_with_that():
    """It was taken for the one that was waited for, which got that signal then, and the other one later: twice."""
    own, left_over = b"T2e" + stop_of(2)[3:], b"T11" + stop_of(3)[3:]
    asked = []

    def server(theirs):
        theirs.sendall(b"%" + packet(b"Stop:" + own)[1:])
        waiting = [packet(left_over), packet(b"OK"), packet(b"OK"), packet(b"OK")]
        while waiting:
            asked.append(theirs.recv(100))
            theirs.sendall(waiting.pop(0))
        theirs.sendall(b"%" + packet(b"Stop:" + stop_of(1))[1:])
        asked.append(theirs.recv(100))
        theirs.sendall(packet(b"OK"))

    with served(server) as connection:
        assert connection.stop_of("p1.1", 5.0) == stop_of(1)
    acknowledged = packet(b"vStopped")
    assert asked == [acknowledged, acknowledged, packet(b"vCont;C2e:p1.2"), packet(b"vCont;c:p1.3"), acknowledged]


def test_threads_that_do_not_stop_are_not_waited_for():
    with served(lambda theirs: theirs.recv(100)) as connection:
        assert connection.stops(2, 0.05) == []
        assert connection.stop_of("p1.1", 0.05) is None


def test_what_the_monitor_prints_is_joined():
    stream = [b"O" + b"one ".hex().encode(), b"O" + b"two\r\n".hex().encode(), b"OK", b"OK"]
    with served(replies=b"".join(map(packet, stream))) as connection:
        assert connection.monitor(["info one", "cpu 0"]) == ["one two\r\n", ""]


@pytest.mark.parametrize("reply", [b"", b"E22", b"Oxy", b"O4"])
def test_no_monitor_is_a_typed_error(reply):
    with served(replies=packet(reply)) as connection, pytest.raises(TargetError):
        connection.monitor(["help"])


def test_no_requests_are_no_round_trip():
    with served(replies=b"") as connection:
        assert connection.exchange([]) == []


def test_close_is_safe_twice_and_after_the_end():
    with served(replies=b"") as connection:
        with pytest.raises(TargetGoneError):
            connection.exchange([b"?"])
        connection.close()
        connection.close()


@pytest.fixture
def folder():
    with tempfile.TemporaryDirectory(prefix="rsp") as name:
        yield Path(name)


def test_nobody_there(folder):
    (folder / "file").touch()
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(folder / "left"))
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    ends = [folder / "none", folder / "file", folder / "left", folder / ("long" * 60)]
    for endpoint in [*ends, ("127.0.0.1", port), ("no.such.host.invalid", 1), ("bad..host", 1)]:
        with pytest.raises(TargetError, match="nobody answers at") as caught:
            ServerConnection(endpoint, 1)
        assert caught.value.advice and "\n" not in caught.value.message


def test_a_full_queue_means_in_use(folder):
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(folder / "full"))
        server.listen(0)
        waiting = []
        with pytest.raises(TargetInUseError):
            waiting += [ServerConnection(folder / "full", 1) for _ in range(os.sysconf("SC_OPEN_MAX") // 2)]
        for connection in waiting:
            connection.close()
