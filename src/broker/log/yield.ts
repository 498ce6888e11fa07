/** Lets everything else that is ready run first: long work is done in portions with a breath between them. No timer. */
export const yieldToEventLoop = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))
