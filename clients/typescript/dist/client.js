import { randomUUID } from 'node:crypto';
import createClient from 'openapi-fetch';
import { ApiError } from './errors.js';
import { VERSION } from './generated/operations.js';
import { hideSecrets } from './redact.js';
import { isRepeatable, send, takesIdempotencyKey } from './send.js';
const PAGE_SIZE = 100;
/** A client of the vault. Its methods return the field `data` of the answer, and throw a `VaultError`. */
export class Vault {
    baseUrl;
    // A private field is invisible to `console.log`.
    #call;
    constructor(options) {
        const { apiKey, fetch = globalThis.fetch } = options;
        const retries = {
            maxRetries: options.maxRetries ?? 3,
            maxRetryWait: options.maxRetryWait ?? 30,
            timeout: options.timeout ?? 35_000,
        };
        this.baseUrl = checkedUrl(options.baseUrl, options.allowHttp ?? false);
        // The error of `fetch` for such a header would show the key.
        if (!/^[!-~]+$/.test(apiKey ?? ''))
            throw new TypeError('apiKey is empty, or has a blank or a character outside ASCII');
        const client = createClient({ baseUrl: this.baseUrl });
        this.#call = async (method, path, { params, body, signal }) => {
            const operation = `${method.toUpperCase()} ${path}`;
            // These would name another path.
            for (const [name, value] of Object.entries(params?.path ?? {})) {
                if (['', '.', '..'].includes(String(value)))
                    throw new TypeError(`${name} must not be empty, "." or ".."`);
            }
            const headers = {
                'x-meeting-baas-api-key': apiKey,
                'user-agent': `zoom-vault-typescript/${VERSION}`,
            };
            const header = { ...params?.header };
            if (takesIdempotencyKey(operation))
                header['Idempotency-Key'] ??= randomUUID();
            const { data, error, response } = await client.request(method, path, {
                params: { ...params, header },
                ...(body !== undefined && { body }),
                ...(signal && { signal }),
                headers,
                parseAs: 'text',
                fetch: (request) => send(isRepeatable(operation, body), request, fetch, retries),
            });
            if (response.status === 204)
                return { data: undefined, headers: response.headers };
            const answer = response.ok ? parsed(data) : error;
            if (!response.ok || !isSuccess(answer))
                throw new ApiError(response.status, response.headers, answer);
            hideSecrets(answer.data);
            return { data: answer.data, headers: response.headers };
        };
    }
    get(path, ...options) {
        return this.#data('get', path, options);
    }
    /** Sets an `Idempotency-Key` where the operation takes one, unless `params.header` has one. */
    post(path, ...options) {
        return this.#data('post', path, options);
    }
    put(path, ...options) {
        return this.#data('put', path, options);
    }
    patch(path, ...options) {
        return this.#data('patch', path, options);
    }
    delete(path, ...options) {
        return this.#data('delete', path, options);
    }
    /** As the methods above, with the headers of the answer. */
    async request(method, path, ...options) {
        return (await this.#call(method, path, (options[0] ?? {})));
    }
    /** All items of a list, page by page. `limit` is the size of a page, 100 by default. */
    async *each(path, ...options) {
        for await (const page of this.pages(path, ...options))
            yield* page.items;
    }
    /** The pages of a list, beginning at `cursor`. A page can be empty and have a next page. */
    async *pages(path, ...options) {
        const given = (options[0] ?? {});
        const query = { ...given.params?.query };
        query['limit'] ??= PAGE_SIZE;
        for (;;) {
            const { data, headers } = await this.#call('get', path, { ...given, params: { ...given.params, query } });
            const nextCursor = headers.get('x-next-cursor');
            yield { items: data, nextCursor };
            if (nextCursor === null)
                return;
            query['cursor'] = nextCursor;
        }
    }
    async #data(method, path, options) {
        return (await this.#call(method, path, (options[0] ?? {}))).data;
    }
}
function checkedUrl(baseUrl, allowHttp) {
    if (!URL.canParse(baseUrl))
        throw new TypeError('baseUrl is not a URL');
    const url = new URL(baseUrl);
    if (url.username || url.password || url.search || url.hash) {
        throw new TypeError('baseUrl must not have a user, a query or a fragment');
    }
    const local = /^(localhost|127\.[0-9.]+|\[::1\])$/.test(url.hostname);
    if (url.protocol !== 'https:' && !(url.protocol === 'http:' && (local || allowHttp))) {
        throw new TypeError('baseUrl must begin with https://, because each request carries the API key');
    }
    return url.href.replace(/\/+$/, '');
}
/** The error of `JSON.parse` would show a part of the answer, which can be a token. */
function parsed(text) {
    try {
        return JSON.parse(String(text));
    }
    catch {
        return null;
    }
}
function isSuccess(answer) {
    return typeof answer === 'object' && answer !== null && 'data' in answer && 'success' in answer && answer.success === true;
}
