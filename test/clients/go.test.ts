/** Apache's Go client (`rocketmq-clients/golang/v5` 5.1.4), unmodified. */
import { judge } from './judge.ts'

judge('Go', {})
