const INSPECT = Symbol.for('nodejs.util.inspect.custom')
const SECRET = /^(token|secret|url|connect_url)$|_(token|secret|key)$/

type Inspect = (value: unknown, options: unknown) => string

/** Hides secret fields from `console.log` and `util.inspect`. Programs and `JSON.stringify` still read them. */
export function hideSecrets(value: unknown): void {
  if (typeof value !== 'object' || value === null) return
  Object.values(value).forEach(hideSecrets)
  const names = Object.keys(value).filter((name) => SECRET.test(name))
  if (names.length === 0) return
  Object.defineProperty(value, INSPECT, {
    value(_depth: number, options: unknown, inspect: Inspect) {
      const shown: Record<string, unknown> = { ...this }
      for (const name of names) if (typeof shown[name] === 'string') shown[name] = '[hidden]'
      return inspect(shown, options)
    },
  })
}
