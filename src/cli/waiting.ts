/** Waiting for the loop: polls an instance until it has the state that the command needs, within a time limit. */
import type { InstanceId } from '../model/ids.ts'
import { pause, realClock } from '../world/real.ts'
import { callData, callOperation, refusalText, type Target } from './client.ts'
import { CommandError, LateError } from './errors.ts'

export interface InstanceShown {
  readonly instanceId: InstanceId
  readonly instanceName: string
  readonly status: string
  readonly seriesCode: string
  readonly subSeriesCode: string
  readonly paymentType: string
  readonly createTime: string
  readonly topicCount: number
  readonly groupCount: number
  readonly remark?: string
  readonly productInfo: Readonly<Record<string, unknown>>
  readonly networkInfo?: {
    readonly endpoints: ReadonlyArray<{ readonly endpointType: string; readonly endpointUrl: string }>
  }
  readonly accountInfo?: { readonly username: string }
  readonly aclInfo?: { readonly defaultVpcAuthFree?: boolean; readonly aclTypes?: readonly string[] }
}

const firstPauseMs = 15
const longestPauseMs = 500
const limitMs = 60_000

export async function untilRunning(target: Target, instanceId: InstanceId): Promise<InstanceShown> {
  const instance = await poll(target, instanceId, (found) => found?.status === 'RUNNING')
  if (instance === null) throw new CommandError(`Instance ${instanceId} vanished while it was made.`)
  return instance
}

export async function untilGone(target: Target, instanceId: InstanceId): Promise<void> {
  await poll(target, instanceId, (found) => found === null)
}

/** A topic or a consumer group, by the operation that reads it; answers it as it runs. */
export async function untilPartRuns(
  target: Target,
  action: 'GetTopic' | 'GetConsumerGroup',
  input: Readonly<Record<string, string>>,
): Promise<Readonly<Record<string, unknown>>> {
  let found: Readonly<Record<string, unknown>> = {}
  await repeatedly(
    async () => {
      found = await callData<Record<string, unknown>>(target, action, input)
      return found.status === 'RUNNING'
    },
    () => {
      throw new LateError(`It is still being made after ${limitMs / 1000} s. "gantry doctor" may say why.`)
    },
  )
  return found
}

async function poll(
  target: Target,
  instanceId: InstanceId,
  done: (instance: InstanceShown | null) => boolean,
): Promise<InstanceShown | null> {
  let found: InstanceShown | null = null
  await repeatedly(
    async () => {
      const { status, body } = await callOperation(target, 'GetInstance', { instanceId })
      if (status >= 400 && status !== 404) throw new CommandError(refusalText('GetInstance', status, body))
      found = status === 404 ? null : (body.data as InstanceShown)
      return done(found)
    },
    () => {
      throw new LateError(
        `Instance ${instanceId} is still ${found?.status ?? 'absent'} after ${limitMs / 1000} s. "gantry doctor" may say why.`,
      )
    },
  )
  return found
}

/** Asks with growing pauses until the answer is yes; `late` is called, and throws, when it was no for too long. */
async function repeatedly(ask: () => Promise<boolean>, late: () => never): Promise<void> {
  const end = realClock.monotonic() + limitMs
  for (let pauseMs = firstPauseMs; !(await ask()); pauseMs = Math.min(pauseMs * 1.5, longestPauseMs)) {
    if (realClock.monotonic() > end) late()
    await pause(pauseMs)
  }
}
