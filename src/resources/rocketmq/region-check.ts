/** The region of a call is its endpoint's; the few operations that name one must name the same. */
import { invalid } from '../../catalogue/errors.ts'
import { shown } from '../check.ts'

export function checkRegion(call: { readonly regionId: string }, regionId: string): void {
  if (regionId === call.regionId) return
  throw invalid(
    'regionId',
    `It is ${shown(regionId)}, but this call reached the endpoint of ${call.regionId}; send "${call.regionId}", or call the other region's endpoint.`,
  )
}
