/**
 * The queue of a message group: the same one for every producer and after every restart. A topic's number of queues
 * never changes; if it did, groups would move to other queues and lose their order.
 *
 * FNV-1a over UTF-16 units, then a finalizer that lets every bit of the hash reach the low ones: group
 * names differ in their last characters, and the remainder looks at the low bits only.
 */
export function queueOfGroup(messageGroup: string, queues: number): number {
  let hash = 0x811c9dc5
  for (let i = 0; i < messageGroup.length; i++) hash = Math.imul(hash ^ messageGroup.charCodeAt(i), 0x01000193)
  hash = Math.imul(hash ^ (hash >>> 16), 0x7feb352d)
  hash = Math.imul(hash ^ (hash >>> 15), 0x846ca68b)
  return ((hash ^ (hash >>> 16)) >>> 0) % queues
}
