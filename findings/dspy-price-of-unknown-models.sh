#!/bin/sh
# DSPy 3.4.1: a call to a model that its price table does not know reads the whole table, twice, each time it is made.
#
# Guessed before it was run: prices are looked up by name, so that a model without one takes as long as one with.
# Seen: an answer of `openai/gpt-4o-mini` is priced without a look at any other entry. One of a model that the table does
# not name, as on most servers of one's own, is compared with all 4,460 entries, for the model that answered and
# again for the one that was asked, and costs nothing in the end. On one machine each look took 0.4 ms in place of 0.02,
# in the thread of the call and under the lock of all threads: some 0.8 ms a call. A server that names a model of the
# table in its answer is priced as that model, and spared both looks.
#
# Fails if that changes. Needs Python 3.11 or newer and a package registry.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/python" -m pip install --quiet dspy==3.4.1
export DSPY_CACHEDIR="$place/cache" LITELLM_LOCAL_MODEL_COST_MAP=True
"$place/venv/bin/python" -W ignore - <<'PY'
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import dspy
from dspy.clients import model_metadata

assert dspy.__version__ == "3.4.1", dspy.__version__
looks = {"reads": 0}
answers_as = {"model": None}


class Counted(dict):
    """The table of prices, which counts the entries that are read one after the other."""

    def items(self):
        for item in super().items():
            looks["reads"] += 1
            yield item


class Server(BaseHTTPRequestHandler):
    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        body = json.dumps({
            "id": "1", "object": "chat.completion", "created": 1, "model": answers_as["model"] or asked["model"],
            "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "yes"}}],
            "usage": {"prompt_tokens": 10, "completion_tokens": 1, "total_tokens": 11},
        }).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
threading.Thread(target=server.serve_forever, daemon=True).start()
model_metadata._data = table = Counted(model_metadata._load())
where = {"api_base": f"http://127.0.0.1:{server.server_address[1]}/v1", "api_key": "none", "cache": False}


def reads(name, as_model=None):
    lm, answers_as["model"] = dspy.LM(f"openai/{name}", **where), as_model
    lm("the first may look for what the model can do")
    looks["reads"] = 0
    assert lm("and this one only for its price") == ["yes"]
    return looks["reads"] / len(table), lm.history[-1]["cost"]


seen = {
    "known": reads("gpt-4o-mini"),
    "unknown": reads("a-model-of-ones-own"),
    "unknown, answers as a known one": reads("a-model-of-ones-own", "gpt-4o-mini"),
}
for which, (share, cost) in seen.items():
    print(f"{which}: reads {share:.2f} times the table of {len(table):,} entries, cost {cost}")
assert len(table) > 2000, len(table)
assert seen["known"][0] == 0
assert seen["known"][1] > 0
assert 1.9 < seen["unknown"][0] <= 2.1, seen
assert not seen["unknown"][1]
assert seen["unknown, answers as a known one"] == seen["known"], seen
PY
echo "as described: DSPy 3.4.1 reads its whole table of prices twice for each call to a model that it does not know"
