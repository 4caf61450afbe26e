#!/bin/sh
# distributed 2026.8.0: workers of a LocalCluster are new processes that inherit the environment, and what it says of
# Dask's configuration counts for nothing in them where it was set after dask was imported: they are sent the
# configuration of the process that starts them, and it wins over their own environment.
#
# Guessed before it was run: the workers read DASK_DISTRIBUTED__WORKER__PROFILE__ENABLED=False as they start, and have
# no profiler.
# Seen: the worker has the variable in its environment, and the profiler runs; with dask.config.set it does not.
#
# Fails if that changes. Needs Python 3.11 or newer and a package registry; it listens on 127.0.0.1 alone.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/python" -m pip install --quiet dask==2026.8.0 distributed==2026.8.0 \
    cloudpickle==3.1.2 msgpack==1.2.4 tornado==6.6.1
cd "$place"
cat >"$place/look.py" <<'PY'
import os

import dask
import distributed
from distributed import Client, LocalCluster

NAME = "DASK_DISTRIBUTED__WORKER__PROFILE__ENABLED"


def look(dask_worker):
    return os.environ.get("DASK_DISTRIBUTED__WORKER__PROFILE__ENABLED"), "profile" in dask_worker.periodic_callbacks


def seen():
    with LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as cluster, Client(cluster) as client:
        [state] = client.run(look).values()
        return state


if __name__ == "__main__":
    assert distributed.__version__ == "2026.8.0", distributed.__version__
    os.environ[NAME] = "False"
    by_environment = seen()
    print("by the environment, set after the import: variable %r, profiler %s" % by_environment)
    with dask.config.set({"distributed.worker.profile.enabled": False}):
        by_configuration = seen()
    print("by dask.config.set: variable %r, profiler %s" % by_configuration)
    assert by_environment == ("False", True), by_environment
    assert by_configuration == ("False", False), by_configuration
PY
"$place/venv/bin/python" "$place/look.py"
echo "as described: distributed 2026.8.0 gives workers its own configuration, whatever their environment says"
