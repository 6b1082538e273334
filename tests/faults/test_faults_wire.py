"""The server of raw sockets itself: without a fault everything goes well, and a fault is one."""

from __future__ import annotations

from support_wire import Exchange, Line, Way, every


@every()
def test_without_a_fault_every_way_ends_with_a_file(line: Line, way: Way) -> None:
    """One purchase, one file, exit 0: what the other tests here break."""
    ran = line.buy(way, "--json")
    assert ran.code == 0, ran.err
    assert line.wire.purchases == len(line.wire.asked("submit")) == 1
    assert line.cli.files() == [f"fox{way.ext}"]


@every()
def test_a_fault_is_played_once(line: Line, way: Way) -> None:
    """A scripted refusal reaches the client, and the next request is answered well."""
    line.wire.script["submit"] = [lambda exchange: exchange.say(400, b'{"error": {"message": "no"}}')]
    assert line.buy(way).code == 4
    assert line.wire.purchases == 0
    assert line.buy(way).code == 0


def test_a_connection_that_is_reset_is_noticed(line: Line) -> None:
    """A RST after a poll's request is a failed poll."""
    line.wire.script["poll"] = [Exchange.reset]
    ran = line.run("generate", "a fox", "-p", "rivya", "-o", "fox.png")
    assert ran.code == 0
    assert len(line.wire.asked("poll")) == 2
