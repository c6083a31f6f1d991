// Requests to the server this page came from. Addresses are relative: a path prefix in front of
// the server does no harm, and no other host is ever asked.

const TRIES = 8;
const LONGEST_WAIT = 8;

let key = sessionStorage.getItem("seqvae-key") ?? "";
let onLocked = () => {};

/** An answer that is not 200, with the server's own message. */
export class ServerError extends Error {
  constructor(message, status, retryAfter = null) {
    super(message);
    this.status = status;
    this.retryAfter = retryAfter;
  }
}

/** Keep the key for this tab; it goes only into the Authorization header. */
export function useKey(value) {
  key = value;
  sessionStorage.setItem("seqvae-key", value);
}

/** Call back when the server wants a key, or another one. */
export function whenLocked(callback) {
  onLocked = callback;
}

async function failure(response) {
  let message = "";
  try {
    const body = await response.json();
    message = typeof body.error === "string" ? body.error : "";
  } catch {
    // A proxy's answer may be anything; the status is all that is known then.
  }
  const after = Number.parseFloat(response.headers.get("Retry-After") ?? "");
  const text = message || `The server answered ${response.status} ${response.statusText}`.trim();
  return new ServerError(text, response.status, Number.isFinite(after) ? after : null);
}

async function once(path, init) {
  const headers = { ...init.headers };
  if (key) headers.Authorization = `Bearer ${key}`;
  let response;
  try {
    response = await fetch(path, { ...init, headers, cache: "no-store" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ServerError("The server does not answer.", 0);
  }
  if (response.ok) return response;
  const error = await failure(response);
  if (error.status === 401) onLocked(error.message);
  throw error;
}

function pause(seconds, signal) {
  return new Promise((resolve, reject) => {
    const abort = () => {
      clearTimeout(timer);
      reject(new DOMException("cancelled", "AbortError"));
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", abort);
      resolve();
    }, 1000 * seconds);
    if (signal?.aborted) abort();
    else signal?.addEventListener("abort", abort, { once: true });
  });
}

/**
 * Ask, and ask again while the server is too busy (503, 429), as long after as it says.
 *
 * @param {string} path relative address
 * @param {RequestInit} init of fetch
 * @param {{signal?: AbortSignal, tries?: number,
 *   waiting?: (seconds: number, message: string) => void}} how
 * @returns {Promise<Response>}
 */
export async function ask(path, init = {}, { signal, tries = TRIES, waiting = () => {} } = {}) {
  for (let tried = 1; ; tried += 1) {
    try {
      return await once(path, { ...init, signal });
    } catch (error) {
      const busy = error.status === 503 || error.status === 429;
      if (!busy || tried >= tries) throw error;
      const seconds = Math.min(error.retryAfter ?? 0.5 * 2 ** (tried - 1), LONGEST_WAIT);
      waiting(seconds, error.message);
      // Not all tabs at the same moment.
      await pause(seconds + 0.25 * Math.random(), signal);
    }
  }
}

/** POST JSON, get JSON. */
export async function post(path, body, how = {}) {
  const init = {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  };
  return (await ask(path, init, how)).json();
}

/** The same request for a shell. */
export function curl(path, body) {
  const address = new URL(path, document.baseURI);
  const quoted = JSON.stringify(body).replaceAll("'", String.raw`'\''`);
  const lock = key ? ` \\\n  -H 'Authorization: Bearer YOUR-KEY'` : "";
  return `curl ${address} \\\n  -H 'Content-Type: application/json'${lock} \\\n  -d '${quoted}'`;
}

/** The same form for a shell; what begins with @ is a file. */
export function curlForm(path, fields) {
  const address = new URL(path, document.baseURI);
  const lock = key ? ` \\\n  -H 'Authorization: Bearer YOUR-KEY'` : "";
  const parts = Object.entries(fields).map(([name, value]) => {
    const quoted = `${name}=${value}`.replaceAll("'", String.raw`'\''`);
    return ` \\\n  ${String(value).startsWith("@") ? "--form" : "--form-string"} '${quoted}'`;
  });
  return `curl ${address}${lock}${parts.join("")} \\\n  --output converted.wav`;
}
