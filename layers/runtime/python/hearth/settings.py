"""All settings of the runtime, read from the environment once, when they are first needed."""

from __future__ import annotations

import binascii
import functools
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote

from hearth.errors import SettingsError

MEGABYTE = 1024 * 1024
# Lambda allocates one vCPU per 1,769 MB, at most six (AWS Lambda quotas).
MEMORY_PER_CPU_MB = 1769
SCRATCH = "/tmp"  # noqa: S108 -- the only writable folder of a Lambda; importing `tempfile` would slow down a cold start


STREAMING_SOURCES = frozenset({"rest", "url"})
"""Services that can stream: REST APIs with ResponseTransferMode STREAM, function URLs with InvokeMode
RESPONSE_STREAM."""


REDACTIONS = ("email", "url", "number")
"""Rules of `hearth.tasks.answers.REDACTIONS`."""


class Settings(NamedTuple):
    store: str
    """Location of the artifacts: `s3://bucket/prefix` or `file:///path`."""
    models: tuple[str, ...]
    """The served models, as `name` or `name@version`; empty: all models of the store."""
    cache_dir: Path
    memory: int
    """The memory of the function or of the machine, in bytes."""
    cache_memory: int
    """Largest size of all loaded models, in bytes."""
    prefix_memory: int
    """Largest size of keys and values that are kept of earlier texts, in bytes."""
    cache_disk: int
    """Largest size of all artifacts on disk, in bytes."""
    threads: int
    """Number of threads per inference."""
    output: str
    """Location of the results of storage events; empty: storage events are refused."""
    uploads: str
    """Location of uploads: `s3://bucket` or `file:///path`; empty: uploads are not enabled."""
    uploads_size: int
    """Bytes of uploads and results that the local server keeps at most."""
    dead_letters: str
    """URL of the dead-letter queue for messages that cannot be processed; empty: SQS moves them itself."""
    event_bus: str
    """Name of the EventBridge bus on which results of uploads are announced; empty: none are."""
    webhook: str
    """URL to which results of uploads are announced; empty: none is."""
    webhook_key: str
    """The key that signs announcements to the webhook: `whsec_` and base64, or `ssm:` and the name of a parameter of
    Parameter Store that has it."""
    deliveries: int
    """Number of deliveries of a message: the queue's maxReceiveCount."""
    upload_prefix: str
    """Object keys below this are inputs: `<upload_prefix><model>/…`."""
    max_body: int
    """Largest size of a request's body, in bytes."""
    alias_seconds: float
    """Seconds for which aliases are cached."""
    fetch_seconds: float
    """Timeout of the download of an artifact, retries included, in seconds."""
    run_seconds: float
    """Timeout of a request to the local server, in seconds."""
    max_queue: int
    """Largest number of concurrent requests to the local server; further ones get status 429."""
    streams: frozenset[str]
    """Services of STREAMING_SOURCES to which `hearth.aws_lambda.streaming` streams responses."""
    api_keys: str
    """A JSON list of API key entries, or the path of a file with one; empty: no key is required."""
    cors_origins: frozenset[str]
    """Origins of web pages that may call the API, such as `https://example.com`; `*`: all of them."""
    base_path: str
    """A prefix of all paths that is not part of the routes, as a custom domain's mapping may add; empty: none."""
    allowed_hosts: frozenset[str]
    """Names, beside localhost and IP addresses, by which the local server may be called; `*`: any name."""
    drain_seconds: float
    """Seconds after SIGTERM for which the local server still takes requests, while it says that it is not ready."""
    keep_alive_seconds: float
    """Seconds for which the local server keeps an idle connection."""
    body_seconds: float
    """Seconds in which a client of the local server must send a request's body."""
    work_memory: int
    """Bytes of memory for the work of concurrent requests to the local server; 0 on Lambda: no limit."""
    audit: str
    """Destination of audit records: `log` or `file:///path`; empty: no records."""
    refuse_unaudited: bool
    """Whether a request fails if its audit record cannot be written."""
    watch: str
    """Location of the sketches of what models see, and of feedback: `s3://bucket/prefix` or `file:///path`; empty: they
    stay in memory."""
    capture: str
    """Location of captured inputs: `s3://bucket/prefix` or `file:///path`; empty: none are captured."""
    capture_share: float
    """Share of the requests that are captured, 0 to 1."""
    capture_days: float
    """Days after which captured inputs in a local folder are deleted."""
    capture_redact: tuple[str, ...]
    """What is taken out of captured texts: some of REDACTIONS."""
    otlp_endpoint: str
    """URL to which spans are sent by OTLP/HTTP; empty: none are."""
    otlp_headers: dict[str, str]
    """Headers of these requests."""
    otlp_resource: dict[str, str]
    """Attributes of all spans: the service's name and others."""
    verify_keys: Path | None
    """Folder of public keys; artifacts must be signed with one of them. None: signatures are not required."""


