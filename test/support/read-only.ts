/**
 * A view of an object, and of everything that is reached through it, on which every change throws: for tests of what must
 * only look. Objects of classes with private fields are asked themselves, and may not be asked to change.
 */
const changing = new Set([
  'set',
  'delete',
  'clear',
  'add',
  'push',
  'pop',
  'shift',
  'unshift',
  'splice',
  'sort',
  'reverse',
  'remove',
])

export function readOnly<T extends object>(root: T): T {
  const views = new WeakMap<object, object>()
  const view = (value: unknown): unknown => {
    if (typeof value !== 'object' || value === null || ArrayBuffer.isView(value)) return value
    const known = views.get(value)
    if (known) return known
    const made = new Proxy(value, {
      get: (target, name) => read(target, name),
      set: (_, name) => refuse(`${String(name)} is set`),
      deleteProperty: (_, name) => refuse(`${String(name)} is deleted`),
      defineProperty: (_, name) => refuse(`${String(name)} is defined`),
    })
    views.set(value, made)
    return made
  }
  const read = (target: object, name: string | symbol): unknown => {
    const value = Reflect.get(target, name, target)
    if (typeof value !== 'function') return view(value)
    if (changing.has(String(name)) && !(Array.isArray(target) && name === 'sort'))
      return () => refuse(`${String(name)}() is called`)
    if (Array.isArray(target)) return value
    return (...given: unknown[]) => each(value.apply(target, given))
  }
  /** What iterators give is seen in the same way. */
  const each = (result: unknown): unknown => {
    if (typeof result !== 'object' || result === null || !(Symbol.iterator in result) || Array.isArray(result))
      return view(result)
    return (function* () {
      for (const one of result as Iterable<unknown>) yield Array.isArray(one) ? one.map(view) : view(one)
    })()
  }
  return view(root) as T
}

function refuse(what: string): never {
  throw new Error(`A decision changes what it was given: ${what}.`)
}
