import { createHmac, timingSafeEqual } from 'node:crypto'

import { NotificationError } from './errors.js'
import type { components } from './generated/schema.js'

export interface Notification {
  type: components['schemas']['NotificationKind'] | (string & {})
  /** When the event happened. */
  timestamp: string
  data: { event_id?: string; credential_id?: string; session_id?: string; reason?: string }
}

export interface VerifyOptions {
  /** The secret of the endpoint, `whsec_…`. Several if you keep the earlier secret for a while. */
  secrets: string | readonly string[]
  /** The headers of the request: those of `fetch`, of `node:http`, or of an event of Lambda. */
  headers: Headers | Readonly<Record<string, string | readonly string[] | undefined>>
  /** The body as it came, not JSON that was parsed and written again. */
  body: string | Uint8Array
  /** How many seconds the clocks may differ, and the call may take. Default: 300. */
  tolerance?: number
  /** Seconds since 1970, for tests. */
  now?: number
}

/**
 * Verifies that the vault made a call to your notification endpoint, and returns the notification. Throws a
 * `NotificationError` otherwise. The vault may send a notification twice: remember the header `webhook-id` for a day.
 */
export function verifyNotification(options: VerifyOptions): Notification {
  const { headers, body, tolerance = 300, now = Date.now() / 1000 } = options
  const keys = [options.secrets].flat().map(decodeSecret)
  if (keys.length === 0) throw new TypeError('verifyNotification needs at least one secret')

  const id = header(headers, 'webhook-id')
  const timestamp = header(headers, 'webhook-timestamp')
  const signatures = header(headers, 'webhook-signature')
  if (!id || !timestamp || !signatures) {
    throw new NotificationError('header_missing', 'One of webhook-id, webhook-timestamp and webhook-signature is missing')
  }
  if (!/^[0-9]{1,15}$/.test(timestamp) || !(Math.abs(now - Number(timestamp)) <= tolerance)) {
    throw new NotificationError('timestamp_off', `webhook-timestamp is more than ${tolerance} seconds off`)
  }
  const sent = signatures.split(' ').filter((signature) => signature.startsWith('v1,'))
  const expected = keys.map((key) => {
    const mac = createHmac('sha256', key).update(`${id}.${timestamp}.`).update(body).digest('base64')
    return Buffer.from(`v1,${mac}`)
  })
  const genuine = sent.some((signature) => expected.some((it) => isEqual(Buffer.from(signature), it)))
  if (!genuine) throw new NotificationError('signature_wrong', 'No secret made a signature in webhook-signature')
  const text = typeof body === 'string' ? body : new TextDecoder().decode(body)
  return JSON.parse(text) as Notification
}

function isEqual(left: Buffer, right: Buffer): boolean {
  return left.length === right.length && timingSafeEqual(left, right)
}

function header(headers: VerifyOptions['headers'], name: string): string | undefined {
  if (headers instanceof Headers) return headers.get(name) ?? undefined
  const found = Object.entries(headers).find(([given]) => given.toLowerCase() === name)
  const value = found?.[1]
  return typeof value === 'string' ? value : undefined
}

function decodeSecret(secret: string): Buffer {
  const text = secret.replace(/^whsec_/, '')
  if (!/^[A-Za-z0-9+/]{32,}={0,2}$/.test(text)) {
    throw new TypeError('A secret of verifyNotification is not of the form whsec_…, as the vault showed it')
  }
  return Buffer.from(text, 'base64')
}
