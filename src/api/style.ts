/**
 * The two ways in which clients address an operation. They differ in decoding, in the parameters that carry the
 * signature, and in the reply's envelope; everything else is the one path of pipeline.ts.
 */
import type { AccessLevel, Operation, RawRequest } from '../catalogue/index.ts'
import type { Authenticated, Authenticator, Expected } from '../iam/authenticate.ts'
import type { ServedProduct } from '../resources/handler.ts'
import type { ApiReply, ApiRequest } from './request.ts'

export interface Style {
  /** Which operation the request names; throws `ApiError` when there is none, or when it cannot be told. */
  address(request: ApiRequest): Addressed
}

export interface Addressed {
  readonly served: ServedProduct
  readonly operation: Operation
  /** As the caller sent it; undefined when it did not. */
  readonly version: string | undefined
  /** Who signed the request; throws `ApiError` to refuse. */
  authenticate(authenticator: Authenticator): Promise<Pick<Authenticated, 'principal' | 'once'>>
  /** The operation's parameters as they were sent; called once the caller is known. */
  raw(): RawRequest
  /** The reply's envelope around what the handler answered. */
  reply(data: unknown, message?: string): ApiReply
}

/** What the check of a signature must know of the operation. */
export const expectedOf = (operation: Operation): Expected => ({
  readOnly: isReadOnly(operation.accessLevel),
  queryNames: operation.parameters.filter((each) => each.in === 'query').map((each) => each.name),
})

export const isReadOnly = (level: AccessLevel): boolean => level === 'get' || level === 'list' || level === 'none'
