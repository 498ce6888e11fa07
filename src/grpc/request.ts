/** How the request of a call is read: inflated, decoded, and counted by what its values cost. */
import { type Asker, inflate } from './inflate.ts'
import { TooManyValues } from './protobuf.ts'
import { type MethodType, RpcError, Status } from './transport.ts'

/** What one decoded value costs, beside its bytes. */
const bytesPerValue = 64
/** Values of a request that are not counted: an ordinary one has fewer. */
export const freeValues = 256

/** Millions of small values in few bytes are not few bytes any more. */
export const valuesBytes = (values: number): number => Math.max(0, values - freeValues) * bytesPerValue

/** Throws RpcError when it is not what it should be. */
export function parseRequest({ request, path }: MethodType, bytes: Buffer): unknown {
  try {
    return request.decode(bytes)
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : 'unreadable'
    if (cause instanceof TooManyValues) {
      throw new RpcError(Status.RESOURCE_EXHAUSTED, `The request of ${path} is too large: ${why}; send less at a time`)
    }
    throw new RpcError(Status.INTERNAL, `The request of ${path} is not the message it should be: ${why}`)
  }
}

/** Null when it was not wanted any more once its turn came. Throws RpcError. */
export async function inflateRequest(
  bytes: Buffer,
  encoding: string | undefined,
  by: { readonly mostBytes: number; readonly owners: Asker; readonly isWanted: () => boolean },
): Promise<Buffer | null> {
  if (encoding !== 'gzip') {
    if (encoding === undefined || encoding === 'identity') {
      throw new RpcError(Status.INTERNAL, 'A message is marked compressed, but no grpc-encoding was given')
    }
    throw new RpcError(
      Status.UNIMPLEMENTED,
      `grpc-encoding ${JSON.stringify(encoding)} is not supported; use gzip or identity`,
    )
  }
  try {
    return await inflate(bytes, by.mostBytes, by.owners, by.isWanted)
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE') {
      throw new RpcError(
        Status.RESOURCE_EXHAUSTED,
        `A message is larger than the limit of ${by.mostBytes} bytes once decompressed`,
      )
    }
    throw new RpcError(Status.INTERNAL, 'A compressed message is not gzip')
  }
}
