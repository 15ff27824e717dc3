import type { ErrorCode } from './generated/operations.js'

/** Every error of this package. */
export class VaultError extends Error {
  override name = 'VaultError'
}

/** The vault, or something in front of it, answered with a failure. `message` says what to do. */
export class ApiError extends VaultError {
  override name = 'ApiError'
  /** For programs. Null if the answer has not the form of the vault's errors: then a proxy answered. */
  readonly code: ErrorCode | (string & {}) | null
  readonly statusCode: number
  /** More about the cause, depending on `code`. */
  readonly details: string | null
  /** Names the request in the vault's log. */
  readonly requestId: string | null
  /** Seconds until the same request can succeed. */
  readonly retryAfter: number | null

  constructor(status: number, headers: Headers, body: unknown) {
    const envelope = isEnvelope(body) ? body : null
    super(envelope?.message ?? `The answer with status ${status} is not from the vault: a proxy may have made it`)
    this.code = envelope?.code ?? null
    this.statusCode = status
    this.details = envelope?.details ?? null
    this.requestId = headers.get('x-request-id')
    this.retryAfter = retryAfter(headers)
  }
}

/** No complete answer arrived. The request may have taken effect. */
export class NoAnswerError extends VaultError {
  override name = 'NoAnswerError'
  /** `TIMEOUT`, or the system's name of the failure, such as `ECONNREFUSED`. */
  readonly reason: string

  constructor(reason: string) {
    super(`The vault did not answer (${reason}). The request may have taken effect`)
    this.reason = reason
  }
}

/** A notification is not genuine. Answer with the status 401, and do not read its body. */
export class NotificationError extends VaultError {
  override name = 'NotificationError'
  readonly reason: 'header_missing' | 'timestamp_off' | 'signature_wrong'

  constructor(reason: NotificationError['reason'], message: string) {
    super(message)
    this.reason = reason
  }
}

/** The seconds in `retry-after`. The vault never sends a date. */
export function retryAfter(headers: Headers): number | null {
  const value = headers.get('retry-after') ?? ''
  return /^[0-9]{1,6}$/.test(value) ? Number(value) : null
}

function isEnvelope(body: unknown): body is { code: string; message: string; details?: string | null } {
  if (typeof body !== 'object' || body === null) return false
  const { success, code, message } = body as Record<string, unknown>
  return success === false && typeof code === 'string' && typeof message === 'string'
}
