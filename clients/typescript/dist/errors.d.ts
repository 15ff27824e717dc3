import type { ErrorCode } from './generated/operations.js';
/** Every error of this package. */
export declare class VaultError extends Error {
    name: string;
}
/** The vault, or something in front of it, answered with a failure. `message` says what to do. */
export declare class ApiError extends VaultError {
    name: string;
    /** For programs. Null if the answer has not the form of the vault's errors: then a proxy answered. */
    readonly code: ErrorCode | (string & {}) | null;
    readonly statusCode: number;
    /** More about the cause, depending on `code`. */
    readonly details: string | null;
    /** Names the request in the vault's log. */
    readonly requestId: string | null;
    /** Seconds until the same request can succeed. */
    readonly retryAfter: number | null;
    constructor(status: number, headers: Headers, body: unknown);
}
/** No complete answer arrived. The request may have taken effect. */
export declare class NoAnswerError extends VaultError {
    name: string;
    /** `TIMEOUT`, or the system's name of the failure, such as `ECONNREFUSED`. */
    readonly reason: string;
    constructor(reason: string);
}
/** A notification is not genuine. Answer with the status 401, and do not read its body. */
export declare class NotificationError extends VaultError {
    name: string;
    readonly reason: 'header_missing' | 'timestamp_off' | 'signature_wrong';
    constructor(reason: NotificationError['reason'], message: string);
}
/** The seconds in `retry-after`. The vault never sends a date. */
export declare function retryAfter(headers: Headers): number | null;
