/**
 * Rules that CreateInstance and UpdateInstance share: what an instance of a given specification, on the
 * engine in use, can be told to do. Each refusal names the field.
 */
import { invalid, missing } from '../../catalogue/errors.ts'
import type { Specification } from '../../catalogue/rocketmq/specifications.ts'
import type { EngineCapabilities } from '../../engines/engine.ts'
import { identifier, isBlank } from '../check.ts'
import { checkIpList } from './ip-list.ts'

export type NamedEngine = EngineCapabilities & { readonly name: string }

/** Elastic TPS exist only where the specification has them; switching off what is not there is fine. */
export function checkAutoScaling(wanted: boolean, specification: Specification): boolean {
  if (wanted && !specification.supportAutoScaling) {
    throw invalid(
      'productInfo.autoScaling',
      `The specification ${specification.msgProcessSpec} has no elastic TPS; send false or leave it out.`,
    )
  }
  return wanted
}

/** The vendor publishes the name alone. What cannot be done is refused; that it is off is true. */
export function refuseAdaptiveElasticity(wanted: boolean | undefined): void {
  if (wanted !== true) return
  throw invalid(
    'productInfo.adaptiveElasticity',
    'It is true; what it does is not published, and this server does not do it. Send false or leave it out; autoScaling gives elastic TPS.',
  )
}

/**
 * Traces can be switched on serverless instances only; elsewhere they are always on and the vendor ignores
 * the value, which Terraform sends as false with every change.
 */
export const traceOnOf = (wanted: boolean, specification: Specification): boolean =>
  specification.subSeriesCode === 'serverless' ? wanted : true

/** What a reply says of a `traceOn` that has no effect; nothing when traces are as it asks. */
export const traceNotes = (asked: boolean | undefined, specification: Specification): string[] =>
  asked === undefined || asked === traceOnOf(asked, specification)
    ? []
    : [
        'productInfo.traceOn has no effect: it counts for serverless instances, and the traces of this one are always on.',
      ]

export interface EncryptionAsked {
  readonly storageEncryption?: boolean | undefined
  readonly storageSecretKey?: string | undefined
}

export function encryptionOf(
  asked: EncryptionAsked,
  specification: Specification,
  engine: NamedEngine,
): { storageEncryption: boolean; storageSecretKey?: string } {
  const key = isBlank(asked.storageSecretKey) ? undefined : asked.storageSecretKey
  if (asked.storageEncryption !== true) {
    if (key !== undefined) {
      throw invalid('productInfo.storageSecretKey', 'It counts only with storageEncryption true; leave it out.')
    }
    return { storageEncryption: false }
  }
  if (!specification.storageEncryption) {
    throw invalid(
      'productInfo.storageEncryption',
      `Instances of seriesCode "${specification.seriesCode}" cannot encrypt what they store; "ultimate" can.`,
    )
  }
  if (!engine.storageEncryption) {
    throw invalid(
      'productInfo.storageEncryption',
      `The ${engine.name} engine of this server does not encrypt what it stores; send false or leave it out.`,
    )
  }
  if (key === undefined) {
    throw missing('productInfo.storageSecretKey', 'An instance with storageEncryption names its key.')
  }
  return { storageEncryption: true, storageSecretKey: identifier('productInfo.storageSecretKey', key) }
}

/** The list in `internetInfo` guards the public endpoint, so it needs one. An empty list is always fine. */
export function publicWhitelistOf(asked: readonly string[], internetSpec: 'enable' | 'disable'): readonly string[] {
  const field = 'networkInfo.internetInfo.ipWhitelist'
  if (asked.length > 0 && internetSpec !== 'enable') {
    throw invalid(field, 'It guards the public endpoint, and internetSpec is disable; leave it empty.')
  }
  return checkIpList(field, asked)
}
