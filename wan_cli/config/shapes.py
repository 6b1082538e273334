"""The shapes of the two configuration files; anything else in them is refused with its place."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from wan_cli.config.settings import MOST_JOBS

Text = Annotated[str, StringConstraints(min_length=1, strip_whitespace=True)]


class Table(BaseModel):
    """A table of a configuration file."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class Defaults(Table):
    """What a flag would say; also all that a project file may set (there at the top level too)."""

    provider: Text | None = None
    providers: list[Text] | None = None
    model: Text | None = None
    size: Text | None = None
    aspect: Text | None = None
    negative: Text | None = None
    duration: Annotated[int, Field(ge=1)] | None = None
    resolution: Text | None = None
    output: Text | None = None
    jobs: Annotated[int, Field(ge=1, le=MOST_JOBS)] | None = None
    max_cost: Text | list[Text] | None = None


class UserDefaults(Defaults):
    """What the user's own file may set beyond that."""

    timeout: Text | None = None
    embed: bool | None = None


class Spend(Table):
    """``ask_above``: amounts with their unit from which a yes is needed."""

    ask_above: Text | list[Text] | None = None


class Privacy(Table):
    """``store_prompts = false`` keeps only hashes in the ledger."""

    store_prompts: bool = True


class PriceEntry(Table):
    """A price the user knows, for ``[prices."PROVIDER/MODEL"]``."""

    amount: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    unit: Annotated[str, StringConstraints(pattern=r"^[A-Za-z]{1,16}$")]
    per: Literal["image", "second", "task"] = "image"


class ProviderTable(BaseModel):
    """``[providers.NAME]``; what is not named here is a quirk, checked by the provider's adapter."""

    model_config = ConfigDict(extra="allow", frozen=True, hide_input_in_errors=True)

    contract: Text | None = None
    auth: Literal["key", "none"] = "key"
    base_url: Text | None = None
    region: Text | None = None
    key_env: Text | None = None
    key_file: Text | None = None
    key_command: Text | list[Text] | None = None
    allow_http: bool = False
    in_flight: Annotated[int, Field(ge=1, le=100_000)] | None = None
    per_minute: Annotated[float, Field(gt=0, le=1_000_000, allow_inf_nan=False)] | None = None

    @property
    def quirks(self) -> dict[str, Any]:
        """The switches for what the provider's documents leave open."""
        return dict(self.model_extra or {})


class UserFile(Table):
    """``config.toml`` in the configuration folder."""

    defaults: UserDefaults = UserDefaults()
    spend: Spend = Spend()
    privacy: Privacy = Privacy()
    prices: dict[str, PriceEntry] = Field(default_factory=dict)
    providers: dict[str, ProviderTable] = Field(default_factory=dict)


class ProjectFile(Defaults):
    """``wan.toml`` of a project: it may choose neither origins, keys, headers nor higher caps (reliability.md S3)."""

    defaults: Defaults | None = None

    def flat(self) -> Defaults:
        """Return the settings, whether they stand at the top or under ``[defaults]``."""
        own = self.model_dump(exclude={"defaults"}, exclude_none=True)
        nested = self.defaults.model_dump(exclude_none=True) if self.defaults else {}
        return Defaults(**(nested | own))
