// Calls the API with the key that the person entered. The key is only in the memory of this module's clients.

// The modules are at <base>/console/. On AWS, the base may contain the stage.
export const BASE = new URL("..", import.meta.url);

const TIME_OUT_MS = 35_000;
const MAX_ATTEMPTS = 3;

/** A call that failed. `requestId` names the request in the vault's log. */
export class ApiError extends Error {
  constructor({ status = 0, code = "NO_ANSWER", message, details = null, requestId = null, retryAfter = null }) {
    super(message);
    Object.assign(this, { status, code, details, requestId, retryAfter });
  }
}

/** What the person can do about an error. */
export function advice(error) {
  switch (error.code) {
    case "NO_ANSWER":
      return "Check your connection, and try again. If you sent a change, reload first: the change may have been made.";
    case "FST_ERR_UNAUTHORIZED":
      return "The key does not work any more. Forget the key, and enter another one.";
    case "FST_ERR_FORBIDDEN":
      return "Ask the operator of the vault for a key that may do this.";
    case "FST_ERR_TOO_MANY_REQUESTS":
      return `Wait ${error.retryAfter ?? 1} s, and try again.`;
    case "FST_ERR_VALIDATION":
      return "Correct the named field, and send the form again.";
    case "FST_ERR_CONFLICT":
      return "Reload, look at the change, and try again.";
    case "FST_ERR_ZOOM_APP_MISCONFIGURED":
      return "Compare the client ID and the client secret with the Zoom app's page in the Marketplace.";
    case "FST_ERR_ZOOM_RECONNECT_REQUIRED":
      return "Make a reconnect link, and send it to the user.";
  }
  if (error.status === 404) return "Someone may have deleted it. Go back to the list, and reload.";
  if (error.status >= 500) return "Try again in a minute. If the error comes back, tell the operator the request ID.";
  return "If the error comes back, tell the operator the request ID.";
}

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

async function attempt(key, method, path, query, body) {
  const url = new URL(path, BASE);
  for (const [name, value] of Object.entries(query ?? {})) {
    if (value !== undefined && value !== null && value !== "") url.searchParams.set(name, value);
  }
  const headers = { "x-meeting-baas-api-key": key };
  if (body !== undefined) headers["content-type"] = "application/json";
  let response, text;
  try {
    response = await fetch(url, {
      method,
      headers,
      body: body === undefined ? undefined : JSON.stringify(body),
      cache: "no-store",
      credentials: "omit",
      referrerPolicy: "no-referrer",
      signal: AbortSignal.timeout(TIME_OUT_MS),
    });
    text = await response.text();
  } catch {
    throw new ApiError({ message: "The API did not answer.", requestId: response?.headers.get("x-request-id") });
  }
  const requestId = response.headers.get("x-request-id");
  let answer;
  try {
    answer = JSON.parse(text);
  } catch {
    throw new ApiError({
      status: response.status,
      code: "UNREADABLE_ANSWER",
      message: `The API answered with the status ${response.status} and no JSON.`,
      requestId,
    });
  }
  if (!response.ok || !answer.success) {
    throw new ApiError({
      status: response.status,
      code: answer.code,
      message: answer.message ?? `The API answered with the status ${response.status}.`,
      details: answer.details,
      requestId,
      retryAfter: Number(response.headers.get("retry-after")) || null,
    });
  }
  return { data: answer.data, next: response.headers.get("x-next-cursor") };
}

/** A client of the API with this key. */
export function newClient(key) {
  const read = async (path, query) => {
    for (let tries = 1; ; tries += 1) {
      try {
        return await attempt(key, "GET", path, query);
      } catch (error) {
        const isTransient = error.status === 429 || error.status === 503;
        if (!isTransient || tries >= MAX_ATTEMPTS) throw error;
        await sleep(1000 * Math.min(error.retryAfter ?? tries, 5));
      }
    }
  };
  return {
    /** `GET`: the data of the answer. */
    get: async (path, query) => (await read(path, query)).data,
    /** `GET` of a list: the data, and the cursor of the next page. */
    page: read,
    /** A change. It is never repeated on its own. */
    send: (method, path, body, query) => attempt(key, method, path, query, body),
  };
}

/** The path of one credential. */
export const credentialPath = (id, rest = "") => `v2/zoom-credentials/${encodeURIComponent(id)}${rest}`;
