/**
 * What the Host header tells: under which name the caller reached us, and which region the call is for.
 *
 * No SDK sends the region; the endpoint is the region (api-semantics §1.1): `rocketmq.<region>.aliyuncs.com` and
 * `rocketmq-vpc.<region>.aliyuncs.com`. Any other name, such as 127.0.0.1, means the default region.
 */
import { ApiError } from '../catalogue/errors.ts'

const MAX_HOST_LENGTH = 255

/** Lower case, without port and brackets; null when the header is absent or no host at all. */
export function hostNameOf(hostHeader: string | undefined): string | null {
  if (hostHeader === undefined || hostHeader.length > MAX_HOST_LENGTH) return null
  const match = /^(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9_.-]+))(?::\d{1,5})?$/.exec(hostHeader)
  return (match?.[1] ?? match?.[2])?.toLowerCase() ?? null
}

/** `regionIds` are the regions served, the default first. Throws 404 `InvalidProduct.NotFound` for another region. */
export function regionOf(hostName: string | null, regionIds: readonly string[]): string {
  const regionId = /^rocketmq(?:-vpc)?\.([a-z0-9-]+)\.aliyuncs\.com$/.exec(hostName ?? '')?.[1]
  if (regionId === undefined) return regionIds[0]!
  if (regionIds.includes(regionId)) return regionId
  throw new ApiError(
    404,
    'InvalidProduct.NotFound',
    `Cannot find product according to your specified domain. This server answers for ${regionIds.join(', ')}, not for ${regionId}.`,
  )
}
