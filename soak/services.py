"""Servers as Debian ships them, what is patched in them, and who asks them meanwhile."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from oddtoc.debian.programs import program_files

GUEST = Path(__file__).parent / "guest"
FOLDER = "/tmp/soak"
STOP = f"{FOLDER}/stop"
"""Who asks goes on until this file is there."""
BENCHMARK = f"{FOLDER}/benchmark"
"""What redis-benchmark prints."""
BATCH = 200
"""Requests of one kind in a run of redis-benchmark."""
_BENCHMARK = (
    f"until [ -e {STOP} ]; do redis-benchmark -q -n {BATCH} -c 4 -t ping,set,get,incr || break; done; "
    f"[ -e {STOP} ] && echo ended || echo failed"
)
_NGINX_CONF = """
user root root;
worker_processes 1;
pid /tmp/soak/nginx.pid;
error_log /tmp/soak/nginx.log;
events { worker_connections 64; }
http {
    access_log off;
    keepalive_requests 1000000000;
    keepalive_timeout 1h;
    server { listen 127.0.0.1:8080; root /srv; }
}
"""
_START_NGINX = f"""
mkdir -p /srv /var/lib/nginx /var/log/nginx
echo root:x:0:0::/:/bin/sh > /etc/passwd
echo root:x:0: > /etc/group
for n in $(seq 500); do echo plain >> /srv/page.a; echo patched >> /srv/page.b; done
cat > {FOLDER}/nginx.conf <<'END'
{_NGINX_CONF}
END
nginx -c {FOLDER}/nginx.conf
until wget -qO- http://127.0.0.1:8080/page.a > /dev/null; do sleep 0.1; done
"""


@dataclass(frozen=True)
class Service:
    """A server and its patch.

    Attributes:
        name: of its program.
        patch: source of the patch.
        start: starts it in the guest, and waits until it answers.
        process: prints the process that is patched.
        port: that it listens on.
        kind: of guest/client.py.
        clients: how many of those ask at the same time.
        check: prints what a client gets.
        plain, patched: what that is.
        load: what else asks meanwhile, and writes to `BENCHMARK`; nothing if empty.
        end: ends it.
    """

    name: str
    patch: Path
    start: str
    process: str
    port: int
    kind: str
    clients: int
    check: str
    plain: str
    patched: str
    load: str
    end: str


REDIS = Service(
    name="redis-server",
    patch=GUEST / "ping.c",
    start="redis-server --save '' --daemonize yes; until redis-cli ping; do sleep 0.1; done",
    process="pidof redis-server",
    port=6379,
    kind="redis",
    clients=1,
    check="redis-cli -r 3 ping | uniq -c | xargs",
    plain="3 PONG",
    patched="3 PATCHED",
    load=_BENCHMARK,
    end="redis-cli shutdown nosave",
)
NGINX = Service(
    name="nginx",
    patch=GUEST / "page.c",
    start=_START_NGINX,
    # the worker, not its master
    process=f"pidof nginx | tr ' ' '\\n' | grep -v -x $(cat {FOLDER}/nginx.pid)",
    port=8080,
    kind="http",
    clients=2,
    check="wget -qO- http://127.0.0.1:8080/page.a | uniq -c | xargs",
    plain="500 plain",
    patched="500 patched",
    load="",
    end=f"kill $(cat {FOLDER}/nginx.pid)",
)
SERVICES = (REDIS, NGINX)


def nginx_files() -> dict[str, Path]:
    """nginx for a guest: path there -> file here.

    Raises:
        FetchError: it can't be had.
    """
    return program_files(("nginx",), ("usr/sbin/nginx",))
