/** Apache's Python client (`rocketmq-python-client` 5.1.2), unmodified. */
import { judge } from './judge.ts'

judge('Python', { verifies: true, oneKey: true })
