/** The page object every list answers with; the bounds of its numbers are in catalogue/rocketmq/limits.ts. */
import { clampPage, type PageSizes } from '../../catalogue/rocketmq/limits.ts'
import type { Page } from '../../ledger/search.ts'

export function pageOf(
  sizes: PageSizes,
  asked: { readonly pageNumber?: number | undefined; readonly pageSize?: number | undefined },
): Page {
  const { pageNumber, pageSize } = clampPage(sizes, asked)
  return { number: pageNumber, size: pageSize }
}

export const pageReply = <T>(page: Page, totalCount: number, list: T[]) => ({
  list,
  pageNumber: page.number,
  pageSize: page.size,
  totalCount,
})
