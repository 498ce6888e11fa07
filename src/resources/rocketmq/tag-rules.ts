/** What tags may be. */
import { invalid } from '../../catalogue/errors.ts'
import { limits } from '../../catalogue/rocketmq/limits.ts'
import type { Tag } from '../../ledger/tags.ts'
import { shown } from '../check.ts'

const WEB_ADDRESS = /https?:\/\//i

/**
 * Tags as they may be set: no key twice, none of the platform's own prefixes, no web addresses (the
 * platform's rule). Lengths and the number of tags are the catalogue's. An absent value is empty.
 */
export function checkTags(
  field: string,
  tags: ReadonlyArray<{ readonly key: string; readonly value?: string | undefined }>,
): Tag[] {
  const seen = new Set<string>()
  return tags.map(({ key, value = '' }, index) => {
    const at = `${field}[${index}]`
    if (seen.has(key)) throw invalid(`${at}.key`, `The key ${shown(key)} is there twice; a resource has each key once.`)
    seen.add(key)
    const reserved = limits.tags.reservedPrefixes.find((prefix) => key.toLowerCase().startsWith(prefix))
    if (reserved)
      throw invalid(`${at}.key`, `It is ${shown(key)}; keys that begin with "${reserved}" are the system's own.`)
    if (WEB_ADDRESS.test(key))
      throw invalid(`${at}.key`, `It is ${shown(key)}; web addresses are not accepted in tags.`)
    if (WEB_ADDRESS.test(value)) {
      throw invalid(`${at}.value`, `It is ${shown(value)}; web addresses are not accepted in tags.`)
    }
    return { key, value }
  })
}
