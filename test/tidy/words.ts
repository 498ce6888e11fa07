/**
 * Words that do not stand in this project, and the word that does: the field's own, so that whoever knows RocketMQ,
 * gRPC or Alibaba Cloud recognises the thing. A row matches identifiers and sentences alike; it is written so narrowly
 * that it never matches an ordinary use of the word.
 */
export interface BannedWord {
  readonly word: RegExp
  readonly instead: string
  readonly because: string
}

export const bannedWords: readonly BannedWord[] = [
  {
    word: /\bReadings\b|[a-z]Readings\b|\breadingName\b|(?:interface|class|type|new|[:<|]) Reading\b|\b(?:a|each|every|per|of|one|other|another|its|two|all) readings?\b(?! (?:of|from|the|it|a|again|and)\b)/,
    instead: 'subscription',
    because: 'a group that consumes a topic; the type is Subscription',
  },
  {
    word: /\b[sS]ie(?:ve|ving)|[a-z]Sieve|\bsift/,
    instead: 'evaluate, sql-evaluation',
    because: 'evaluation of a filter',
  },
  { word: /\bpassedBy\b/, instead: 'matchedBy', because: 'a filter matches' },
  {
    word: /\b[bB]ur(?:y|ies|ied|ying|ial|ials)\b|[a-z]Bur(?:y|ial)/,
    instead: 'dead letter, moveToDeadLetter',
    because: "the protocols' word",
  },
  {
    word: /\bdying\b(?=\s*[,:;?(.)])|\bdying (?:messages?|deliver)/,
    instead: 'exhausted',
    because: 'a message that has used all its retries',
  },
  { word: /\bkept form\b|\bKeptForm\b/, instead: 'stored form', because: '"kept" means two things' },
  { word: /type: ['"]kept['"]|\bKeptEvent\b/, instead: 'acked-out-of-order', because: 'what the event says' },
  {
    word: /(?<=[a-z])Untouched\b|\buntouched\b(?=[?:(])/,
    instead: 'returned',
    because: 'a delivery handed back, not counted',
  },
  {
    word: /\b[hH]and[oO]uts?\b|\bhand(?:s|ed|ing)? (?:\w+ )?out\b/,
    instead: 'deliver, delivery',
    because: "the protocols' word",
  },
  {
    word: /type: ['"](?:timed|fired|recalled)['"]/,
    instead: 'timer-stored, timer-fired, timer-recalled',
    because: "events of RocketMQ's timer messages",
  },
  {
    word: /type: ['"](?:checked|ended)['"]/,
    instead: 'transaction-checked, transaction-ended',
    because: 'beside half',
  },
  {
    word: /\bProducerAsker\b|\baskProducersBy\b|\bproducerCame\b/,
    instead: 'TransactionChecker, addTransactionChecker, producerConnected',
    because: "the clients' term",
  },
  {
    word: /\b[wW]ish(?:es|ed|ing|list)?\b|[a-z]Wish(?:es|ed)?\b|\bwish[A-Z]/,
    instead: 'lite subscription, subscribe; wanted (of the ledger)',
    because: 'SyncLiteSubscription; what is wanted stands in the ledger',
  },
  {
    word: /(?<!['"])\b[nN]ews\b(?!['"])|[a-z]News\b|\bnews[A-Z]/,
    instead: 'ready lite topics; attention (of a process)',
    because: 'what there is to read, what there is to look at',
  },
  {
    word: /\bleaveLine\b|\bin line\b|\bthe line\b(?= of (?:polls|waiters))/,
    instead: 'leaveQueue, wait queue',
    because: 'long polling',
  },
  {
    word: /[a-z]Doors?\b|\b[dD]oors?\b|\b[dD]oor[A-Z]/,
    instead: 'Endpoint (of an instance), ApiHandler (of the API)',
    because: "the vendor's word",
  },
  { word: /\bArrivals?\b|\barrival\.ts\b/, instead: 'InboundConnection', because: 'it is a connection' },
  {
    word: /\bConnectionRoom\b|\bconnection-room\b|\b[aA]nte-?room\b|\b[aA]ntechamber\b|\b[sS]urplus\b|\bsurplus[A-Z]/,
    instead: 'ConnectionLimit, overflow, over the limit',
    because: 'a limit',
  },
  { word: /\bPresence\b|\bpresence\b(?! of)/, instead: 'client liveness, heartbeat', because: "the clients' term" },
  {
    word: /\b[tT]rouble(?:s)?(?:\.ts)?\b|[a-z]Trouble\b/,
    instead: 'health, InstanceHealth; fault',
    because: 'what an instance reports of itself',
  },
  {
    word: /new Turns\b|: Turns\b|\bTurns[<,]|\bturns\.ts\b/,
    instead: 'KeyedQueue, Semaphore, roundRobin',
    because: 'one word was three things',
  },
  { word: /\bbreathes?\b/, instead: 'yieldToEventLoop', because: 'what it does' },
  { word: /\bdesks?\b/, instead: 'encodeBuffer', because: 'what it is' },
  { word: /\bletGo\b/, instead: 'disconnect', because: 'what it does' },
  {
    word: /\blook\.ts\b|\bplaces\.ts\b|#told\b/,
    instead: 'inspect.ts, paths.ts, #lastEnsured',
    because: 'what they are',
  },
  { word: /\bTrail\b|\bNoted\b/, instead: 'AccessRecord, WithMessage', because: 'what they are' },
  {
    word: /\b[rR]ooms\b|\b(?:a|this|another|each|every|own|one|that) room\b(?! for\b)|\broom's\b/,
    instead: 'module, folder',
    because: 'readers know modules',
  },
  {
    word: /\bfront[- ]door\b|\bFrontDoor\b|test\/purchases/,
    instead: 'test/api, test/limits',
    because: "the folder's word",
  },
  {
    word: /\b(?:\w+'s|its own) business\b|\bkept its word\b|\bin mid-flight\b/,
    instead: 'what the module does or does not do',
    because: 'a statement, not a picture',
  },
  {
    word: /\bdrives? a terminal\b/,
    instead: 'control characters reach a terminal',
    because: 'what happens',
  },
]
