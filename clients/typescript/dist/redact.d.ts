/** Hides secret fields from `console.log` and `util.inspect`. Programs and `JSON.stringify` still read them. */
export declare function hideSecrets(value: unknown): void;
