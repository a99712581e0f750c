"""The client of the soak of servers, which has to notice what goes wrong."""

import json
import socket
import subprocess
import sys
import threading
import time

import pytest
from soak.services import GUEST

GOOD = b"HTTP/1.1 200 OK\r\nContent-Length: 3000\r\n\r\n" + b"plain\n" * 500
WRONG = {
    "another page": GOOD[:-6] + b"patch\n",
    "half a page": GOOD[:-1],
    "a refusal": GOOD.replace(b"200 OK", b"502 Bad Gateway"),
    "nothing": b"",
}
_GOOD_FIRST = 20


class Server(threading.Thread):
    """Answers some requests well, then one in its own way and with the end of the connection, then well again."""

    def __init__(self, answer):
        super().__init__(daemon=True)
        self._answer = answer
        self._served = 0
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]

    def run(self):
        while True:
            connection, _ = self._listening.accept()
            threading.Thread(target=self._serve, args=[connection], daemon=True).start()

    def _serve(self, connection):
        with connection, connection.makefile("rwb") as stream:
            while stream.readline():
                while stream.readline() not in (b"\r\n", b""):
                    pass
                self._served += 1
                odd = self._served == _GOOD_FIRST
                stream.write(self._answer if odd else GOOD)
                stream.flush()
                if odd:
                    return


@pytest.mark.parametrize("answer", WRONG.values(), ids=WRONG)
def test_an_answer_that_is_not_right_is_counted_and_the_next_ones_too(tmp_path, answer):
    server = Server(answer)
    server.start()
    stop, result = tmp_path / "stop", tmp_path / "result"
    client = subprocess.Popen([sys.executable, GUEST / "client.py", "http", str(server.port), stop, result])
    while not result.exists() or json.loads(result.read_text())["counts"].get("plain", 0) < 2 * _GOOD_FIRST:
        assert client.poll() is None
        time.sleep(0.05)
    stop.touch()
    assert client.wait() == 0
    found = json.loads(result.read_text())
    assert (len(found["failed"]), set(found["counts"]), found["ended"]) == (1, {"plain"}, True)
