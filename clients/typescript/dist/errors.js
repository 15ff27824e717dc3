/** Every error of this package. */
export class VaultError extends Error {
    name = 'VaultError';
}
/** The vault, or something in front of it, answered with a failure. `message` says what to do. */
export class ApiError extends VaultError {
    name = 'ApiError';
    /** For programs. Null if the answer has not the form of the vault's errors: then a proxy answered. */
    code;
    statusCode;
    /** More about the cause, depending on `code`. */
    details;
    /** Names the request in the vault's log. */
    requestId;
    /** Seconds until the same request can succeed. */
    retryAfter;
    constructor(status, headers, body) {
        const envelope = isEnvelope(body) ? body : null;
        super(envelope?.message ?? `The answer with status ${status} is not from the vault: a proxy may have made it`);
        this.code = envelope?.code ?? null;
        this.statusCode = status;
        this.details = envelope?.details ?? null;
        this.requestId = headers.get('x-request-id');
        this.retryAfter = retryAfter(headers);
    }
}
/** No complete answer arrived. The request may have taken effect. */
export class NoAnswerError extends VaultError {
    name = 'NoAnswerError';
    /** `TIMEOUT`, or the system's name of the failure, such as `ECONNREFUSED`. */
    reason;
    constructor(reason) {
        super(`The vault did not answer (${reason}). The request may have taken effect`);
        this.reason = reason;
    }
}
/** A notification is not genuine. Answer with the status 401, and do not read its body. */
export class NotificationError extends VaultError {
    name = 'NotificationError';
    reason;
    constructor(reason, message) {
        super(message);
        this.reason = reason;
    }
}
/** The seconds in `retry-after`. The vault never sends a date. */
export function retryAfter(headers) {
    const value = headers.get('retry-after') ?? '';
    return /^[0-9]{1,6}$/.test(value) ? Number(value) : null;
}
function isEnvelope(body) {
    if (typeof body !== 'object' || body === null)
        return false;
    const { success, code, message } = body;
    return success === false && typeof code === 'string' && typeof message === 'string';
}
