/** `gantry env`: export lines for a shell; `eval "$(gantry env)"`. */
import type { Settings } from '../config.ts'
import { findTarget } from './client.ts'

export function env(settings: Settings): void {
  const target = findTarget(settings)
  const endpoint = new URL(target.apiUrl).host
  const groups: ReadonlyArray<readonly [string, ReadonlyArray<readonly [string, string]>]> = [
    [
      'Alibaba Cloud SDKs and the aliyun CLI (the CLI also wants --insecure, which means plain HTTP there)',
      [
        ['ALIBABA_CLOUD_ACCESS_KEY_ID', target.accessKeyId],
        ['ALIBABA_CLOUD_ACCESS_KEY_SECRET', target.accessKeySecret],
        ['ALIBABA_CLOUD_REGION_ID', target.region],
        ['ALIBABA_CLOUD_ENDPOINT', endpoint],
      ],
    ],
    [
      'Terraform, provider alicloud (protocol = "HTTP")',
      [
        ['ALICLOUD_ACCESS_KEY', target.accessKeyId],
        ['ALICLOUD_SECRET_KEY', target.accessKeySecret],
        ['ALICLOUD_REGION', target.region],
        ['ALIBABA_CLOUD_ACCOUNT_TYPE', 'Domestic'],
        ['ALIBABA_CLOUD_ENDPOINT_ROCKETMQ', endpoint],
        ['ROCKETMQ_ENDPOINT', endpoint],
        // The provider asks the billing service about every instance; this server answers that too.
        ['ALIBABA_CLOUD_ENDPOINT_BSSOPENAPI', endpoint],
      ],
    ],
    // The home names the endpoint and the keys; an address here would outlive the server it belongs to.
    ['Gantry', [['GANTRY_HOME', settings.home]]],
  ]
  const lines = groups.flatMap(([title, pairs]) => [
    `# ${title}`,
    ...pairs.map(([name, value]) => `export ${name}=${shellQuoted(value)}`),
  ])
  process.stdout.write(`${lines.join('\n')}\n`)
}

const shellQuoted = (value: string): string =>
  /^[\w@%+=:,./-]+$/.test(value) ? value : `'${value.replaceAll("'", `'\\''`)}'`
