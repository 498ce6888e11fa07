/**
 * ROA-style requests: method and path name the operation, path, query and a JSON body carry its parameters, headers
 * carry version and signature.
 */
import { ApiError } from '../catalogue/errors.ts'
import { authenticate } from '../iam/authenticate.ts'
import { parseQuery } from '../iam/percent.ts'
import type { ServedProduct } from '../resources/handler.ts'
import { successReply } from './envelope.ts'
import { parseJsonBody } from './json.ts'
import { headerOf } from './request.ts'
import { createRouter } from './routing.ts'
import { expectedOf, type Style } from './style.ts'

/** Beyond the parameters of any operation: a query is read and put into its canonical form before the caller is known. */
const MAX_PARAMETERS = 256

export function roaStyle(products: readonly ServedProduct[]): Style {
  const route = createRouter(products.filter(({ product }) => product.style === 'ROA'))
  return {
    address(request) {
      const { served, operation, path } = route(request.method, request.rawPath)
      if (parseQuery(request.rawQuery, MAX_PARAMETERS + 1).length > MAX_PARAMETERS) {
        throw new ApiError(400, 'InvalidParameter', `The request has more than ${MAX_PARAMETERS} parameters.`)
      }
      return {
        served,
        operation,
        version: headerOf(request, 'x-acs-version'),
        authenticate: (authenticator) => authenticate(authenticator, request, expectedOf(operation), request.at),
        raw: () => ({
          path,
          query: parseQuery(request.rawQuery),
          body: request.body.length === 0 ? undefined : parseJsonBody(request.body),
        }),
        reply: (data, message) => successReply(request.requestId, data, message),
      }
    },
  }
}
