"""--dry-run prints requests that can be run, needs no key and sends nothing (section 2)."""

from __future__ import annotations

import base64
import os
import subprocess
import sys
from typing import Any

import pytest
from support_cli import MODELVERSE_KEY, RIVYA_KEY, Cli, Ran, picture

HOSTILE = 'it\'s $HOME `id` $(id) \\ "quoted" %s\nnew line !'


def run_in_shell(ran: Ran, live: Cli, **env: Any) -> subprocess.CompletedProcess[bytes]:
    """Run the commands of a dry run with a real shell and curl."""
    assert ran.code == 0, ran.err
    return subprocess.run(
        ["sh", "-eu", "-c", ran.out], env={**os.environ, **env}, cwd=live.cwd, capture_output=True, timeout=20,
        check=True,
    )  # fmt: skip


def test_no_key_and_nothing_sent(live: Cli) -> None:
    """It needs no key, sends nothing, writes nothing, and says what it would cost."""
    ran = live.run("generate", "a fox", "-p", "rivya", "--dry-run", env={"RIVYA_API_KEY": ""})
    assert ran.code == 0
    assert "$RIVYA_API_KEY" in ran.out
    assert "estimate: 5 credits; nothing was sent" in ran.err
    assert not live.provider.seen
    assert live.run("status", "--json").json["tasks"] == []
    assert live.files() == []


def test_curl_buys_the_same(live: Cli) -> None:
    """The printed command, run by a shell, makes the request that wan makes, whatever is in the prompt."""
    ran = live.run("generate", HOSTILE, "-p", "rivya", "-s", "1K", "-a", "16:9", "--dry-run")
    done = run_in_shell(ran, live, RIVYA_API_KEY=RIVYA_KEY)
    assert b"task_1" in done.stdout
    by_curl = live.provider.orders[0].body
    assert live.run("generate", HOSTILE, "-p", "rivya", "-s", "1K", "-a", "16:9").code == 0
    by_wan = live.provider.orders[1].body
    assert by_curl | {"client_request_id": ""} == by_wan | {"client_request_id": ""}
    assert by_curl["prompt"] == HOSTILE


@pytest.mark.parametrize("name", ["a.png", "it's $x `y`.png"])
def test_curl_with_a_picture_inside(live: Cli, name: str) -> None:
    """A picture as a data URI is encoded by the shell: what arrives is the file, byte for byte."""
    data = picture(600, 400)
    live.write(name, data)
    ran = live.run("edit", name, HOSTILE, "-p", "modelverse", "--dry-run")
    run_in_shell(ran, live, MODELVERSE_API_KEY=MODELVERSE_KEY)
    told = live.provider.orders[0].body["input"]
    assert base64.b64decode(told["img_url"].removeprefix("data:image/png;base64,")) == data
    assert told["prompt"] == HOSTILE
    assert live.run("edit", name, HOSTILE, "-p", "modelverse").code == 0
    assert live.provider.orders[1].body == live.provider.orders[0].body


def test_curl_uploads(live: Cli) -> None:
    """An upload is a form that curl can send; the purchase has a placeholder for its address."""
    data = picture(600, 400)
    live.write("a.png", data)
    ran = live.run("edit", "a.png", "x", "-p", "rivya", "--dry-run", "--json")
    first, second = ran.json["requests"]
    assert second["body"]["params"]["referenceMediaItems"][0]["url"] == "<upload:a.png>"
    subprocess.run(
        ["sh", "-eu", "-c", first["curl"]], env={**os.environ, "RIVYA_API_KEY": RIVYA_KEY}, cwd=live.cwd, check=True,
        capture_output=True, timeout=20,
    )  # fmt: skip
    (upload,) = live.provider.asked("upload")
    assert data in upload.body
    assert b'name="kind"' in upload.body


def test_one_upload_serves_every_task(live: Cli) -> None:
    """With -n the upload is printed once, the purchase once a task."""
    live.write("a.png", picture(600, 400))
    ran = live.run("edit", "a.png", "x", "-p", "rivya", "-n", "3", "--dry-run", "--json")
    assert [request["url"].rpartition("/")[2] for request in ran.json["requests"]] == ["files", *["generations"] * 3]
    assert ran.json["estimate"] == [{"amount": 15, "unit": "credits"}]
    assert [task["state"] for task in ran.json["tasks"]] == ["planned"] * 3


def test_as_json_lines(live: Cli) -> None:
    """--jsonl of a dry run is a summary."""
    ran = live.run("generate", "x", "--dry-run", "--jsonl")
    assert ran.code == 0
    assert ran.events[-1]["tasks"] == 1


def test_over_a_cap_is_five(live: Cli) -> None:
    """A dry run over a cap is exit 5, as the purchase would be."""
    assert live.run("generate", "x", "-p", "rivya", "--dry-run", "--max-cost", "4credits").code == 5


def test_many_results_need_no_consent(live: Cli) -> None:
    """Nothing is bought, so nothing is asked."""
    assert live.run("generate", "x", "-p", "rivya", "--dry-run", "-n", "21").code == 0


def test_state_stays_untouched(live: Cli) -> None:
    """A dry run makes no ledger."""
    live.run("generate", "x", "--dry-run")
    assert not (live.root / "state").exists()


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="its names are Unicode")
@pytest.mark.parametrize("maker", ["rivya", "modelverse"])
def test_a_file_with_a_name_of_any_bytes(live: Cli, maker: str) -> None:
    """A name that is no UTF-8 has a place in the command as well."""
    live.write("caf\udce9.png", picture())
    ran = live.run("edit", "caf\udce9.png", "make it night", "-p", maker, "--dry-run", "--json")
    assert ran.code == 0, ran.err
    assert "caf" in ran.json["requests"][0]["curl"]
