/**
 * IP whitelists: may this address connect? Entries are IPv4 or IPv6 addresses or CIDR blocks. Two lists
 * count: the instance's own, for every endpoint, where being listed is needed, and the endpoint's
 * (CreateInstance `internetInfo.ipWhitelist`), where an empty list means everyone.
 */
import { BlockList, isIPv4, isIPv6 } from 'node:net'

export type AddressFilter = (address: string) => boolean

export function addressFilter(lists: {
  readonly instance: readonly string[]
  readonly endpoint: readonly string[]
}): AddressFilter {
  const listed = listedIn(lists.instance)
  if (lists.endpoint.length === 0) return listed
  const listedToo = listedIn(lists.endpoint)
  return (address) => listed(address) && listedToo(address)
}

/** Whether an address is one of the entries, or in one of them; an entry that is neither counts for nothing. */
export function listedIn(entries: readonly string[]): AddressFilter {
  // "Everyone" is written as IPv4 and means everyone.
  if (entries.includes('0.0.0.0/0')) return () => true
  const list = new BlockList()
  for (const entry of entries) {
    const [address = '', prefix] = entry.split('/')
    const family = isIPv4(address) ? 'ipv4' : isIPv6(address) ? 'ipv6' : null
    if (family === null) continue
    if (prefix === undefined) list.addAddress(address, family)
    else list.addSubnet(address, Number(prefix), family)
  }
  return (address) => {
    const plain = address.replace(/^::ffff:(?=\d+\.\d+\.\d+\.\d+$)/i, '')
    return list.check(plain, isIPv6(plain) ? 'ipv6' : 'ipv4')
  }
}
