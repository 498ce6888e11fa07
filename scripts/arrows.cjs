// The arrows: what each folder of src is, and what it may import besides itself. `.dependency-cruiser.cjs` makes a rule
// of each row (`npm run arrows`), scripts/generate-arrows.mjs the table of ARCHITECTURE.md (`npm run generate`).
//
// In `may`: a folder and what is below it (`src/world/`), one file (`src/broker/broker.ts`), or the files directly in a
// folder and not below it (`src/catalogue/*.ts`). Without `may` a folder may import anything.

/** From the bottom up. */
module.exports = [
  {
    name: 'world-is-below',
    folder: 'src/world/',
    is: "clock, randomness and disk, real and simulated; the only place that reads the machine's clock; who a process is and whether it lives",
    may: [],
  },
  {
    name: 'log-of-the-server',
    folder: 'src/observability/',
    is: 'the log, and what never stands in it',
    may: ['src/world/'],
  },
  {
    name: 'catalogue-is-pure',
    folder: 'src/catalogue/',
    pure: true,
    is: 'what products, operations, decoding, validation and refusals are. `rocketmq/` and `bssopenapi/` declare every operation as a value: method, path, RAM action, schemas, errors; specifications, limits, error codes. `generated/` in each is what the server loads',
    may: [],
    because: 'the catalogue says what the API is, and nothing else',
  },
  {
    name: 'ledger-is-below',
    folder: 'src/ledger/',
    is: "schema, migrations, SQLite and PostgreSQL, sealed secrets, the home, its lock and whether it is its user's alone",
    may: ['src/world/', 'src/catalogue/'],
  },
  {
    name: 'core-is-pure',
    folder: 'src/broker/core/',
    pure: true,
    is: 'the rules of the broker, one a file, over plain state: `(state, command, at) → events`',
    may: [],
    because: 'the broker core knows neither gRPC, HTTP, disk nor ledger',
  },
  {
    name: 'log-is-below',
    folder: 'src/broker/log/',
    is: 'records on disk: segments, group commit, recovery, checkpoints, index files',
    may: ['src/world/'],
    because: 'the log knows records, not messages',
  },
  {
    name: 'shell-joins-core-and-log',
    folder: 'src/broker/shell/',
    is: 'one writer: command → core → log → replies; the broker of one instance, one concern a file',
    may: [
      'src/broker/core/',
      'src/broker/log/',
      'src/broker/broker.ts',
      'src/world/',
      'src/engines/engine.ts',
      'src/observability/',
    ],
    because: 'the shell knows no gRPC',
  },
  {
    name: 'gateway-knows-no-protocol',
    folder: 'src/gateway/',
    is: 'the endpoint of an instance, whoever carries its messages: listener, protocol detection, TLS, connection limit, whitelist, credentials, bandwidth',
    may: ['src/world/'],
    because: 'what stands between a client and an instance knows neither a broker nor a protocol',
  },
  {
    name: 'grpc-is-general',
    folder: 'src/grpc/',
    is: 'gRPC over node:http2, a protocol of the gateway; nothing about us. `gen/` is generated',
    may: ['src/world/', 'src/gateway/protocol.ts'],
    because: 'a protocol of the gateway, nothing about us',
  },
  {
    name: 'wire-speaks-grpc',
    folder: 'src/broker/protocols/grpc/',
    is: "RocketMQ 5's RPCs; `index.ts` lists each with the file that answers it; OTLP's metrics service beside them",
    may: [
      'src/broker/broker.ts',
      'src/gateway/',
      'src/grpc/',
      'src/world/',
      'src/engines/engine.ts',
      'src/observability/',
    ],
    because: 'a protocol sees the broker through broker.ts only',
  },
  {
    name: 'only-embedded-knows-the-broker',
    folder: 'src/engines/',
    except: 'src/engines/embedded/',
    is: 'the seam (`engine.ts`), its contract suite, `simulated/`',
    may: ['src/world/'],
    because: 'only engines/embedded knows that we have a broker',
  },
  {
    name: 'embedded-engine',
    folder: 'src/engines/embedded/',
    is: 'the engine over our own broker: broker processes, which instance is in which, the link to them, and the far side',
  },
  {
    name: 'loop-sees-engines-through-the-seam',
    folder: 'src/lifecycle/',
    is: '`plan.ts` (pure) makes every choice, `perform.ts` carries steps out, `reconciler.ts` decides when to look, `status.ts` computes statuses',
    may: ['src/ledger/', 'src/world/', 'src/catalogue/', 'src/engines/engine.ts', 'src/observability/'],
  },
  {
    name: 'iam-knows-no-http-and-no-product',
    folder: 'src/iam/',
    is: 'signatures, keys, nonces, policies, principals',
    may: ['src/world/', 'src/catalogue/*.ts', 'src/ledger/'],
    because: 'who calls and what they may do is asked of every product alike',
  },
  {
    name: 'resources-call-no-engine',
    folder: 'src/resources/',
    is: 'what an operation does, over a ledger transaction; a folder a product, same file names as the catalogue',
    may: [
      'src/ledger/',
      'src/catalogue/',
      'src/world/',
      'src/lifecycle/status.ts',
      'src/iam/principal.ts',
      'src/engines/engine.ts',
    ],
    because: 'no handler calls an engine to make something true; the loop does',
  },
  {
    name: 'api-is-on-top',
    folder: 'src/api/',
    is: "the request's path as a list of steps (`pipeline.ts`), two styles of decoding and envelope, and the HTTP host (`server.ts`), the only place that knows Fastify",
    may: [
      'src/iam/',
      'src/resources/handler.ts',
      'src/catalogue/*.ts',
      'src/ledger/',
      'src/world/',
      'src/observability/',
    ],
    because: 'one pipeline for every product: it is handed the products and knows none',
  },
  {
    name: 'command-line',
    folder: 'src/cli/',
    is: 'the command; beside it `src/main.ts`, `src/config.ts` (settings), `src/account.ts` and `src/server.ts`, the composition root, the only file that sees every folder',
  },
]
