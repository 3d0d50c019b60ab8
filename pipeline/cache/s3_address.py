"""Where a cache in S3 is, and how it wants to be spoken to."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote, urlsplit

from pipeline.errors import SettingsError
from pipeline.near import near_spelling

SCHEME = "s3://"
DEFAULT_LEASE_S = 120.0
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_PREFIX = re.compile(r"[A-Za-z0-9!_.*'()-]+(/[A-Za-z0-9!_.*'()-]+)*")
_SECONDS = re.compile(r"0|[1-9]\d{0,4}", re.ASCII)
_ACCOUNT = re.compile(r"\d{12}", re.ASCII)
_OPTIONS = ("endpoint", "region", "addressing", "owner", "sse", "kms-key", "lease")
_ADDRESSING = ("auto", "path", "virtual")
_ENCRYPTION = {"s3": "AES256", "kms": "aws:kms", "kms-dsse": "aws:kms:dsse"}


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Address:
    """A bucket, a prefix in it without slashes at its ends, and how requests are made.

    What is ``None`` is left to boto3's own configuration (environment, profile) or to the bucket's defaults.
    ``owner`` is the account that must own the bucket; ``encryption`` is S3's own word for it, like ``aws:kms``.
    ``lease_s`` is how long a runner that is not heard of is believed to be at work on a job; 0 for no leases.
    """

    bucket: str
    prefix: str = ""
    endpoint_url: str | None = None
    region: str | None = None
    addressing: str = "auto"
    owner: str | None = None
    encryption: str | None = None
    kms_key: str | None = None
    lease_s: float = DEFAULT_LEASE_S

    def root(self, scope: str) -> str:
        """What the names of all objects of ``scope`` begin with."""
        return f"{self.prefix}/v1/{scope}/" if self.prefix else f"v1/{scope}/"

    def __str__(self) -> str:
        return f"{SCHEME}{self.bucket}/{self.prefix}".rstrip("/")


def address_from_url(url: str) -> S3Address:
    """Read ``s3://bucket/prefix?endpoint=https://host&addressing=path&owner=123456789012&sse=kms&kms-key=ARN``.

    Every option may be left out. Raises ``SettingsError``.
    """
    parts = urlsplit(url)
    if parts.scheme != "s3" or parts.fragment or "@" in parts.netloc:
        raise _wrong(url, "it is not of the form s3://bucket/prefix", "credentials come from boto3's default chain")
    if not _BUCKET.fullmatch(parts.netloc):
        raise _wrong(url, f"{parts.netloc!r} is no name of a bucket", "write s3://bucket/prefix")
    prefix = unquote(parts.path).strip("/")
    if prefix and (not _PREFIX.fullmatch(prefix) or {".", ".."} & set(prefix.split("/"))):
        raise _wrong(url, f"the prefix {prefix!r} has unsafe characters", "use letters, digits, '-', '_', '.' and '/'")
    options = _options(url, parts.query)
    addressing, owner = options.get("addressing", "auto"), options.get("owner")
    endpoint, encryption = options.get("endpoint"), options.get("sse")
    if endpoint is not None and urlsplit(endpoint).scheme not in ("http", "https"):
        raise _wrong(url, f"the endpoint {endpoint!r} is no URL", "write endpoint=https://host:port")
    if addressing not in _ADDRESSING:
        raise _wrong(url, f"addressing={addressing} is not known", f"use one of {', '.join(_ADDRESSING)}")
    if owner is not None and not _ACCOUNT.fullmatch(owner):
        raise _wrong(url, f"owner={owner} is no account id", "write its twelve digits")
    if encryption is not None and encryption not in _ENCRYPTION:
        raise _wrong(url, f"sse={encryption} is not known", f"use one of {', '.join(_ENCRYPTION)}")
    lease = options.get("lease", f"{DEFAULT_LEASE_S:.0f}")
    if not _SECONDS.fullmatch(lease):
        raise _wrong(url, f"lease={lease} is no number of seconds", "write lease=120, or lease=0 for no leases")
    if "kms-key" in options and not (encryption or "").startswith("kms"):
        raise _wrong(url, "kms-key is given without sse=kms", "add sse=kms")
    return S3Address(
        bucket=parts.netloc,
        prefix=prefix,
        endpoint_url=endpoint,
        region=options.get("region"),
        addressing=addressing,
        owner=owner,
        encryption=_ENCRYPTION[encryption] if encryption else None,
        kms_key=options.get("kms-key"),
        lease_s=float(lease),
    )


def _options(url: str, query: str) -> dict[str, str]:
    options: dict[str, str] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name not in _OPTIONS:
            hint = near_spelling(name, _OPTIONS) or f"known are {', '.join(_OPTIONS)}"
            raise _wrong(url, f"the option {name!r} is not known", hint)
        if name in options or not value:
            raise _wrong(url, f"the option {name!r} is empty or given twice", "give it once")
        options[name] = value
    return options


def _wrong(url: str, why: str, fix: str) -> SettingsError:
    shown = url.rsplit("@", maxsplit=1)[-1] if "@" in url else url  # What stands before an @ may be a secret.
    return SettingsError(f"the cache {shown!r} cannot be used", why=why, fix=fix)
