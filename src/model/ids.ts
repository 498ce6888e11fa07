/**
 * Ids as types: texts that name different things cannot be given one for another by position. A plain text may be
 * given for any of them, so a request's or a row's member needs no conversion; two of these types never mix.
 */
type Named<Kind extends string> = string & { readonly kindOfId?: Kind }

/** `rmq-cn-…`, unique in the ledger. */
export type InstanceId = Named<'instance'>
export type TopicName = Named<'topic'>
/** Of a lite topic, within its LITE topic. */
export type LiteTopicName = Named<'lite topic'>
export type ConsumerGroupId = Named<'consumer group'>
/** As a client names itself: host, process and a counter, by its language. */
export type ClientId = Named<'client'>
/** As the producer's client made it. */
export type MessageId = Named<'message'>
