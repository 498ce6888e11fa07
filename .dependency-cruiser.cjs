// What may import what: a rule for each row of scripts/arrows.cjs, and the rules that are not about folders.
const arrows = require('./scripts/arrows.cjs')

const escaped = (place) => place.replace(/\./g, '\\.')
/** `src/world/` and what is below, `src/broker/broker.ts`, `src/catalogue/*.ts`. */
const pattern = (place) =>
  place.endsWith('*.ts') ? `^${escaped(place.slice(0, -'*.ts'.length))}[^/]+\\.ts$` : `^${escaped(place)}`

const rule = ({ name, folder, except, may, because }) => ({
  name,
  comment: because,
  severity: 'error',
  from: { path: pattern(folder), pathNot: ['\\.test\\.ts$', ...(except ? [pattern(except)] : [])] },
  to: {
    path: except ? ['^src/(?!engines/)', pattern(except)] : '^src/',
    pathNot: [...(except ? [] : [pattern(folder)]), ...may.map(pattern)],
  },
})

module.exports = {
  forbidden: [
    {
      name: 'no-circles',
      comment: 'types included: what two files both know stands in a third',
      severity: 'error',
      from: { path: '^src/', pathNot: 'generated|gen/' },
      to: { circular: true },
    },
    ...arrows.filter(({ may }) => may !== undefined).map(rule),
    {
      name: 'shared-catalogue-knows-no-product',
      comment: 'what all products share stands beside their folders',
      severity: 'error',
      from: { path: '^src/catalogue/[^/]+\\.ts$', pathNot: '\\.test\\.ts$' },
      to: { path: '^src/catalogue/[^/]+/' },
    },
    {
      name: 'protocols-are-named-in-one-list',
      comment: 'broker/protocols/index.ts lists them; messages/ has the codec of the stored form',
      severity: 'error',
      from: { path: '^src/', pathNot: ['^src/(grpc|broker/protocols|broker/messages)/', '\\.test\\.ts$'] },
      to: { path: ['^src/grpc/', '^src/broker/protocols/(?!index\\.ts$)'] },
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
    doNotFollow: { path: '(node_modules|^src/grpc/gen/)' },
    exclude: { path: '^src/catalogue/[^/]+/generated/' },
  },
}
