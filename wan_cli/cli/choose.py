"""Which provider and which model, and who comes after (interface.md, sections 2 and 5)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from wan_cli.catalog import Model
from wan_cli.dataclass import dataclass, replace
from wan_cli.errors import KeyMissing, SetupError, UnsupportedOption, UsageError, WanError
from wan_cli.fit import Fitted, fit
from wan_cli.registry import ORDER, capabilities, every_model, knows, names
from wan_cli.text import one_line

if TYPE_CHECKING:
    from wan_cli.cli.context import App
    from wan_cli.models import Job


@dataclass(frozen=True, slots=True)
class Candidate:
    """A model that can make the job, and the job fitted to it."""

    model: Model
    fitted: Fitted


def choose(
    app: App, job: Job, *, provider: str | None, model: str | None, need_key: bool, tell: Callable[[str], None]
) -> list[Candidate]:  # fmt: skip
    """Return who will make ``job``: the first, and those that follow when it certainly did not take the job.

    A named provider is taken at its word; of several, those that cannot do it, or have no key, are passed over with a
    warning. When nobody is named it is the first that has a key and can do what is asked, in registry order; without
    any key nothing is sent, and the error names the variables. ``tell`` is told who that is.
    """
    named = provider or app.config.get("provider")
    wanted = model or app.config.get("model")
    if named:
        listed = [name.strip() for name in str(named).split(",")]
        if not all(listed):
            raise UsageError(f"--provider {one_line(str(named))}: an empty name is not a provider", hint="wan models")
        chosen = list(map(known, listed))
        if len(chosen) == 1:
            return [_fitted(job, chosen[0], wanted)]
        return _listed(app, job, chosen, wanted, need_key=need_key)
    order = [known(name) for name in app.config.get("providers") or ORDER]
    keyed = [name for name in order if app.sandbox or app.has_key(name)]
    refused: WanError | None = None
    for name in keyed if keyed or need_key else order:
        try:
            found = _fitted(job, name, wanted)
        except UnsupportedOption as error:
            refused = refused or error
        else:
            first = "first in the sandbox" if app.sandbox else "first with a key" if keyed else "first"
            tell(f"provider: {name} ({first} that can do this)")
            return [found]
    if refused:
        raise refused
    variables = ", ".join(capabilities(name).key_env for name in order)
    raise KeyMissing(f"no key is set: {variables}", hint=f"export {capabilities(order[0]).key_env}=YOUR_KEY")


def _listed(app: App, job: Job, chosen: Sequence[str], model: str | None, *, need_key: bool) -> list[Candidate]:
    """Return those of a list that can do it, in the user's order; the first says why others were passed over."""
    found: list[Candidate] = []
    passed: list[str] = []
    refused: WanError | None = None
    for name in dict.fromkeys(chosen):
        try:
            if need_key and not app.sandbox:
                app.secret(name)
            app.provider(name)  # a bad setting shows here, not when the others have been asked
            found.append(_fitted(job, name, model))
        except (UnsupportedOption, SetupError) as error:
            refused = refused or error
            passed.append(f"{name} was passed over: {error.message}")
    if not found:
        raise refused or UsageError("no provider was named")
    first = found[0]
    return [Candidate(first.model, replace(first.fitted, warnings=(*passed, *first.fitted.warnings))), *found[1:]]


def known(name: str) -> str:
    """Return a provider's name. Raises ``UsageError`` with those there are."""
    if not knows(name):
        raise UsageError(f"{one_line(name)} is not a provider; there are {', '.join(names())}", hint="wan models")
    return name


def _fitted(job: Job, provider: str, model: str | None) -> Candidate:
    """Fit ``job`` to the named model, or to the provider's first that can do it."""
    offered = capabilities(provider)
    job = replace(job, provider=provider)
    entries = [entry for entry in offered.models if entry.makes == job.makes]
    if not entries:
        able = ", ".join(dict.fromkeys(entry.provider for entry in every_model() if entry.makes == job.makes))
        what = "pictures" if job.makes == "image" else f"{job.makes}s"
        raise UnsupportedOption(f"{provider} makes no {what}; those that do: {able}", hint="wan models")
    if model:
        entry = offered.find(model) or offered.unlisted(model, job.makes)
        return Candidate(entry, fit(replace(job, model=entry.name), entry))
    refused: list[UnsupportedOption] = []
    for entry in entries:
        try:
            return Candidate(entry, fit(replace(job, model=entry.name), entry))
        except UnsupportedOption as error:
            refused.append(error)
    raise refused[0]