def read(environ: Mapping[str, str]) -> Settings:
    """Read the settings from `environ`. Raises SettingsError, which names the variable."""
    memory_mb = _number(environ, "AWS_LAMBDA_FUNCTION_MEMORY_SIZE", 0)
    on_lambda = memory_mb > 0
    scratch = Path(environ.get("TMPDIR") or SCRATCH) if on_lambda else _user_cache(environ)
    threads = round(memory_mb / MEMORY_PER_CPU_MB) if on_lambda else (os.cpu_count() or 1)
    return Settings(
        store=_location(environ, "HEARTH_STORE"),
        models=_models(environ),
        cache_dir=Path(environ.get("HEARTH_CACHE_DIR") or scratch / "hearth").absolute(),
        memory=int((memory_mb or _memory_mb()) * MEGABYTE),
        cache_memory=_megabytes(environ, "HEARTH_CACHE_MEMORY_MB", memory_mb * 0.6 if on_lambda else 2048),
        prefix_memory=_megabytes(environ, "HEARTH_PREFIX_MEMORY_MB", memory_mb * 0.05 if on_lambda else 256),
        # A function has at least 512 MB of ephemeral storage; the rest is for other files.
        cache_disk=_megabytes(environ, "HEARTH_CACHE_DISK_MB", 448 if on_lambda else 4096),
        threads=int(_number(environ, "HEARTH_THREADS", min(max(threads, 1), 6), minimum=1)),
        output=_location(environ, "HEARTH_OUTPUT"),
        uploads=_bucket(environ, "HEARTH_UPLOADS"),
        uploads_size=_megabytes(environ, "HEARTH_UPLOADS_MB", 4096),
        dead_letters=_queue(environ, "HEARTH_DEAD_LETTERS"),
        event_bus=environ.get("HEARTH_EVENT_BUS", "").strip(),
        webhook=_webhook(environ),
        webhook_key=_webhook_key(environ),
        deliveries=int(_number(environ, "HEARTH_DELIVERIES", 3, minimum=1)),
        upload_prefix=environ.get("HEARTH_UPLOAD_PREFIX", "uploads/"),
        # Lambda's limit is 6 MB, which is 4.5 MB in base64.
        max_body=_megabytes(environ, "HEARTH_MAX_BODY_MB", 4.5),
        alias_seconds=_number(environ, "HEARTH_ALIAS_SECONDS", 60),
        fetch_seconds=_number(environ, "HEARTH_FETCH_SECONDS", 60, minimum=1),
        run_seconds=_number(environ, "HEARTH_RUN_SECONDS", 60, minimum=0.1),
        max_queue=int(_number(environ, "HEARTH_MAX_QUEUE", 64, minimum=1)),
        # SAM's local API does not support streaming.
        streams=frozenset() if environ.get("AWS_SAM_LOCAL") else _streaming_sources(environ),
        api_keys=environ.get("HEARTH_API_KEYS", "").strip(),
        cors_origins=_origins(environ),
        base_path=_base_path(environ),
        allowed_hosts=frozenset(_words(environ.get("HEARTH_ALLOWED_HOSTS", "").lower())),
        drain_seconds=_number(environ, "HEARTH_DRAIN_SECONDS", 0),
        # Longer than the idle timeout of the usual proxies: a server that closes first causes 502s.
        keep_alive_seconds=_number(environ, "HEARTH_KEEP_ALIVE_SECONDS", 75, minimum=1),
        body_seconds=_number(environ, "HEARTH_BODY_SECONDS", 60, minimum=0.1),
        work_memory=0 if on_lambda else _megabytes(environ, "HEARTH_WORK_MEMORY_MB", _memory_mb() / 4),
        audit=_audit(environ),
        refuse_unaudited=_choice(environ, "HEARTH_AUDIT_FAILURE", ("refuse", "continue")) == "refuse",
        watch=_location(environ, "HEARTH_WATCH"),
        capture=_location(environ, "HEARTH_CAPTURE"),
        capture_share=_number(environ, "HEARTH_CAPTURE_SHARE", 0.01, maximum=1),
        capture_days=_number(environ, "HEARTH_CAPTURE_DAYS", 30, minimum=1),
        capture_redact=_redactions(environ),
        otlp_endpoint=_otlp_endpoint(environ),
        otlp_headers=_pairs(environ, "OTEL_EXPORTER_OTLP_HEADERS"),
        otlp_resource={
            "service.name": environ.get("OTEL_SERVICE_NAME") or environ.get("AWS_LAMBDA_FUNCTION_NAME") or "hearth",
            **_pairs(environ, "OTEL_RESOURCE_ATTRIBUTES"),
        },
        verify_keys=Path(environ["HEARTH_VERIFY_KEYS"]).absolute() if environ.get("HEARTH_VERIFY_KEYS") else None,
    )


