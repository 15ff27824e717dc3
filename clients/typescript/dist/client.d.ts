import { type FetchOptions } from 'openapi-fetch';
import type { FilterKeys, HttpMethod, PathsWithMethod, RequiredKeysOf, SuccessResponseJSON } from 'openapi-typescript-helpers';
import type { paths } from './generated/schema.js';
import { type Retries } from './send.js';
/** The operations that need an API key. Token URLs and webhooks are for others. */
export type ApiPaths = {
    [Path in keyof paths as Path extends `/v2/${string}` ? Path : never]: paths[Path];
};
type Method = Extract<HttpMethod, 'get' | 'post' | 'put' | 'patch' | 'delete'>;
type Path<M extends Method> = PathsWithMethod<ApiPaths, M>;
type Operation<P extends keyof ApiPaths, M extends Method> = NonNullable<FilterKeys<ApiPaths[P], M>>;
type Options<P extends keyof ApiPaths, M extends Method> = Pick<FetchOptions<Operation<P, M>>, Extract<keyof FetchOptions<Operation<P, M>>, 'params' | 'body'>> & {
    signal?: AbortSignal;
};
type Arguments<P extends keyof ApiPaths, M extends Method> = RequiredKeysOf<Options<P, M>> extends never ? [options?: Options<P, M>] : [options: Options<P, M>];
/** What is in the field `data` of a success. */
export type Data<P extends keyof ApiPaths, M extends Method> = SuccessResponseJSON<Operation<P, M>> extends {
    data: infer D;
} ? D : undefined;
/** The paths whose `GET` answers with pages. */
export type PagedPath = {
    [P in Path<'get'>]: ApiPaths[P]['get'] extends {
        parameters: {
            query?: {
                cursor?: unknown;
            };
        };
    } ? Data<P, 'get'> extends readonly unknown[] ? P : never : never;
}[Path<'get'>];
export type Item<P extends PagedPath> = Data<P, 'get'> extends readonly (infer I)[] ? I : never;
export interface Page<T> {
    items: T[];
    /** The `cursor` of the next page. Null after the last page. */
    nextCursor: string | null;
}
export interface Answer<T> {
    data: T;
    /** For example `idempotent-replayed`, `x-next-cursor` and `x-request-id`. */
    headers: Headers;
}
export interface VaultOptions extends Partial<Retries> {
    /** The address of the vault, without `/v2`. */
    baseUrl: string;
    apiKey: string;
    /** Allows `http` to another host than this machine. Then everybody on the way can read the API key. */
    allowHttp?: boolean;
    /** Instead of the global `fetch`, for example to use a proxy. */
    fetch?: (request: Request) => Promise<Response>;
}
/** A client of the vault. Its methods return the field `data` of the answer, and throw a `VaultError`. */
export declare class Vault {
    #private;
    readonly baseUrl: string;
    constructor(options: VaultOptions);
    get<P extends Path<'get'>>(path: P, ...options: Arguments<P, 'get'>): Promise<Data<P, 'get'>>;
    /** Sets an `Idempotency-Key` where the operation takes one, unless `params.header` has one. */
    post<P extends Path<'post'>>(path: P, ...options: Arguments<P, 'post'>): Promise<Data<P, 'post'>>;
    put<P extends Path<'put'>>(path: P, ...options: Arguments<P, 'put'>): Promise<Data<P, 'put'>>;
    patch<P extends Path<'patch'>>(path: P, ...options: Arguments<P, 'patch'>): Promise<Data<P, 'patch'>>;
    delete<P extends Path<'delete'>>(path: P, ...options: Arguments<P, 'delete'>): Promise<Data<P, 'delete'>>;
    /** As the methods above, with the headers of the answer. */
    request<M extends Method, P extends Path<M>>(method: M, path: P, ...options: Arguments<P, M>): Promise<Answer<Data<P, M>>>;
    /** All items of a list, page by page. `limit` is the size of a page, 100 by default. */
    each<P extends PagedPath>(path: P, ...options: Arguments<P, 'get'>): AsyncGenerator<Item<P>, void>;
    /** The pages of a list, beginning at `cursor`. A page can be empty and have a next page. */
    pages<P extends PagedPath>(path: P, ...options: Arguments<P, 'get'>): AsyncGenerator<Page<Item<P>>, void>;
}
export {};
