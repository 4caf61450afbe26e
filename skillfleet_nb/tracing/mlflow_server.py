"""A tracking server of MLflow: whether it is there, and what is asked of it alike."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from skillfleet_nb.errors import InputError, MissingExtraError, ServerError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlflow.tracking import MlflowClient

URI = "MLFLOW_TRACKING_URI"
_MAJOR = 3
_PROBE_S = 5.0
_REFUSALS = {401, 403}


def connected(tracking_uri: str | None) -> tuple[MlflowClient, str]:
    """Return a client of a server that answers, and the server's address.

    Raises
    ------
    MissingExtraError
        If MLflow is not installed.
    InputError
        If there is no address, or it is none of HTTP.
    ServerError
        If the server is away, refuses, or has another major version.
    """
    uri = tracking_uri or os.environ.get(URI) or ""
    if not uri.startswith(("http://", "https://")):
        said = f"tracking_uri={uri!r}" if uri else "no tracking server"
        raise InputError(f"{said}: give the address of an MLflow server, http://…:5000, or set {URI}.")
    try:
        from mlflow.tracking import MlflowClient
    except ImportError:
        raise MissingExtraError("MLflow is not installed: pip install 'skillfleet-nb[mlflow]'") from None
    uri = uri.rstrip("/")
    _check_version(uri)
    return MlflowClient(tracking_uri=uri, registry_uri=uri), uri


def session() -> Any:
    """Make an HTTP session with the credentials that MLflow's client reads from the environment."""
    import requests

    made = requests.Session()
    user, password = os.environ.get("MLFLOW_TRACKING_USERNAME"), os.environ.get("MLFLOW_TRACKING_PASSWORD")
    if token := os.environ.get("MLFLOW_TRACKING_TOKEN"):
        made.headers["Authorization"] = f"Bearer {token}"
    elif user and password:
        made.auth = (user, password)
    return made


@contextmanager
def asked(uri: str) -> Iterator[None]:
    """Say in one line what a server refuses, or that it went away."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as exc:
        raise ServerError(f"the MLflow server at {uri} refuses: {' '.join(str(exc).split())[:300]}") from exc


def _check_version(uri: str) -> None:
    import requests

    try:
        response = session().get(f"{uri}/version", timeout=_PROBE_S)
    except requests.RequestException as exc:
        raise ServerError(f"no MLflow server answers at {uri} ({type(exc).__name__}): start it, then again.") from None
    if response.status_code in _REFUSALS:
        raise ServerError(
            f"the MLflow server at {uri} refuses ({response.status_code}): set MLFLOW_TRACKING_TOKEN, or "
            "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD."
        )
    version = response.text.strip()
    major = version.partition(".")[0]
    if response.status_code != requests.codes.ok or not major.isdigit():
        raise ServerError(f"what answers at {uri} is no MLflow server ({response.status_code}): check the address.")
    if int(major) != _MAJOR:
        raise ServerError(f"the MLflow server at {uri} has version {version}: {_MAJOR}.x is needed.")
