"""Shared artifacts in a bucket of S3, or of any server that speaks its API."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import parse_qs, urlsplit

from anyio import to_thread

from tidegate.errors import ArtifactsUnreachable, ReleaseError

T = TypeVar("T")
SUMMARY = "cannot use the shared artifacts"
PATIENCE = 5  # seconds for a connection
SILENCE = 60  # seconds without a byte
TRIES = 3
OPTIONS = ("endpoint", "region")  # behind the `?`
MISSING = {"404", "NoSuchKey", "NotFound"}
REFUSED = {
    "403", "AccessDenied", "Forbidden", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken",
    "TokenRefreshRequired", "RequestTimeTooSkewed",
}  # fmt: skip


class S3Storage:
    """Implements `tidegate.ports.artifacts.ArtifactStorage` for `s3://BUCKET/PREFIX`, with `?endpoint=URL` (else
    `AWS_ENDPOINT_URL`, else Amazon's) and `&region=NAME` (else as AWS's own tools find it).

    Credentials are found as AWS's own tools find them. Nothing is asked, and boto3 not imported, before it is needed.
    Raises `ReleaseError` for a URL that cannot be used.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme != "s3" or not parts.netloc or "@" in parts.netloc:
            raise ReleaseError(
                SUMMARY,
                "`artifacts:` has to be a folder or s3://BUCKET/PREFIX, without credentials in it.",
                hint="Correct it; credentials are set where commands run: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, "
                "or AWS_PROFILE.",
            )
        asked = {name: values[-1] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
        if unknown := sorted(asked.keys() - OPTIONS):  # never Amazon by mistake; names alone, a value may be a secret
            raise ReleaseError(
                SUMMARY,
                f"`artifacts:` has {', '.join(unknown)} behind its `?`.",
                hint=f"What may stand there: {' and '.join(OPTIONS)}.",
            )
        self._bucket = parts.netloc
        self._prefix = parts.path.strip("/")
        self._endpoint = asked.get("endpoint")
        self._region = asked.get("region")
        self._opening = threading.Lock()
        self._opened: Any = None

    @property
    def url(self) -> str:
        """See `ArtifactStorage`: without the endpoint, which others may reach by another address."""
        return f"s3://{self._bucket}/{self._prefix}".rstrip("/")

    async def put(self, name: str, file: Path) -> None:
        """See `ArtifactStorage`. S3 shows a file when all of it is there."""
        await self._do(lambda client: client.upload_file(str(file), self._bucket, self._key(name)))

    async def get(self, name: str, file: Path) -> bool:
        """See `ArtifactStorage`."""

        def download(client: Any) -> bool:
            client.download_file(self._bucket, self._key(name), str(file))
            return True

        return await self._do(lambda client: self._if_there(client, lambda: download(client)))

    async def exists(self, name: str) -> bool:
        """See `ArtifactStorage`."""

        def look(client: Any) -> bool:
            client.head_object(Bucket=self._bucket, Key=self._key(name))
            return True

        return await self._do(lambda client: self._if_there(client, lambda: look(client)))

    async def delete(self, name: str) -> None:
        """See `ArtifactStorage`."""
        await self._do(lambda client: client.delete_object(Bucket=self._bucket, Key=self._key(name)))

    def _key(self, name: str) -> str:
        return f"{self._prefix}/{name}".lstrip("/")

    def _if_there(self, client: Any, work: Callable[[], bool]) -> bool:
        """False for a missing file. That the bucket itself is missing is answered alike, and asked for then."""
        from botocore.exceptions import ClientError  # noqa: PLC0415 - see the class

        try:
            return work()
        except ClientError as error:
            if _code(error) not in MISSING:
                raise
            client.head_bucket(Bucket=self._bucket)
            return False

    async def _do(self, work: Callable[[Any], T]) -> T:
        return await to_thread.run_sync(self._translated, work)

    def _translated(self, work: Callable[[Any], T]) -> T:
        client = self._client()
        from boto3.exceptions import Boto3Error  # noqa: PLC0415 - see the class
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415

        try:
            return work(client)
        except (Boto3Error, BotoCoreError, ClientError) as error:
            raise self._in_plain_words(error) from error
        except OSError as error:
            raise ArtifactsUnreachable(
                SUMMARY,
                f"{error.filename or self.url}: {error.strerror or 'the connection broke'}",
                hint="Check the space on the disk and the connection, then repeat.",
            ) from error

    def _client(self) -> Any:
        with self._opening:
            if self._opened is None:
                self._opened = self._open()
            return self._opened

    def _open(self) -> Any:
        try:
            import boto3  # noqa: PLC0415 - see the class
            from botocore.config import Config  # noqa: PLC0415
            from botocore.exceptions import BotoCoreError  # noqa: PLC0415
        except ImportError as error:
            raise ArtifactsUnreachable(
                SUMMARY,
                "Artifacts in S3 need the package boto3, which is not installed.",
                hint="Install Tidegate with it: pip install 'tidegate[s3]'",
            ) from error
        config = Config(
            connect_timeout=PATIENCE,
            read_timeout=SILENCE,
            retries={"mode": "standard", "total_max_attempts": TRIES},
            # Artifacts are compared with their own digest; not every server knows the checksums of Amazon's.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        )
        try:
            session = boto3.session.Session(region_name=self._region)
            region = session.region_name or "us-east-1"
            return session.client("s3", endpoint_url=self._endpoint, region_name=region, config=config)
        except (BotoCoreError, ValueError) as error:
            raise self._in_plain_words(error) from error

    def _in_plain_words(self, error: Exception) -> ArtifactsUnreachable:
        """Names kinds and codes of errors, never their texts: those may hold a credential."""
        from botocore import exceptions as known  # noqa: PLC0415 - see the class

        cause: BaseException = error
        while not isinstance(cause, known.BotoCoreError | known.ClientError) and cause.__context__ is not None:
            cause = cause.__context__  # an upload hides what happened behind an error of its own
        match cause:
            case known.NoCredentialsError() | known.PartialCredentialsError() | known.ProfileNotFound():
                return ArtifactsUnreachable(
                    SUMMARY,
                    f"There are no credentials for {self.url}.",
                    hint="Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, where this command runs.",
                )
            case known.HTTPClientError() | known.ConnectionError():
                return ArtifactsUnreachable(
                    SUMMARY,
                    f"{self._server()} does not answer ({type(cause).__name__}).",
                    hint="Check the network and the endpoint (`?endpoint=` of `artifacts:`, or AWS_ENDPOINT_URL).",
                )
            case known.ClientError():
                return self._answered(_code(cause))
        return ArtifactsUnreachable(
            SUMMARY,
            f"{self.url}: {type(cause).__name__}",
            hint="Check `artifacts:` in tidegate.yaml and the AWS_ variables where this command runs.",
        )

    def _answered(self, code: str) -> ArtifactsUnreachable:
        if code == "NoSuchBucket" or code in MISSING:
            return ArtifactsUnreachable(
                SUMMARY,
                f"There is no bucket {self._bucket} at {self._server()}.",
                hint="Make the bucket, or correct `artifacts:` in tidegate.yaml.",
            )
        if code in REFUSED:
            return ArtifactsUnreachable(
                SUMMARY,
                f"{self._server()} refuses access to {self.url} ({code}).",
                hint="Check the credentials (AWS_…) and that they may list the bucket, and get, put and delete there.",
            )
        return ArtifactsUnreachable(SUMMARY, f"{self._server()} answered {code} for {self.url}.", hint="Try again.")

    def _server(self) -> str:
        """The host that is asked, without a user and password that may stand before it."""
        endpoint = self._endpoint or os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or ""
        found = urlsplit(endpoint)
        return f"{found.hostname}:{found.port}" if found.port else found.hostname or "S3"


def _code(error: Any) -> str:
    """What the server called it: a word, or the number of an answer without a body."""
    return str(error.response.get("Error", {}).get("Code", "an unknown error"))
