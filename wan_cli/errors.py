"""Every way a command can end badly.

The class decides the exit code, the stable ``code`` of the JSON document, and what is known about money
(interface.md, sections 3 and 4)::

    WanError                          code                  exit  charged
    ├── UsageError                    usage                    2  no
    │   ├── UnsupportedOption         unsupported_option       2  no
    │   └── FileInvalid               file_invalid             2  no
    ├── SetupError                                             3  no
    │   ├── KeyMissing                key_missing              3  no
    │   ├── KeyRejected               key_rejected             3  no
    │   ├── KeyOrigin                 key_origin               3  no
    │   ├── ConfigInvalid             config_invalid           3  no
    │   └── StateUnusable             state_unusable           3  no
    ├── RequestRejected               request_rejected         4  no
    │   ├── Moderation                moderation               4  no
    │   └── ModelUnknown              model_unknown            4  no
    ├── SpendError                                             5  no
    │   ├── InsufficientCredits       insufficient_credits     5  no
    │   ├── OverBudget                over_budget              5  no
    │   └── ConsentMissing            consent_missing          5  no
    ├── Temporary                                              6  no
    │   ├── RateLimited               rate_limited             6  no
    │   ├── ProviderUnavailable       provider_unavailable     6  no
    │   └── NetworkError              network                  6  no
    ├── TaskFailed                    task_failed              7  as the provider says, else unknown
    │   └── Cancelled                 cancelled                7  as the provider says, else unknown
    ├── StillRunning                  timeout_waiting          8  yes
    ├── OutcomeUnknown                outcome_unknown          9  unknown
    ├── ResultGone                                            10  yes
    │   ├── ResultExpired             result_expired          10  yes
    │   └── TaskVanished              task_vanished           10  yes
    ├── Partial                       partial                 11  yes
    ├── ResultStuck                                           12  yes
    │   ├── DownloadFailed            download_failed         12  yes
    │   └── WriteFailed               write_failed            12  yes
    ├── StaleAssets                   stale                   13  no
    ├── DeliveryMismatch              delivery_mismatch       14  yes
    ├── Interrupted                   interrupted            130  as the task says
    └── InternalError                 internal                 1  as the task says
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

Charged = Literal["no", "yes", "unknown"]


class WanError(Exception):
    """What happened, why, what it cost, and the next command.

    ``retry_safe`` says whether the same call may be repeated without paying twice: only where nothing was bought, and
    repeating can help. ``hint`` is a command (or a short instruction) to continue with. ``retry_after_s`` is in
    seconds. ``provider_code`` and ``http_status`` are the provider's own words, kept for scripts. ``charged`` may be
    given where the instance knows better than its class.
    """

    code: ClassVar[str] = "internal"
    default_exit: ClassVar[int] = 1
    default_charged: ClassVar[Charged] = "no"
    retry_safe: ClassVar[bool] = False

    def __init__(
        self,
        message: str,
        *,
        hint: str = "",
        charged: Charged | None = None,
        http_status: int | None = None,
        provider_code: str | None = None,
        request_id: str | None = None,
        retry_after_s: float | None = None,
        exit_code: int | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.charged: Charged = charged or self.default_charged
        self.http_status = http_status
        self.provider_code = provider_code
        self.request_id = request_id
        self.retry_after_s = retry_after_s
        self.exit_code = self.default_exit if exit_code is None else exit_code

    def document(self) -> dict[str, Any]:
        """Return the ``error`` object of the JSON document (interface.md, section 3)."""
        return {
            "code": self.code,
            "message": self.message,
            "hint": self.hint or None,
            "exit_code": self.exit_code,
            "charged": self.charged,
            "retry_safe": self.retry_safe and self.charged == "no",
            "retry_after_s": self.retry_after_s,
            "http_status": self.http_status,
            "provider_code": self.provider_code,
        }


class UsageError(WanError):
    """The call is wrong: flags, files, an unwritable target. Nothing was sent."""

    code = "usage"
    default_exit = 2


class UnsupportedOption(UsageError):
    """The provider or the model cannot honour an option; another may."""

    code = "unsupported_option"


class FileInvalid(UsageError):
    """A local file is missing, unreadable, or not what it must be."""

    code = "file_invalid"


class SetupError(WanError):
    """Key, configuration or state folder: the set-up has to be mended first."""

    code = "config_invalid"
    default_exit = 3
    retry_safe = True


class KeyMissing(SetupError):
    """No key is set for the provider."""

    code = "key_missing"


class KeyRejected(SetupError):
    """The provider refused the key."""

    code = "key_rejected"


class KeyOrigin(SetupError):
    """The key belongs to another origin than the one it would be sent to."""

    code = "key_origin"


class ConfigInvalid(SetupError):
    """A configuration file or variable cannot be used."""

    code = "config_invalid"


class StateUnusable(SetupError):
    """The state folder or the ledger cannot be used, so nothing may be bought."""

    code = "state_unusable"


class RequestRejected(WanError):
    """The provider refused the request itself."""

    code = "request_rejected"
    default_exit = 4


class Moderation(RequestRejected):
    """The provider's content rules refused the prompt or a picture."""

    code = "moderation"


