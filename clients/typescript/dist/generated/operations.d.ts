import type { components } from './schema.js';
export declare const VERSION = "0.2.0";
export type ErrorCode = components['schemas']['ErrorBody']['code'];
/** The operations that take an `Idempotency-Key`. */
export declare const KEYED: ReadonlySet<string>;
/** More operations that may be repeated, although the method is not GET. */
export declare const REPEATABLE: ReadonlySet<string>;
/** The field of the body without which the vault ignores the `Idempotency-Key`. */
export declare const KEY_NEEDS: ReadonlyMap<string, string>;