@functools.cache
def get() -> Settings:
    """The settings of this process."""
    return read(os.environ)


def _memory_mb() -> float:
    """The memory that this process may use: of the machine, or of its control group (a container's limit)."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        limit = Path("/sys/fs/cgroup/memory.max").read_text().strip()
    except OSError:
        limit = ""
    return (min(total, int(limit)) if limit.isdecimal() else total) / MEGABYTE


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _origins(environ: Mapping[str, str]) -> frozenset[str]:
    origins = frozenset(_words(environ.get("HEARTH_CORS_ORIGINS", "").lower()))
    for origin in origins:
        if origin != "*" and not re.fullmatch(r"[a-z][a-z0-9+.-]*://[^/\s]+", origin):
            raise SettingsError(
                f"HEARTH_CORS_ORIGINS must list origins such as https://example.com, or *, not {origin!r}"
            )
    return origins


def _base_path(environ: Mapping[str, str]) -> str:
    path = environ.get("HEARTH_BASE_PATH", "").rstrip("/")
    if path and not re.fullmatch(r"(/[A-Za-z0-9._~-]+)+", path):
        raise SettingsError(f"HEARTH_BASE_PATH must be a path such as /ai, not {path!r}")
    return path


def _user_cache(environ: Mapping[str, str]) -> Path:
    return Path(environ.get("XDG_CACHE_HOME") or Path(environ.get("HOME", SCRATCH)) / ".cache")


def _number(
    environ: Mapping[str, str], key: str, default: float, *, minimum: float = 0, maximum: float = float("inf")
) -> float:
    text = environ.get(key, "")
    try:
        number = float(text) if text else float(default)
    except ValueError:
        raise SettingsError(f"{key} must be a number, not {text!r}") from None
    if not minimum <= number < float("inf"):
        raise SettingsError(f"{key} must be at least {minimum:g}, not {text!r}")
    if number > maximum:
        raise SettingsError(f"{key} must be at most {maximum:g}, not {text!r}")
    return number


def _megabytes(environ: Mapping[str, str], key: str, default: float) -> int:
    return int(_number(environ, key, default) * MEGABYTE)


def _location(environ: Mapping[str, str], key: str) -> str:
    uri = environ.get(key, "")
    if uri and not re.match(r"^(s3://[^/]+|file:///)", uri):
        raise SettingsError(f"{key} must be s3://bucket/prefix or file:///path, not {uri!r}")
    return uri


def _bucket(environ: Mapping[str, str], key: str) -> str:
    uri = _location(environ, key).rstrip("/")
    if uri.startswith("s3://") and "/" in uri.removeprefix("s3://"):
        raise SettingsError(f"{key} must be a bucket without a prefix, s3://bucket, not {uri!r}")
    return uri


def _queue(environ: Mapping[str, str], key: str) -> str:
    url = environ.get(key, "")
    if url and not re.match(r"^https?://[^/]+/.", url):
        raise SettingsError(f"{key} must be a queue's URL, https://sqs.REGION.amazonaws.com/ACCOUNT/NAME, not {url!r}")
    return url


def _webhook(environ: Mapping[str, str]) -> str:
    url = environ.get("HEARTH_WEBHOOK", "").strip()
    if url and not re.fullmatch(r"(https://[^/\s]+|http://(localhost|127\.0\.0\.1)(:[0-9]+)?)(/\S*)?", url):
        raise SettingsError(f"HEARTH_WEBHOOK must be https://host/path, or http on localhost, not {url!r}")
    return url


def _webhook_key(environ: Mapping[str, str]) -> str:
    key = environ.get("HEARTH_WEBHOOK_KEY", "").strip()
    is_valid = is_webhook_key(key) or re.fullmatch(r"ssm:/[A-Za-z0-9_.\-/]+", key)
    if environ.get("HEARTH_WEBHOOK", "").strip() and not is_valid:
        raise SettingsError(
            "HEARTH_WEBHOOK_KEY must be whsec_ and the base64 of 24 to 64 bytes, or ssm: and the name of a parameter "
            'that has it: echo "whsec_$(openssl rand -base64 32)"'
        )
    return key


def is_webhook_key(key: str) -> bool:
    """Whether a key has the form of Standard Webhooks."""
    try:
        return key.startswith("whsec_") and 24 <= len(binascii.a2b_base64(key[6:], strict_mode=True)) <= 64
    except ValueError:
        return False


def _audit(environ: Mapping[str, str]) -> str:
    destination = environ.get("HEARTH_AUDIT", "")
    if destination not in ("", "log") and not destination.startswith("file:///"):
        raise SettingsError(f"HEARTH_AUDIT must be log or file:///path, not {destination!r}")
    return destination


def _redactions(environ: Mapping[str, str]) -> tuple[str, ...]:
    """All rules by default; `none` names none."""
    text = environ.get("HEARTH_CAPTURE_REDACT", "").strip()
    if text == "none":
        return ()
    rules = tuple(_words(text)) or REDACTIONS
    if not set(rules) <= set(REDACTIONS):
        raise SettingsError(f"HEARTH_CAPTURE_REDACT must be none or list {', '.join(REDACTIONS)}, not {text!r}")
    return rules


def _otlp_endpoint(environ: Mapping[str, str]) -> str:
    """The URL for spans, by OpenTelemetry's own variables."""
    if environ.get("OTEL_SDK_DISABLED", "").lower() == "true" or environ.get("OTEL_TRACES_EXPORTER") == "none":
        return ""
    base = environ.get("OTEL_EXPORTER_OTLP_ENDPOINT", "").rstrip("/")
    url = environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "") or (base and f"{base}/v1/traces")
    if url and not re.match(r"https?://[^/]+", url):
        raise SettingsError(f"OTEL_EXPORTER_OTLP_ENDPOINT must be a URL such as http://localhost:4318, not {url!r}")
    return url


