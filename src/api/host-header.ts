/**
 * The Host and Origin headers: under which name the caller reached us, which region the call is for, and whether a
 * page of somebody else's is behind it.
 *
 * A page on the web can make its own name resolve to loopback (DNS rebinding) and then read whatever answers there,
 * so names that could be such a page's are refused before anything else is read. An address cannot be rebound, and
 * nobody but the vendor decides where names of the vendor lead. No answer carries a CORS header.
 *
 * No SDK sends the region; the endpoint is the region (docs/reference/api-semantics.md §1.1):
 * `rocketmq.<region>.aliyuncs.com` and `rocketmq-vpc.<region>.aliyuncs.com`; each product declares its own. Any other
 * name, such as 127.0.0.1, means the default region.
 */
import { isIP } from 'node:net'
import { ApiError } from '../catalogue/errors.ts'
import type { ProductFacts } from '../catalogue/product.ts'

const MAX_HOST_LENGTH = 255

/** Lower case, without port and brackets; null when the header is absent or no host at all. */
export function hostNameOf(hostHeader: string | undefined): string | null {
  if (hostHeader === undefined || hostHeader.length > MAX_HOST_LENGTH) return null
  const match = /^(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9_.-]+))(?::\d{1,5})?$/.exec(hostHeader)
  return (match?.[1] ?? match?.[2])?.toLowerCase() ?? null
}

/** The vendor's names of the products that are served. */
export interface VendorEndpoints {
  /** With and without a region. */
  readonly any: RegExp
  /** With the region that the call is for, which is its first group. */
  readonly regional: RegExp
}

export function vendorEndpoints(products: readonly Pick<ProductFacts, 'endpoints'>[]): VendorEndpoints {
  const all = products.flatMap(({ endpoints }) => endpoints.names)
  const regional = products.flatMap(({ endpoints }) => (endpoints.regional ? endpoints.names : []))
  return {
    any: new RegExp(`^(?:${all.join('|')})(?:\\.[a-z0-9-]+)?\\.aliyuncs\\.com$`),
    regional: new RegExp(`^(?:${regional.join('|')})\\.([a-z0-9-]+)\\.aliyuncs\\.com$`),
  }
}

/** `regionIds` are the regions served, the default first. Throws 404 `InvalidProduct.NotFound` for another region. */
export function regionOf(hostName: string | null, regionIds: readonly string[], { regional }: VendorEndpoints): string {
  const regionId = regional.exec(hostName ?? '')?.[1]
  if (regionId === undefined) return regionIds[0]!
  if (regionIds.includes(regionId)) return regionId
  throw unknownDomain(`This server answers for ${regionIds.join(', ')}, not for ${regionId}.`)
}

/** The headers by which a request says where it is going and where it comes from. */
export interface SiteHeaders {
  readonly host: string | undefined
  /** Of the request line, when that names more than a path (`GET http://host/path`). */
  readonly authority: string | null
  readonly origin: string | undefined
  readonly secFetchSite: string | undefined
  readonly secFetchMode: string | undefined
}

/**
 * Throws 404 `InvalidProduct.NotFound` for a name that is not ours, 400 `InvalidHost` for none, and 403
 * `Forbidden.Origin` for what a browser sends on behalf of another page. `names` are accepted beside addresses,
 * `localhost` and the vendor's endpoints; `*` accepts all, `.example.com` everything below it.
 */
export function checkSite(headers: SiteHeaders, names: readonly string[], endpoints: VendorEndpoints): void {
  const { host, authority } = headers
  if (host !== undefined) {
    const name = hostNameOf(host)
    if (name === null)
      throw new ApiError(400, 'InvalidHost', 'The Host header is not a host name with or without a port.')
    if (authority !== null && authority.toLowerCase() !== host.toLowerCase()) {
      throw new ApiError(400, 'InvalidHost', 'The request line names another host than the Host header.')
    }
    if (!isOurs(name, names, endpoints)) {
      throw unknownDomain(
        `This server does not answer to the name ${name}, lest a page on the web reach it under a name of its own. Call it by its address or as localhost, or add the name to its setting allowedHosts.`,
      )
    }
  }
  if (isForeign(headers)) {
    throw new ApiError(
      403,
      'Forbidden.Origin',
      'A browser sent this for a page of another site; this server answers its own pages only.',
    )
  }
}

function isOurs(name: string, names: readonly string[], { any }: VendorEndpoints): boolean {
  if (isIP(name) !== 0 || name === 'localhost' || name.endsWith('.localhost') || any.test(name)) return true
  return names.some((each) => each === '*' || each === name || (each.startsWith('.') && name.endsWith(each)))
}

/** An Origin that is not this server under the name it was called by; `null` is one. A link to a page is let through. */
function isForeign({ host, origin, secFetchSite, secFetchMode }: SiteHeaders): boolean {
  if (origin !== undefined) {
    const [, originHost] = /^https?:\/\/([^/?#@]+)$/.exec(origin) ?? []
    return originHost === undefined || originHost.toLowerCase() !== host?.toLowerCase()
  }
  return secFetchSite !== undefined && !['same-origin', 'none'].includes(secFetchSite) && secFetchMode !== 'navigate'
}

const unknownDomain = (what: string): ApiError =>
  new ApiError(404, 'InvalidProduct.NotFound', `Cannot find product according to your specified domain. ${what}`)
