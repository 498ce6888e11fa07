// The arrows of ARCHITECTURE.md, checked: what may import what.
const only = (name, from, to, comment) => ({
  name,
  comment,
  severity: 'error',
  from: { path: from, pathNot: '\\.test\\.ts$' },
  to: { path: '^src/', pathNot: to },
})

module.exports = {
  forbidden: [
    {
      name: 'no-circles',
      severity: 'error',
      from: { path: '^src/', pathNot: 'generated|gen/' },
      to: { circular: true, viaOnly: { dependencyTypesNot: ['type-only'] } },
    },
    only(
      'catalogue-is-pure',
      '^src/catalogue/',
      '^src/catalogue/',
      'the catalogue says what the API is, and nothing else',
    ),
    only(
      'core-is-pure',
      '^src/broker/core/',
      '^src/broker/core/',
      'the broker core knows neither gRPC, HTTP, disk nor ledger',
    ),
    only('log-is-below', '^src/broker/log/', '^src/(broker/log|world)/', 'the log knows records, not messages'),
    only(
      'shell-joins-core-and-log',
      '^src/broker/shell/',
      '^src/(broker/(shell|core|log)/|broker/broker\\.ts|world/|engines/engine\\.ts|observability/)',
      'the shell knows no gRPC',
    ),
    only(
      'wire-speaks-grpc',
      '^src/broker/protocols/grpc/',
      '^src/(broker/protocols/grpc/|broker/broker\\.ts|gateway/|grpc/|world/|engines/engine\\.ts|observability/)',
      'the wire sees the broker through broker.ts only',
    ),
    only(
      'gateway-knows-no-protocol',
      '^src/gateway/',
      '^src/(gateway|world)/',
      'what stands between a client and an instance knows neither a broker nor a protocol',
    ),
    only(
      'grpc-is-general',
      '^src/grpc/',
      '^src/(grpc/|world/|gateway/protocol\\.ts)',
      'a protocol of the gateway, nothing about us',
    ),
    only('world-is-below', '^src/world/', '^src/world/'),
    only('ledger-is-below', '^src/ledger/', '^src/(ledger|world|catalogue)/'),
    only(
      'iam-knows-no-http-and-no-product',
      '^src/iam/',
      '^src/(iam|world|catalogue/[^/]+\\.ts|ledger)/?',
      'who calls and what they may do is asked of every product alike',
    ),
    only(
      'resources-call-no-engine',
      '^src/resources/',
      '^src/(resources|ledger|catalogue|world|lifecycle/status\\.ts|iam/principal\\.ts|engines/engine\\.ts)/?',
      'no handler calls an engine to make something true; the loop does',
    ),
    only(
      'loop-sees-engines-through-the-seam',
      '^src/lifecycle/',
      '^src/(lifecycle|ledger|world|catalogue|engines/engine\\.ts|observability)/?',
    ),
    only(
      'only-embedded-knows-the-broker',
      '^src/engines/(?!embedded/)',
      '^src/(engines/(?!embedded/)|world/)',
      'only engines/embedded knows that we have a broker',
    ),
    only(
      'api-is-on-top',
      '^src/api/',
      '^src/(api|iam|resources/handler\\.ts|catalogue/[^/]+\\.ts|ledger|world|observability)/?',
      'one pipeline for every product: it is handed the products and knows none',
    ),
    {
      name: 'shared-catalogue-knows-no-product',
      comment: 'what all products share stands beside their folders',
      severity: 'error',
      from: { path: '^src/catalogue/[^/]+\\.ts$', pathNot: '\\.test\\.ts$' },
      to: { path: '^src/catalogue/[^/]+/' },
    },
    {
      name: 'typebox-stays-in-the-catalogue',
      comment: 'TypeBox takes 0.4 s to load; the running server reads the generated catalogue',
      severity: 'error',
      from: { path: '^src/', pathNot: '^src/catalogue/(?!.*generated/)' },
      to: { path: 'node_modules/typebox', dependencyTypesNot: ['type-only'] },
    },
    {
      name: 'core-imports-no-package',
      severity: 'error',
      from: { path: '^src/broker/core/', pathNot: '\\.test\\.ts$' },
      to: { dependencyTypes: ['npm', 'core'] },
    },
  ],
  options: {
    tsConfig: { fileName: 'tsconfig.json' },
    tsPreCompilationDeps: true,
    doNotFollow: { path: 'node_modules' },
    exclude: { path: '(^src/grpc/gen/|^src/catalogue/[^/]+/generated/)' },
  },
}
