"""Which provider and which model (interface.md, section 2)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from wan_cli.catalog import BUILTIN, Model, capabilities
from wan_cli.errors import KeyMissing, UnsupportedOption, UsageError, WanError
from wan_cli.fit import Fitted, fit
from wan_cli.text import one_line

if TYPE_CHECKING:
    from wan_cli.cli.context import App
    from wan_cli.models import Job


def choose(app: App, job: Job, *, provider: str | None, model: str | None, need_key: bool) -> tuple[Model, Fitted]:
    """Return the model that will make ``job`` and the job fitted to it.

    A named provider is taken at its word. Otherwise it is the first that has a key and can do what is asked, in
    registry order; without any key nothing is sent, and the error names the variables.
    """
    named = provider or app.config.get("provider")
    wanted = model or app.config.get("model")
    if named:
        return _fitted(job, _known(named), wanted)
    order = [_known(name) for name in app.config.get("providers") or BUILTIN]
    keyed = [name for name in order if app.sandbox or app.has_key(name)]
    refused: WanError | None = None
    for name in keyed if keyed or need_key else order:
        try:
            found = _fitted(job, name, wanted)
        except UnsupportedOption as error:
            refused = refused or error
        else:
            first = "first in the sandbox" if app.sandbox else "first with a key" if keyed else "first"
            app.talk(f"provider: {name} ({first} that can do this)")
            return found
    if refused:
        raise refused
    variables = ", ".join(capabilities(name).key_env for name in order)
    raise KeyMissing(f"no key is set: {variables}", hint="set one of them, or try it offline with --sandbox")


def _known(name: str) -> str:
    if "," in name:
        raise UsageError(f"--provider {one_line(name)}: one provider at a time")
    if name not in BUILTIN:
        raise UsageError(
            f"--provider {one_line(name)}: not a provider; there are {', '.join(BUILTIN)}", hint="wan models"
        )
    return name


def _fitted(job: Job, provider: str, model: str | None) -> tuple[Model, Fitted]:
    """Fit ``job`` to the named model, or to the provider's first that can do it."""
    offered = capabilities(provider)
    job = replace(job, provider=provider)
    if model:
        entry = offered.find(model) or offered.unlisted(model, job.makes)
        return entry, fit(replace(job, model=entry.name), entry)
    refused: UnsupportedOption | None = None
    for entry in (known for known in offered.models if known.makes == job.makes):
        try:
            return entry, fit(replace(job, model=entry.name), entry)
        except UnsupportedOption as error:
            refused = refused or error
    raise refused or UsageError(f"{provider} has no models")
