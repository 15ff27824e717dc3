export const VERSION = '0.2.0';
/** The operations that take an `Idempotency-Key`. */
export const KEYED = new Set([
    'POST /v2/zoom-credentials',
    'PATCH /v2/zoom-credentials/{id}',
]);
/** More operations that may be repeated, although the method is not GET or DELETE. */
export const REPEATABLE = new Set([
    'PUT /v2/vendors/{vendor}',
    'PUT /v2/zoom-apps/{client_id}',
    'POST /v2/zoom-apps/{client_id}/rotate-secret',
    'POST /v2/zoom-credentials/{id}/check',
    'POST /v2/zoom-tokens',
]);
