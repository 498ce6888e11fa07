/** Apache's Java client (`rocketmq-client-java` 5.2.0), unmodified. */
import { judge } from './judge.ts'

judge('Java', {})
