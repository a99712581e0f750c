"""A network on which the end of a connection arrives later than the next connection."""

import socket
import socketserver
import threading
import time
from contextlib import contextmanager, suppress

LATE = 1.0
"""Seconds."""


def pass_on(source, sink, late=0.0):
    with suppress(OSError):
        while data := source.recv(1 << 16):
            sink.sendall(data)
        time.sleep(late)
        sink.shutdown(socket.SHUT_WR)


@contextmanager
def slow_network(endpoint):
    """The address, on this machine, by which a server is reached over it."""

    class Connection(socketserver.BaseRequestHandler):
        def handle(self):
            with socket.create_connection(endpoint) as server:
                back = threading.Thread(target=pass_on, args=(server, self.request))
                back.start()
                pass_on(self.request, server, LATE)
                back.join()

    class Relay(socketserver.ThreadingTCPServer):
        daemon_threads = True
        block_on_close = False

    with Relay(("127.0.0.1", 0), Connection) as relay:
        threading.Thread(target=relay.serve_forever).start()
        try:
            yield relay.server_address
        finally:
            relay.shutdown()