def _pairs(environ: Mapping[str, str], key: str) -> dict[str, str]:
    """`name=value` pairs separated by commas, percent-encoded."""
    pairs = {}
    for word in _words(environ.get(key, "")):
        name, separator, value = word.partition("=")
        if not separator or not name.strip():
            raise SettingsError(f"{key} must be NAME=VALUE pairs, separated by commas")
        pairs[name.strip()] = unquote(value.strip())
    return pairs


def _choice(environ: Mapping[str, str], key: str, choices: tuple[str, ...]) -> str:
    """One of the choices, the first one by default."""
    choice = environ.get(key) or choices[0]
    if choice not in choices:
        raise SettingsError(f"{key} must be {' or '.join(choices)}, not {choice!r}")
    return choice


def _models(environ: Mapping[str, str]) -> tuple[str, ...]:
    names = tuple(_words(environ.get("HEARTH_MODELS", "")))
    for name in names:
        if not re.fullmatch(r"[a-z0-9][a-z0-9._-]*(@[1-9][0-9]*)?", name):
            raise SettingsError(f"HEARTH_MODELS must list name or name@version, not {name!r}")
    return names


def _streaming_sources(environ: Mapping[str, str]) -> frozenset[str]:
    sources = frozenset(_words(environ.get("HEARTH_STREAM", "")))
    if not sources <= STREAMING_SOURCES:
        raise SettingsError(f"HEARTH_STREAM must list {' or '.join(sorted(STREAMING_SOURCES))}, not {sorted(sources)}")
    return sources
