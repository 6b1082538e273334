"""Peak memory: a one-off, a thousand tasks, a large film, nine references in a JSON body and in a form; run by hand.

    python tests/benchmarks/memory.py [TASKS]

Every row is a process of its own; the server is another one. What is "over idle" is measured in the process itself:
its peak afterwards less its peak when everything was imported and connected.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from throughput import measure, serving  # noqa: E402 - beside this file

REFERENCES, REFERENCE = 9, 20 * 1024 * 1024
FILM = 200 * 1024 * 1024


def one_off(url: str, folder: Path) -> float:
    """Return the peak of ``wan generate`` in MiB: a task, a poll, a picture of 1 MB."""
    env = {
        **os.environ,
        "WAN_STATE_DIR": str(folder / "state"),
        "MODELVERSE_BASE_URL": url,
        "MODELVERSE_API_KEY": "sk-x",
    }
    argv = ["wan_cli", "generate", "a fox", "-p", "modelverse", "--yes", "-o", str(folder / "fox.png")]
    process = subprocess.Popen(
        [sys.executable, "-m", *argv], env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stderr
    said = process.stderr.read()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(said)
    return used.ru_maxrss / 1024


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


async def sent(kind: str, url: str, folder: Path) -> dict[str, float]:
    """Send the references as ``json`` or as a ``form``; return MiB before and after."""
    from wan_cli.models import LocalFile
    from wan_cli.providers import load
    from wan_cli.providers.base import Embedded, Form
    from wan_cli.transport.client import Api

    provider, api = load("modelverse")(url), Api(url, lambda: "sk-of-the-benchmark")
    await api.send(provider.request("POST", "/sink", body={}))
    files = []
    for number in range(REFERENCES):
        with (folder / f"{number}.png").open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        files.append(LocalFile(path=str(folder / f"{number}.png"), sha256=digest, size=REFERENCE, mime="image/png"))
    idle = _peak()
    if kind == "json":
        embedded = [Embedded(file) for file in files]
        request = provider.request(
            "POST", "/sink", body={"images": [one.placeholder for one in embedded]}, embedded=embedded
        )
    else:
        form = Form(fields={"prompt": "a fox"}, files=[("image[]", file) for file in files])
        request = provider.request("POST", "/sink", form=form)
    response = await api.send(request)
    await api.close()
    assert response.status_code == 200
    return {"idle": idle, "peak": _peak()}


def asked(kind: str, url: str, folder: Path) -> dict[str, float]:
    """Run :func:`sent` in a process of its own."""
    ran = subprocess.run([sys.executable, __file__, kind, url, str(folder)], check=True, stdout=subprocess.PIPE)
    found: dict[str, float] = json.loads(ran.stdout)
    return found


def main(tasks: int = 1000) -> None:
    """Print the table."""
    rows = []
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        with serving(polls=1) as url:
            first = one_off(url, folder)
            rows.append(("`wan generate`, one picture", first, "", "80 MiB"))
            single = measure("wan", tasks=1, flying=1)["peak"]
            many = measure("wan", tasks=tasks, flying=256)["peak"]
            rows.append((f"{tasks:,} tasks, 256 in flight", many, f"{many / first:.2f} of the one-off", "1.5"))
            rows.append(("the same stack, 1 task", single, "", ""))
            argv = [sys.executable, str(HERE / "downloads.py"), "--play", f"{url}/blob/{FILM}", str(folder)]
            film = json.loads(subprocess.run(argv, check=True, stdout=subprocess.PIPE).stdout)
            rows.append(("a film of 200 MiB", film["peak"], f"{film['more']:.1f} MiB over idle", "constant"))
            for number in range(REFERENCES):
                (folder / f"{number}.png").write_bytes(bytes([number]) * REFERENCE)
            for kind in ("json", "form"):
                found = asked(kind, url, folder)
                ratio = f"{found['peak'] / found['idle']:.2f} of idle ({found['idle']:.1f} MiB)"
                rows.append((f"9 references of 20 MiB, {kind}", found["peak"], ratio, "1.3"))
    lines = ["| what | peak MiB | | at most |", "|---|---:|---|---|"]
    lines += [f"| {what} | {peak:.1f} | {more} | {limit} |" for what, peak, more, limit in rows]
    sys.stdout.write("\n".join([*lines, ""]))


if __name__ == "__main__":
    if sys.argv[1:2] in (["json"], ["form"]):
        sys.stdout.write(json.dumps(asyncio.run(sent(sys.argv[1], sys.argv[2], Path(sys.argv[3])))))
    else:
        main(*map(int, sys.argv[1:]))
