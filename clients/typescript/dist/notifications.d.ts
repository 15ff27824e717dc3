import type { components } from './generated/schema.js';
export interface Notification {
    type: components['schemas']['NotificationKind'] | (string & {});
    /** When the event happened. */
    timestamp: string;
    data: {
        event_id?: string;
        credential_id?: string;
        session_id?: string;
        reason?: string;
    };
}
export interface VerifyOptions {
    /** The secret of the endpoint, `whsec_…`. Several if you keep the earlier secret for a while. */
    secrets: string | readonly string[];
    /** The headers of the request: those of `fetch`, of `node:http`, or of an event of Lambda. */
    headers: Headers | Readonly<Record<string, string | readonly string[] | undefined>>;
    /** The body as it came, not JSON that was parsed and written again. */
    body: string | Uint8Array;
    /** How many seconds the clocks may differ, and the call may take. Default: 300. */
    tolerance?: number;
    /** Seconds since 1970, for tests. */
    now?: number;
}
/**
 * Verifies that the vault made a call to your notification endpoint, and returns the notification. Throws a
 * `NotificationError` otherwise. The vault may send a notification twice: remember the header `webhook-id` for a day.
 */
export declare function verifyNotification(options: VerifyOptions): Notification;
