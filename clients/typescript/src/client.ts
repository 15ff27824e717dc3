import { randomUUID } from 'node:crypto'

import createClient, { type FetchOptions } from 'openapi-fetch'
import type {
  FilterKeys,
  HttpMethod,
  PathsWithMethod,
  RequiredKeysOf,
  SuccessResponseJSON,
} from 'openapi-typescript-helpers'

import { ApiError } from './errors.js'
import { VERSION } from './generated/operations.js'
import type { paths } from './generated/schema.js'
import { hideSecrets } from './redact.js'
import { isRepeatable, type Retries, send, takesIdempotencyKey } from './send.js'

/** The operations that need an API key. Token URLs and webhooks are for others. */
export type ApiPaths = { [Path in keyof paths as Path extends `/v2/${string}` ? Path : never]: paths[Path] }
type Method = Extract<HttpMethod, 'get' | 'post' | 'put' | 'patch' | 'delete'>
type Path<M extends Method> = PathsWithMethod<ApiPaths, M>
type Operation<P extends keyof ApiPaths, M extends Method> = NonNullable<FilterKeys<ApiPaths[P], M>>
type Options<P extends keyof ApiPaths, M extends Method> = Pick<
  FetchOptions<Operation<P, M>>,
  Extract<keyof FetchOptions<Operation<P, M>>, 'params' | 'body'>
> & { signal?: AbortSignal }
type Arguments<P extends keyof ApiPaths, M extends Method> =
  RequiredKeysOf<Options<P, M>> extends never ? [options?: Options<P, M>] : [options: Options<P, M>]

/** What is in the field `data` of a success. */
export type Data<P extends keyof ApiPaths, M extends Method> =
  SuccessResponseJSON<Operation<P, M>> extends { data: infer D } ? D : undefined

/** The paths whose `GET` answers with pages. */
export type PagedPath = {
  [P in Path<'get'>]: ApiPaths[P]['get'] extends { parameters: { query?: { cursor?: unknown } } }
    ? Data<P, 'get'> extends readonly unknown[]
      ? P
      : never
    : never
}[Path<'get'>]
export type Item<P extends PagedPath> = Data<P, 'get'> extends readonly (infer I)[] ? I : never

export interface Page<T> {
  items: T[]
  /** The `cursor` of the next page. Null after the last page. */
  nextCursor: string | null
}

export interface Answer<T> {
  data: T
  /** For example `idempotent-replayed`, `x-next-cursor` and `x-request-id`. */
  headers: Headers
}

export interface VaultOptions extends Partial<Retries> {
  /** The address of the vault, without `/v2`. */
  baseUrl: string
  apiKey: string
  /** Allows `http` to another host than this machine. Then everybody on the way can read the API key. */
  allowHttp?: boolean
  /** Instead of the global `fetch`, for example to use a proxy. */
  fetch?: (request: Request) => Promise<Response>
}

const PAGE_SIZE = 100

/** A client of the vault. Its methods return the field `data` of the answer, and throw a `VaultError`. */
export class Vault {
  readonly baseUrl: string
  // A private field is invisible to `console.log`.
  readonly #call: (method: Method, path: string, options: CallOptions) => Promise<Answer<unknown>>

