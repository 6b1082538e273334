"""wan in front of object stores that nobody here wrote: moto for S3, Azurite (Microsoft's own) for Azure.

Google's was asked to read only: obstore writes by its XML interface, which the emulator that was tried lacks.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from support_installing import from_npm, from_pypi, large, program, script
from support_peers import Peer
from support_processes import Machine

from wan_cli.stores import StoreFault, objects, read_address

pytestmark = [pytest.mark.peers, large("what serves the stores")]

AZURITE = "3.35.0"
ACCOUNT = "devstoreaccount1"
# Published with the emulator, and of no use elsewhere: learn.microsoft.com/azure/storage/common/storage-use-azurite
ACCOUNT_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
LARGE = 20 * 1024 * 1024


def _s3(folder: Path) -> tuple[Peer, dict[str, str], str]:
    peer = Peer((program(from_pypi("moto"), "moto_server"), "-H", "127.0.0.1", "-p", "{port}"), folder)
    names = {"AWS_ACCESS_KEY_ID": "peer", "AWS_SECRET_ACCESS_KEY": "peer", "AWS_REGION": "us-east-1"}
    return peer, {**names, "AWS_ENDPOINT_URL": peer.url}, "s3"


def _azure(folder: Path) -> tuple[Peer, dict[str, str], str]:
    words = ("--blobPort", "{port}", "--inMemoryPersistence", "--skipApiVersionCheck", "--disableTelemetry")
    peer = Peer((*script(from_npm("azurite", AZURITE), "azurite-blob"), *words), folder)
    names = {"AZURE_STORAGE_ACCOUNT_NAME": ACCOUNT, "AZURE_STORAGE_ACCOUNT_KEY": ACCOUNT_KEY}
    return peer, {**names, "AZURE_STORAGE_ENDPOINT": f"{peer.url}/{ACCOUNT}"}, "az"


def _make_bucket(peer: Peer, scheme: str) -> None:
    if scheme == "s3":
        assert peer.ask("PUT", "/studio", key=None).is_success
        return
    said = {"x-ms-date": time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime()), "x-ms-version": "2021-08-06"}
    lines = "\n".join(f"{name}:{value}" for name, value in said.items())
    text = "PUT" + "\n" * 12 + f"{lines}\n/{ACCOUNT}/{ACCOUNT}/studio\nrestype:container"
    signed = base64.b64encode(hmac.digest(base64.b64decode(ACCOUNT_KEY), text.encode(), "sha256")).decode()
    headers = {**said, "Authorization": f"SharedKey {ACCOUNT}:{signed}", "Content-Length": "0"}
    address = f"{peer.url}/{ACCOUNT}/studio?restype=container"
    assert httpx.put(address, headers=headers, timeout=10, trust_env=False).is_success


@pytest.fixture(params=[_s3, _azure], ids=["moto", "azurite"])
def peer(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[str, dict[str, str]]]:
    """Return the scheme of a store with an empty bucket ``studio``, and the variables that lead to it."""
    (tmp_path / "peer").mkdir()
    server, variables, scheme = request.param(tmp_path / "peer")
    with server:
        _make_bucket(server, scheme)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        objects.forget()
        yield scheme, variables
    objects.forget()


@pytest.fixture
def machine(tmp_path: Path, peer: tuple[str, dict[str, str]]) -> Iterator[Machine]:
    """Return a place to run wan in, which knows the store."""
    made = Machine(tmp_path)
    made.env |= peer[1]
    yield made
    made.close()


def test_pictures_go_there_and_come_from_there(machine: Machine, peer: tuple[str, dict[str, str]]) -> None:
    """Put, refused when it is there, replaced when that is asked for, read as a reference."""
    scheme, _ = peer
    call = ("generate", "a fox", "--sandbox", "-o", f"{scheme}://studio/out/fox.png")
    ended = machine.run(*call, "--sidecar", "--json")
    assert ended.code == 0, ended
    (file,) = ended.json["tasks"][0]["files"]
    assert file["path"] == f"{scheme}://studio/out/fox.png"
    found = objects.look(read_address(file["path"]))
    assert found is not None
    assert (found.size, found.sha256) == (file["bytes"], file["sha256"])
    assert machine.run(*call).code == 2
    assert machine.run(*call, "--overwrite").code == 0
    ended = machine.run("edit", file["path"], "a wolf", "--sandbox", "-o", f"{scheme}://studio/")
    assert ended.code == 0, ended
    assert ended.out.startswith(f"{scheme}://studio/a-wolf-")
    assert machine.files() == []


def test_a_bucket_that_is_not_there(machine: Machine, peer: tuple[str, dict[str, str]]) -> None:
    """It is told from an object that is not there."""
    ended = machine.run("generate", "a fox", "--sandbox", "-o", f"{peer[0]}://nobody/fox.png")
    assert ended.code == 2
    assert "no such bucket" in ended.err


def test_large_files(tmp_path: Path, peer: tuple[str, dict[str, str]]) -> None:
    """A new one in one request that replaces nothing; one that replaces in parts; both with their sha256."""
    video, address = tmp_path / "clip.mp4", read_address(f"{peer[0]}://studio/clip.mp4")
    for number, overwrite in enumerate((False, True)):
        video.write_bytes(bytes([number]) * LARGE)
        digest = hashlib.sha256(video.read_bytes()).hexdigest()
        asyncio.run(objects.put(address, video, sha256=digest, mime="video/mp4", overwrite=overwrite))
        assert objects.look(address) == objects.Found(size=LARGE, sha256=digest)
    video.write_bytes(b"other")
    with pytest.raises(StoreFault) as fault:
        asyncio.run(objects.put(address, video, sha256="0" * 64, mime="video/mp4", overwrite=False))
    assert fault.value.kind == "taken"
