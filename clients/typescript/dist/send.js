import { setTimeout as sleep } from 'node:timers/promises';
import { NoAnswerError, VaultError, retryAfter } from './errors.js';
import { KEYED, KEY_NEEDS, REPEATABLE } from './generated/operations.js';
/** An operation is its method and its path in the document, such as `POST /v2/zoom-tokens`. */
export function takesIdempotencyKey(operation) {
    return KEYED.has(operation);
}
/** Whether a second request does no harm if the first one took effect, and others have acted since. */
export function isRepeatable(operation, body) {
    const needed = KEY_NEEDS.get(operation);
    if (needed !== undefined)
        return typeof body?.[needed] === 'string';
    return operation.startsWith('GET ') || KEYED.has(operation) || REPEATABLE.has(operation);
}
/**
 * Sends a request, and repeats it as long as that is safe and can help:
 * - after a 429 with `retry-after`, which every operation may repeat, because nothing was done;
 * - after a 409 or 503 with `retry-after`, or without an answer, only if the call is repeatable.
 */
export async function send(repeatable, request, fetch, retries) {
    for (let attempt = 0;; attempt += 1) {
        const last = attempt >= retries.maxRetries;
        let wait = null;
        try {
            const answer = await sendOnce(request.clone(), fetch, retries.timeout);
            const seconds = retryAfter(answer.headers);
            const repeat = answer.status === 429 || ([409, 503].includes(answer.status) && repeatable);
            if (repeat && seconds !== null && seconds <= retries.maxRetryWait)
                wait = seconds;
            if (last || wait === null)
                return answer;
        }
        catch (error) {
            if (last || !(error instanceof NoAnswerError) || !repeatable)
                throw error;
            wait = 0.25 * 2 ** attempt;
        }
        // Clients that were refused together should not return together.
        await sleep((wait + Math.random() * 0.25) * 1000, undefined, { signal: request.signal }).catch(() => {
            throw request.signal.reason;
        });
    }
}
/** One attempt, with the whole body. No error names the request, which contains the API key. */
async function sendOnce(request, fetch, timeout) {
    const timer = AbortSignal.timeout(timeout);
    try {
        // `fetch` would send the API key along with a redirect.
        const limited = new Request(request, { redirect: 'manual', signal: AbortSignal.any([request.signal, timer]) });
        const answer = await fetch(limited);
        const body = await answer.text();
        return new Response(body === '' ? null : body, { status: answer.status, headers: answer.headers });
    }
    catch (error) {
        if (request.signal.aborted)
            throw request.signal.reason;
        if (error instanceof VaultError)
            throw error;
        throw new NoAnswerError(timer.aborted ? 'TIMEOUT' : reasonOf(error));
    }
}
function reasonOf(error) {
    const { code, cause } = error;
    const found = cause?.code ?? code;
    return typeof found === 'string' ? found : 'CONNECTION';
}
