/** `gantry env`: export lines for a shell; `eval "$(gantry env)"`. */
import type { Settings } from '../config.ts'
import { findTarget } from './client.ts'
import { type OutputOptions, print } from './output.ts'
import { isPlain, shown } from './safe-text.ts'

export function env(settings: Settings, options: OutputOptions): void {
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
  print(Object.fromEntries(groups.flatMap(([, pairs]) => pairs)), options, () => lines.join('\n'))
}

/** A word of a POSIX shell; what a terminal must not be given is written as bash, zsh and ksh write it, `$'\u001b'`. */
export function shellQuoted(value: string): string {
  if (/^[\w@%+=:,./-]+$/.test(value)) return value
  if (isPlain(value)) return `'${value.replaceAll("'", `'\\''`)}'`
  const text = shown(value.replaceAll('\\', '\\\\').replaceAll("'", "\\'"))
  return `$'${text.replace(/\\u\{([0-9a-f]+)\}/g, (_, code: string) => `\\U${code.padStart(8, '0')}`)}'`
}
