"""Files that a provider already has, so that the same picture is not uploaded twice."""

from __future__ import annotations

from wan_cli.dataclass import dataclass
from wan_cli.ledger.database import Database
from wan_cli.models import Upload


@dataclass(frozen=True, slots=True)
class Place:
    """A file's content (sha256 in hex), and where it was uploaded with which key (its fingerprint)."""

    sha256: str
    provider: str
    origin: str
    key_print: str


def remember(db: Database, place: Place, upload: Upload, at: float) -> None:
    """Keep ``upload``, made at ``at`` (epoch s), instead of an earlier one of the same file to the same place."""
    db.execute(
        "INSERT INTO upload (sha256, provider, origin, key_print, at, url, file_id, duration_token, expires_at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (sha256, provider, origin, key_print) DO UPDATE"
        " SET at = excluded.at, url = excluded.url, file_id = excluded.file_id,"
        " duration_token = excluded.duration_token, expires_at = excluded.expires_at",
        (
            place.sha256, place.provider, place.origin, place.key_print, at, upload.url, upload.file_id,
            upload.duration_token, upload.expires_at,
        ),
    )  # fmt: skip


def known(db: Database, place: Place, now: float, max_age_s: float) -> Upload | None:
    """Return the upload when it can still be used: before its expiry where that is known, else while it is young.

    One from the future (the clock was set back) is not trusted.
    """
    row = db.execute(
        "SELECT at, url, file_id, duration_token, expires_at FROM upload"
        " WHERE sha256 = ? AND provider = ? AND origin = ? AND key_print = ?",
        (place.sha256, place.provider, place.origin, place.key_print),
    ).fetchone()
    if row is None:
        return None
    at, url, file_id, duration_token, expires_at = row
    usable = now < expires_at if expires_at is not None else 0 <= now - at <= max_age_s
    if not usable:
        return None
    return Upload(url=url, file_id=file_id, duration_token=duration_token, expires_at=expires_at)
