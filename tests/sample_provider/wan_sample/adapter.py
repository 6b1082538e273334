"""The adapter: POST /pictures answers with addresses; the header ``Once`` makes a repeat safe."""

from __future__ import annotations

from types import MappingProxyType

from wan_cli import errors
from wan_cli.models import Answer, Done, Flow, Job
from wan_cli.providers.base import Provider, Reply, outputs


class _Pictures(Reply):
    pictures: list[str]


class Sample(Provider):
    """Pictures at once."""

    name = "sample"
    endpoints = ("/pictures",)
    idempotent = True
    synchronous = True
    errors = MappingProxyType({"bad_key": errors.KeyRejected})

    def submit(self, job: Job, *, token: str) -> Flow[Answer]:
        """Ask for a picture."""
        said = {"prompt": job.prompt, "size": job.size, "shape": job.aspect, "seed": job.seed}
        body = {name: value for name, value in said.items() if value is not None} | dict(job.params)
        response = yield self.request("POST", "/pictures", body=body, headers={"Once": token})
        return Done(outputs=outputs(self.parse(response, _Pictures).pictures))
