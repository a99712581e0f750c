"""Calls OpenSSL and sqlite, from outside and so that they call themselves, for each line read; says what it got."""

import hashlib
import hmac
import os
import sqlite3
from pathlib import Path

base = sqlite3.connect(":memory:")
base.execute("create table rows (content)")
os.mkfifo("/tmp/ask")
while True:
    Path("/tmp/ask").read_text()
    row = base.execute("insert or replace into rows (rowid, content) values (5, 1)").lastrowid
    (same,) = base.execute("select last_insert_rowid()").fetchone()
    digests = hashlib.sha256(b"abc").hexdigest(), hmac.digest(b"key", b"abc", "sha256").hex()
    Path("/tmp/answer.new").write_text(f"{row} {same} {digests[0]} {digests[1]}\n")
    Path("/tmp/answer.new").rename("/tmp/answer")
