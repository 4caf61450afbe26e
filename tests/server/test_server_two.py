"""Two servers on one home, and a client and a server of two versions."""

from __future__ import annotations

import threading
from contextlib import closing
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING, Any

import pytest
from test_server_remote import TOKEN as STARTED
from test_server_remote import started

from skillfleet_nb.errors import SkillfleetError
from skillfleet_nb.remote.fleet import RemoteFleet

if TYPE_CHECKING:
    from conftest import Server  # type: ignore[attr-defined]


def test_two_servers_on_one_home_answer_the_same(server: Server, finished: dict[str, Any]) -> None:
    process, address = started(server.root, 0)
    try:
        there = RemoteFleet(address, STARTED, cache_s=None)
        with closing(there):
            assert there.job(finished["name"]).id == finished["id"]
            stopped = server.owner.post(f"/jobs/{finished['id']}/cancel").json()["told"]
            assert stopped == f"{finished['name']} is completed already"
            rows = there.sql("select count(*) as n from events where kind = 'audited' and payload->>'target' = :job",
                             {"job": finished["id"]})  # fmt: skip
            assert rows.n[0] >= 1, "what one server was asked to change is in the audit that the other tells"
    finally:
        process.kill()
        process.wait()


def test_a_server_of_another_version_is_refused_in_a_line() -> None:
    class Newer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Skillfleet-API", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_: object) -> None:
            pass

    newer = HTTPServer(("127.0.0.1", 0), Newer)
    thread = threading.Thread(target=newer.serve_forever)
    thread.start()
    try:
        fleet = RemoteFleet(f"http://127.0.0.1:{newer.server_port}", STARTED, cache_s=None)
        with pytest.raises(SkillfleetError, match="speaks version 2, this client 1: install the same skillfleet-nb"):
            fleet.jobs()
    finally:
        newer.shutdown()
        thread.join()
        newer.server_close()
