"""Put before each script of this folder, which run in a guest, beside the processes that they are about."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from oddtoc.errors import OddtocError
from oddtoc.process.call import find_call
from oddtoc.process.maps import parse_maps
from oddtoc.target.local import LocalProcess, lent
from oddtoc.target.ptrace import Tracee

arguments = sys.argv[1:]


def start(*words):
    process = subprocess.Popen(words, stdout=open("/tmp/printed", "w"), stderr=subprocess.DEVNULL)
    time.sleep(0.5)
    return process


def status(process, field):
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    return next(line for line in lines if line.startswith(f"{field}:")).split()[1]


def runs(process):
    return status(process, "State") in "SR" and status(process, "TracerPid") == "0"


def mappings(target):
    return parse_maps(target.read_file(f"/proc/{target.pid}/maps").decode())


def answer(*values):
    print(json.dumps(values))
