/** Apache's Rust client (`rocketmq` 5.0.0), unmodified. */
import { judge } from './judge.ts'

const reason = 'this version has a producer and a simple consumer without nack'
judge('Rust', { verifies: true, without: { push: reason, nack: reason, 'dead letter': reason } })