class ModelUnknown(RequestRejected):
    """The provider does not serve this model."""

    code = "model_unknown"


class SpendError(WanError):
    """Money stands in the way."""

    code = "over_budget"
    default_exit = 5
    retry_safe = True


class InsufficientCredits(SpendError):
    """The account has too few credits or no quota."""

    code = "insufficient_credits"


class OverBudget(SpendError):
    """The estimate is above a cap, or unknown while a cap is set."""

    code = "over_budget"


class ConsentMissing(SpendError):
    """So many results need a yes that was not given."""

    code = "consent_missing"


class Temporary(WanError):
    """Nothing was bought, and the same call may work later."""

    code = "provider_unavailable"
    default_exit = 6
    retry_safe = True


class RateLimited(Temporary):
    """The provider asks to slow down, and the retries are used up."""

    code = "rate_limited"


class ProviderUnavailable(Temporary):
    """The provider is down and says so."""

    code = "provider_unavailable"


class NetworkError(Temporary):
    """The provider could not be reached; no byte of the request left."""

    code = "network"


class TaskFailed(WanError):
    """The provider accepted the task, and the task failed."""

    code = "task_failed"
    default_exit = 7
    default_charged = "unknown"


class Cancelled(TaskFailed):
    """The task was cancelled at the provider."""

    code = "cancelled"


class StillRunning(WanError):
    """Waiting stopped before the task ended; nothing is lost."""

    code = "timeout_waiting"
    default_exit = 8
    default_charged = "yes"


class OutcomeUnknown(WanError):
    """The request may have been bought, and the answer was lost."""

    code = "outcome_unknown"
    default_exit = 9
    default_charged = "unknown"


class ResultGone(WanError):
    """A bought result no longer exists."""

    code = "result_expired"
    default_exit = 10
    default_charged = "yes"


class ResultExpired(ResultGone):
    """The result's address has expired."""

    code = "result_expired"


class TaskVanished(ResultGone):
    """The provider no longer knows the task, or it ended without a result."""

    code = "task_vanished"


class Partial(WanError):
    """Fewer results than asked for."""

    code = "partial"
    default_exit = 11
    default_charged = "yes"


class ResultStuck(WanError):
    """The result is bought and still at the provider."""

    code = "download_failed"
    default_exit = 12
    default_charged = "yes"


class DownloadFailed(ResultStuck):
    """The result could not be fetched, or is not a picture."""

    code = "download_failed"


class WriteFailed(ResultStuck):
    """The result could not be written."""

    code = "write_failed"


class StaleAssets(WanError):
    """Assets of a manifest are not up to date, or were edited by hand (``render``)."""

    code = "stale"
    default_exit = 13


class DeliveryMismatch(WanError):
    """What was delivered differs from what was asked for (``--strict``); the files are kept."""

    code = "delivery_mismatch"
    default_exit = 14
    default_charged = "yes"


class Interrupted(WanError):
    """A signal ended the command; the state is saved. ``exit_code`` is 128 plus the signal's number."""

    code = "interrupted"
    default_exit = 130


class InternalError(WanError):
    """A bug in wan."""

    code = "internal"
    default_exit = 1
    default_charged = "unknown"


def _leaves(cls: type[WanError]) -> list[type[WanError]]:
    return [cls, *(leaf for sub in cls.__subclasses__() for leaf in _leaves(sub))]


def by_code(code: str) -> type[WanError]:
    """Return the most specific class that carries ``code``; ``InternalError`` for an unknown one."""
    matches = [cls for cls in _leaves(WanError) if cls.__dict__.get("code") == code]
    return matches[-1] if matches else InternalError
