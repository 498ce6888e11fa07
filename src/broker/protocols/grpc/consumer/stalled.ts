/** How long an answer waits for a client that does not read it. */
import type { WritableCall } from '../../../../grpc/transport.ts'
import type { BrokerEndpoint } from '../../../calls/endpoint.ts'

/** For a client to take something of a full stream; far beyond any that is alive. */
const stalledMs = 30_000

/** False when the client took nothing for too long. Also resolves when the call has ended. */
export function drainedInTime(
  call: Pick<WritableCall<BrokerEndpoint, never>, 'context' | 'drained'>,
): Promise<boolean> {
  return new Promise((resolve) => {
    const cancel = call.context.clock.after(stalledMs, () => resolve(false))
    void call.drained().then(() => {
      cancel()
      resolve(true)
    })
  })
}
