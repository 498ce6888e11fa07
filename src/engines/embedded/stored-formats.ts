/** The formats of what the embedded engine keeps in a home, each with the newest number this program knows. */
import { newestEventType } from '../../broker/core/event-codec.ts'
import { stateVersion } from '../../broker/core/snapshot.ts'
import { checkpointVersion } from '../../broker/log/checkpoint.ts'
import { segmentVersion } from '../../broker/log/format.ts'
import { indexVersion } from '../../broker/log/index-file.ts'
import { runVersion } from '../../broker/log/lookup/run-file.ts'
import { storedVersion } from '../../broker/messages/stored-message.ts'

export const storedFormats = {
  'message log': segmentVersion,
  'message log records': newestEventType,
  'stored messages': storedVersion,
  checkpoint: checkpointVersion,
  'checkpoint state': stateVersion,
  'message index': indexVersion,
  'look-up index': runVersion,
} as const
