/**
 * IPv4 addresses and CIDR blocks of a whitelist. Kept as they were written; nothing is normalised,
 * because clients compare what they read back with what they sent.
 */
import { invalid } from '../../catalogue/errors.ts'
import { shown } from '../check.ts'

export function checkIpList(field: string, entries: readonly string[]): readonly string[] {
  const wrong = entries.find((entry) => !isAddressOrBlock(entry))
  if (wrong !== undefined) {
    throw invalid(field, `${shown(wrong)} is neither an IPv4 address (192.168.0.1) nor a CIDR block (192.168.0.0/16).`)
  }
  return entries
}

export function isAddressOrBlock(text: string): boolean {
  const [address = '', prefix, ...rest] = text.split('/')
  if (rest.length > 0 || (prefix !== undefined && !/^(\d|[12]\d|3[0-2])$/.test(prefix))) return false
  const octets = address.split('.')
  return octets.length === 4 && octets.every((octet) => /^(0|[1-9]\d{0,2})$/.test(octet) && Number(octet) <= 255)
}
