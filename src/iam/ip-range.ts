/**
 * Addresses and CIDR ranges, IPv4 and IPv6, for the address conditions of policies. An IPv4 address that arrived
 * over an IPv6 socket (`::ffff:192.0.2.1`) is the IPv4 address.
 */

export interface IpAddress {
  readonly bits: 32 | 128
  readonly value: bigint
}

export interface IpRange extends IpAddress {
  /** How many leading bits count. */
  readonly prefix: number
}

/** A single address or `address/prefix`; null when it is neither. */
export function parseRange(text: string): IpRange | null {
  const [address, prefix, ...rest] = text.split('/')
  const parsed = parseAddress(address!)
  if (parsed === null || rest.length > 0) return null
  if (prefix === undefined) return { ...parsed, prefix: parsed.bits }
  if (!/^\d{1,3}$/.test(prefix) || Number(prefix) > parsed.bits) return null
  return { ...parsed, prefix: Number(prefix) }
}

export function parseAddress(text: string): IpAddress | null {
  const v4 = parseV4(text)
  if (v4 !== null) return { bits: 32, value: v4 }
  const v6 = parseV6(text)
  if (v6 === null) return null
  return v6 >> 32n === 0xffffn ? { bits: 32, value: v6 & 0xffffffffn } : { bits: 128, value: v6 }
}

export function contains(range: IpRange, address: IpAddress): boolean {
  if (range.bits !== address.bits) return false
  const drop = BigInt(range.bits - range.prefix)
  return range.value >> drop === address.value >> drop
}

function parseV4(text: string): bigint | null {
  const match = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(text)
  if (match === null) return null
  let value = 0n
  for (const part of match.slice(1)) {
    if (Number(part) > 255) return null
    value = (value << 8n) | BigInt(part)
  }
  return value
}

function parseV6(text: string): bigint | null {
  if (text.length > 45) return null
  const halves = text.split('::')
  if (halves.length > 2) return null
  const head = groupsOf(halves[0]!)
  const tail = halves.length === 2 ? groupsOf(halves[1]!) : []
  if (head === null || tail === null) return null
  const missing = 8 - head.length - tail.length
  if (halves.length === 2 ? missing < 1 : missing !== 0) return null
  const groups = [...head, ...Array<number>(missing).fill(0), ...tail]
  return groups.reduce((value, group) => (value << 16n) | BigInt(group), 0n)
}

/** Groups of 16 bits; a dotted IPv4 tail is two of them. */
function groupsOf(text: string): number[] | null {
  if (text === '') return []
  const groups: number[] = []
  const parts = text.split(':')
  for (const [index, part] of parts.entries()) {
    const v4 = index === parts.length - 1 ? parseV4(part) : null
    if (v4 !== null) groups.push(Number(v4 >> 16n), Number(v4 & 0xffffn))
    else if (/^[0-9A-Fa-f]{1,4}$/.test(part)) groups.push(Number.parseInt(part, 16))
    else return null
  }
  return groups
}
