export const VERSION = '0.2.0';
/** The operations that take an `Idempotency-Key`. */
export const KEYED = new Set([
    'POST /v2/zoom-credentials',
    'PATCH /v2/zoom-credentials/{id}',
]);
/** More operations that may be repeated, although the method is not GET. */
export const REPEATABLE = new Set([
    'DELETE /v2/token-urls/{url_id}',
    'POST /v2/zoom-apps/{client_id}/rotate-secret',
    'POST /v2/zoom-credentials/{id}/check',
    'DELETE /v2/zoom-credentials/{id}/token-urls/{url_id}',
    'POST /v2/zoom-tokens',
]);
/** The field of the body without which the vault ignores the `Idempotency-Key`. */
export const KEY_NEEDS = new Map([
    ['PATCH /v2/zoom-credentials/{id}', 'authorization_code'],
]);
