export interface Retries {
    /** How often a call is repeated at most. Default: 3. */
    maxRetries: number;
    /** The longest wait in seconds. If `retry-after` asks for more, the call fails at once. Default: 30. */
    maxRetryWait: number;
    /** Milliseconds for each attempt. Default: 35,000, because the vault answers within 29 seconds. */
    timeout: number;
}
/** An operation is its method and its path in the document, such as `POST /v2/zoom-tokens`. */
export declare function takesIdempotencyKey(operation: string): boolean;
/** Whether a second request does no harm if the first one took effect, and others have acted since. */
export declare function isRepeatable(operation: string, body: unknown): boolean;
/**
 * Sends a request, and repeats it as long as that is safe and can help:
 * - after a 429 with `retry-after`, which every operation may repeat, because nothing was done;
 * - after a 409 or 503 with `retry-after`, or without an answer, only if the call is repeatable.
 */
export declare function send(repeatable: boolean, request: Request, fetch: (request: Request) => Promise<Response>, retries: Retries): Promise<Response>;
