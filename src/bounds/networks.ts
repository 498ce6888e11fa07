/**
 * Whose an address is, and shares by network. What many addresses of one network hold counts as one holder, so that
 * whoever has a whole network is worth no more than whoever has one address. Of IPv6 there are two levels: a subnet (/64),
 * which one customer has at least, and a site (/48), which one customer may have whole: 65,536 subnets. Whoever has
 * several sites still counts once for each; what that is worth is bounded by the order of coming (`strangers.ts`).
 */
import { isIPv6 } from 'node:net'
import { Share } from './shares.ts'

export interface Networks {
  /** The smallest network that is told apart: an IPv4 address, an IPv6 subnet (/64). */
  readonly network: string
  /** What one owner may have whole: an IPv4 address, an IPv6 site (/48). */
  readonly site: string
}

export function networksOf(address: string): Networks {
  const plain = address.startsWith('::ffff:') && address.includes('.') ? address.slice(7) : address
  if (!isIPv6(plain)) return { network: plain, site: plain }
  const [before = '', after] = plain.split('::')
  const groups = before === '' ? [] : before.split(':')
  if (after !== undefined) {
    const behind = after === '' ? 0 : after.split(':').length + (after.includes('.') ? 1 : 0)
    while (groups.length < 8 - behind) groups.push('0')
    if (after !== '') groups.push(...after.split(':'))
  }
  return { network: groups.slice(0, 4).join(':'), site: `${groups.slice(0, 3).join(':')}/48` }
}

/** A share for each network that holds something of `parent`, below one for its site. */
export class NetworkShares {
  readonly #parent: Share
  readonly #shares = new Map<string, Share>()

  constructor(parent: Share) {
    this.#parent = parent
  }

  /** What a holder at `address` stands below. The holder calls `forget` once it has closed its own share. */
  of(address: string): Share {
    const { network, site } = networksOf(address)
    const outer = network === site ? this.#parent : this.#share(site, this.#parent)
    return this.#share(network, outer)
  }

  /** Forgets the networks of `address` that hold nothing. */
  forget(address: string): void {
    const { network, site } = networksOf(address)
    for (const name of [network, site]) {
      const share = this.#shares.get(name)
      if (share === undefined || share.held > 0) continue
      share.close()
      this.#shares.delete(name)
    }
  }

  close(): void {
    for (const name of [...this.#shares.keys()].reverse()) this.#shares.get(name)!.close()
    this.#shares.clear()
  }

  #share(name: string, parent: Share): Share {
    const known = this.#shares.get(name)
    if (known !== undefined) return known
    const share = new Share({ most: Number.POSITIVE_INFINITY, parent })
    this.#shares.set(name, share)
    return share
  }
}
