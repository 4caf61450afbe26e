#!/bin/sh
# MLflow 3.17.2: a trace belongs to one experiment. Its spans, sent over OTLP/HTTP a second time with the header of another
# experiment, are accepted there and shown nowhere in it.
#
# Guessed before it was run: the second experiment lists the trace as well, or the server refuses it.
# Seen: both requests are answered with 200; the first experiment lists one trace of one span, the second one none. So
# who exports the same spans to two experiments has to give each its own trace ids.
#
# Fails if that changes. Needs Python 3.11 or newer and a package registry; the server listens on 127.0.0.1 alone.
set -eu
place=$(mktemp -d)
server=
trap 'test -z "$server" || kill "$server"; rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/python" -m pip install --quiet mlflow-skinny==3.17.2 \
    aiohttp==3.14.5 alembic==1.20.1 fastapi==0.165.0 Flask==3.1.3 \
    flask-cors==6.0.5 opentelemetry-exporter-otlp-proto-http==1.45.2 pandas==3.1.1 SQLAlchemy==2.1.9 uvicorn==0.54.0
cd "$place"
port=$("$place/venv/bin/python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
export MLFLOW_DISABLE_TELEMETRY=true
_MLFLOW_SERVER_FILE_STORE="sqlite:///$place/mlflow.db" _MLFLOW_SERVER_REGISTRY_STORE="sqlite:///$place/mlflow.db" \
    _MLFLOW_SERVER_ARTIFACT_ROOT=mlflow-artifacts:/ _MLFLOW_SERVER_ARTIFACT_DESTINATION="$place/artifacts" \
    _MLFLOW_SERVER_SERVE_ARTIFACTS=true "$place/venv/bin/python" -W ignore -c \
    'import sys, uvicorn; uvicorn.run("mlflow.server.fastapi_app:app", port=int(sys.argv[1]), log_level="error")' \
    "$port" >server.log 2>&1 &
server=$!
"$place/venv/bin/python" - "http://127.0.0.1:$port" <<'PY'
import sys
import time

import mlflow
import requests
from mlflow import MlflowClient
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.trace import SpanContext, TraceFlags

assert mlflow.__version__ == "3.17.2", mlflow.__version__
uri = sys.argv[1]
until = time.monotonic() + 120
while True:
    try:
        if requests.get(f"{uri}/version", timeout=2).ok:
            break
    except requests.RequestException:
        assert time.monotonic() < until, "the server did not start"
    time.sleep(0.2)
client = MlflowClient(uri)
context = SpanContext(0x1234, 0x56, is_remote=False, trace_flags=TraceFlags(1))
now = time.time_ns()
span = ReadableSpan(name="answer", context=context, resource=Resource({}), start_time=now - 10**9, end_time=now)
seen = []
for name in ("first", "second"):
    experiment = client.create_experiment(name)
    exporter = OTLPSpanExporter(f"{uri}/v1/traces", headers={"x-mlflow-experiment-id": experiment})
    assert exporter.export([span]) is SpanExportResult.SUCCESS, f"{name} is refused"
    listed = client.search_traces(locations=[experiment])
    seen.append([len(trace.data.spans) for trace in listed])
    print(f"experiment {name}: accepted, {len(listed)} traces listed")
assert seen == [[1], []], seen
PY
echo "as described: MLflow 3.17.2 accepts a trace for a second experiment, and shows it in the first alone"
