/**
 * IP whitelists: may this address connect? Entries are IPv4 or IPv6 addresses or CIDR blocks; an empty
 * list lets everyone in (CreateInstance `internetInfo.ipWhitelist`: empty means open).
 */
import { BlockList, isIPv4, isIPv6 } from 'node:net'

export function addressFilter(allow: readonly string[]): (address: string) => boolean {
  if (allow.length === 0) return () => true
  const list = new BlockList()
  for (const entry of allow) {
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
