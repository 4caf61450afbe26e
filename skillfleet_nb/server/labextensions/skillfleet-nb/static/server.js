// The server's routes.  One stream tells the list of jobs; it is closed while the page is out of sight, for a browser
// has six connections to a server, for all of its tabs.

const RETRY_MS = [1000, 2000, 5000, 15000, 30000];
const QUIET = { jobs: [], cost_usd: null, problem: null, waits: true };

export class Away extends Error {}

export class Server {
  constructor({ baseUrl, token }) {
    this.api = new URL("skillfleet/api/v1/", new URL(baseUrl, window.location.href));
    this.token = token;
    this.news = QUIET;
    this.listeners = new Set();
    this.tries = 0;
  }

  // Ask; what the server refuses is raised as the line that a notebook shows.
  async ask(path, { method = "GET", body, signal } = {}) {
    const headers = this.token ? { Authorization: `token ${this.token}` } : {};
    if (method !== "GET") {
      headers["X-XSRFToken"] = document.cookie.match(/\b_xsrf=([^;]*)/)?.[1] ?? "";
      headers["Content-Type"] = "application/json";
    }
    let answer;
    try {
      answer = await fetch(new URL(path, this.api), { method, headers, signal, body: body && JSON.stringify(body) });
    } catch (error) {
      if (signal?.aborted) throw error;
      throw new Away("The server does not answer");
    }
    if (answer.ok) return answer;
    const problem = answer.headers.get("Content-Type")?.startsWith("application/problem+json") ? await answer.json() : null;
    if (problem) throw new Error(problem.detail);
    throw new Error(answer.status === 404
      ? "The Jupyter server runs without Skillfleet's extension: pip install 'skillfleet-nb[server]', then restart it"
      : `The server answers ${answer.status}`);
  }

  async json(path, options) {
    return (await this.ask(path, options)).json();
  }

  listen(listener) {
    this.listeners.add(listener);
    listener(this.news);
    return () => this.listeners.delete(listener);
  }

  tell(news) {
    this.news = { ...this.news, waits: false, ...news };
    for (const listener of this.listeners) listener(this.news);
  }

  follow(listener) {
    this.listen(listener);
    document.addEventListener("visibilitychange", () => this.wake());
    this.wake();
  }

  wake() {
    if (document.visibilityState === "hidden") {
      this.stream?.abort();
      this.stream = null;
      clearTimeout(this.again);
    } else if (!this.stream) this.read();
  }

  async read() {
    const stream = (this.stream = new AbortController());
    let problem = "The server has closed the connection";
    try {
      const answer = await this.ask("stream", { signal: stream.signal });
      for await (const [kind, data] of messages(answer.body)) {
        this.tries = 0;
        if (kind === "jobs") this.tell({ ...JSON.parse(data), problem: null });
      }
    } catch (error) {
      problem = error.message;
    }
    if (stream.signal.aborted) return;
    const wait = RETRY_MS[Math.min(this.tries++, RETRY_MS.length - 1)];
    this.tell({ problem });
    this.stream = null;
    this.again = setTimeout(() => this.wake(), wait);
  }
}

// The messages of an event stream, as [kind, data].
async function* messages(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const parts = (rest + value).split("\n\n");
    rest = parts.pop();
    for (const part of parts) {
      const lines = part.split("\n").map((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 2)]);
      const fields = Object.fromEntries(lines);
      if (fields.data) yield [fields.event, fields.data];
    }
  }
}