  constructor(options: VaultOptions) {
    const { apiKey, fetch = globalThis.fetch } = options
    const retries = {
      maxRetries: options.maxRetries ?? 3,
      maxRetryWait: options.maxRetryWait ?? 30,
      timeout: options.timeout ?? 35_000,
    }
    this.baseUrl = checkedUrl(options.baseUrl, options.allowHttp ?? false)
    // The error of `fetch` for such a header would show the key.
    if (!/^[!-~]+$/.test(apiKey ?? '')) throw new TypeError('apiKey is empty, or has a blank or a character outside ASCII')
    const client = createClient<any>({ baseUrl: this.baseUrl })

    this.#call = async (method, path, { params, body, signal }) => {
      const operation = `${method.toUpperCase()} ${path}`
      // These would name another path.
      for (const [name, value] of Object.entries(params?.path ?? {})) {
        if (['', '.', '..'].includes(String(value))) throw new TypeError(`${name} must not be empty, "." or ".."`)
      }
      const headers = {
        'x-meeting-baas-api-key': apiKey,
        'user-agent': `zoom-vault-typescript/${VERSION}`,
      }
      const header = { ...params?.header }
      if (takesIdempotencyKey(operation)) header['Idempotency-Key'] ??= randomUUID()
      const { data, error, response } = await client.request(method, path, {
        params: { ...params, header },
        ...(body !== undefined && { body }),
        ...(signal && { signal }),
        headers,
        parseAs: 'text',
        fetch: (request: Request) => send(isRepeatable(operation, body), request, fetch, retries),
      })
      if (response.status === 204) return { data: undefined, headers: response.headers }
      const answer = response.ok ? parsed(data) : error
      if (!response.ok || !isSuccess(answer)) throw new ApiError(response.status, response.headers, answer)
      hideSecrets(answer.data)
      return { data: answer.data, headers: response.headers }
    }
  }

  get<P extends Path<'get'>>(path: P, ...options: Arguments<P, 'get'>): Promise<Data<P, 'get'>> {
    return this.#data('get', path, options)
  }

  /** Sets an `Idempotency-Key` where the operation takes one, unless `params.header` has one. */
  post<P extends Path<'post'>>(path: P, ...options: Arguments<P, 'post'>): Promise<Data<P, 'post'>> {
    return this.#data('post', path, options)
  }

  put<P extends Path<'put'>>(path: P, ...options: Arguments<P, 'put'>): Promise<Data<P, 'put'>> {
    return this.#data('put', path, options)
  }

  patch<P extends Path<'patch'>>(path: P, ...options: Arguments<P, 'patch'>): Promise<Data<P, 'patch'>> {
    return this.#data('patch', path, options)
  }

  delete<P extends Path<'delete'>>(path: P, ...options: Arguments<P, 'delete'>): Promise<Data<P, 'delete'>> {
    return this.#data('delete', path, options)
  }

  /** As the methods above, with the headers of the answer. */
  async request<M extends Method, P extends Path<M>>(
    method: M,
    path: P,
    ...options: Arguments<P, M>
  ): Promise<Answer<Data<P, M>>> {
    return (await this.#call(method, path, (options[0] ?? {}) as CallOptions)) as Answer<Data<P, M>>
  }

  /** All items of a list, page by page. `limit` is the size of a page, 100 by default. */
  async *each<P extends PagedPath>(path: P, ...options: Arguments<P, 'get'>): AsyncGenerator<Item<P>, void> {
    for await (const page of this.pages(path, ...options)) yield* page.items
  }

  /** The pages of a list, beginning at `cursor`. A page can be empty and have a next page. */
  async *pages<P extends PagedPath>(path: P, ...options: Arguments<P, 'get'>): AsyncGenerator<Page<Item<P>>, void> {
    const given = (options[0] ?? {}) as CallOptions
    const query: Record<string, unknown> = { ...given.params?.query }
    query['limit'] ??= PAGE_SIZE
    for (;;) {
      const { data, headers } = await this.#call('get', path, { ...given, params: { ...given.params, query } })
      const nextCursor = headers.get('x-next-cursor')
      yield { items: data as Item<P>[], nextCursor }
      if (nextCursor === null) return
      query['cursor'] = nextCursor
    }
  }

  async #data<P extends keyof ApiPaths, M extends Method>(
    method: M,
    path: P,
    options: Arguments<P, M>,
  ): Promise<Data<P, M>> {
    return (await this.#call(method, path, (options[0] ?? {}) as CallOptions)).data as Data<P, M>
  }
}

interface CallOptions {
  params?: { query?: Record<string, unknown>; header?: Record<string, unknown>; path?: Record<string, unknown> }
  body?: unknown
  signal?: AbortSignal
}

function checkedUrl(baseUrl: string, allowHttp: boolean): string {
  if (!URL.canParse(baseUrl)) throw new TypeError('baseUrl is not a URL')
  const url = new URL(baseUrl)
  if (url.username || url.password || url.search || url.hash) {
    throw new TypeError('baseUrl must not have a user, a query or a fragment')
  }
  const local = /^(localhost|127\.[0-9.]+|\[::1\])$/.test(url.hostname)
  if (url.protocol !== 'https:' && !(url.protocol === 'http:' && (local || allowHttp))) {
    throw new TypeError('baseUrl must begin with https://, because each request carries the API key')
  }
  return url.href.replace(/\/+$/, '')
}

/** The error of `JSON.parse` would show a part of the answer, which can be a token. */
function parsed(text: unknown): unknown {
  try {
    return JSON.parse(String(text))
  } catch {
    return null
  }
}

function isSuccess(answer: unknown): answer is { data: unknown } {
  return typeof answer === 'object' && answer !== null && 'data' in answer && 'success' in answer && answer.success === true
}
