/** The commands against a running server, as a person or a script uses them. */
import { execFile } from 'node:child_process'
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import path from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { parse as parseYaml } from 'yaml'
import type { InstanceShown } from '../../src/cli/waiting.ts'
import { products } from '../../src/resources/index.ts'
import { brokerPid, cleanEnv, gantry, type TestHome, type TestServer, temporaryHome } from '../support/server.ts'
import { type Run, run } from './run.ts'

let home: TestHome
let server: TestServer
beforeAll(async () => {
  home = await temporaryHome()
  server = await home.start({ env: { GANTRY_FIRST_INSTANCE_PORT: '24800' } })
})
afterAll(() => home?.close())

const operations = products.flatMap(({ product, handlers }) =>
  product.operations.map(({ action }) => ({ action, handlers })),
)

const on = (...args: string[]): Promise<Run> => run([...args, '--home', home.home])

async function succeeds(...args: string[]): Promise<Run> {
  const done = await on(...args)
  expect(done.code, done.stderr).toBe(0)
  // biome-ignore lint/suspicious/noControlCharactersInRegex: a pipe gets no escape codes
  expect(done.stdout + done.stderr).not.toMatch(/\x1b|\r/)
  expect(done.stderr).not.toContain(server.ready.accessKeySecret)
  return done
}

async function fails(code: 1 | 2 | 3, says: RegExp, ...args: string[]): Promise<void> {
  const done = await on(...args)
  expect(done.stderr).toMatch(says)
  expect(done.code, done.stderr).toBe(code)
  expect(done.stderr).not.toMatch(/^\s+at /m)
  expect(done.stderr).not.toContain(server.ready.accessKeySecret)
}

describe('create, list, get, delete', () => {
  let instanceId: string

  it('makes an instance and shows where to connect', async () => {
    const { stdout, stderr } = await succeeds('create', 'instance', 'orders')
    expect(stderr, 'progress is for terminals').toBe('')
    instanceId = /^instance +(\S+)$/m.exec(stdout)![1]!
    expect(stdout).toMatch(/^name +orders$/m)
    expect(stdout).toMatch(/^status +RUNNING$/m)
    expect(stdout).toMatch(/^TCP_VPC +127\.0\.0\.1:\d+$/m)
  })

  it('follows the API’s default on passwords, and says where the account is', async () => {
    expect((await succeeds('get', 'instance', 'orders')).stdout).toMatch(
      new RegExp(`^password +gantry accounts ${instanceId} --show-password$`, 'm'),
    )
    const hidden = (await succeeds('accounts', instanceId)).stdout
    expect(hidden).toMatch(/^USER .*\n\S{16} +hidden; --show-password shows it +DEFAULT +ENABLE\n$/)
    const described = { username: expect.stringMatching(/^\w{16}$/), accountStatus: 'ENABLE' }
    const [listed, ...more] = JSON.parse((await succeeds('accounts', 'orders', '-o', 'json')).stdout)
    expect([listed, more]).toEqual([{ ...described, accountType: 'DEFAULT' }, []])
    const one = ['accounts', 'orders', '--username', listed.username]
    const account = JSON.parse((await succeeds(...one, '-o', 'json')).stdout)
    expect(account).toEqual({ ...described, password: expect.stringMatching(/^\w{16}$/) })
    expect((await succeeds(...one)).stdout).toMatch(
      /^user +\S{16}\npassword +hidden; --show-password shows it\nstatus +ENABLE\n$/,
    )
    await fails(
      1,
      /GetInstanceAccount was refused: InstanceAccount\.NotExisted[\s\S]*"gantry accounts INSTANCE" shows those that exist/,
      ...['accounts', 'orders', '--username', 'nope'],
    )
    for (const args of [one, ['accounts', 'orders']])
      expect((await succeeds(...args, '--show-password')).stdout).toContain(account.password)
  })

  it('shows all accounts, the default one first, and carries out the calls that make them', async () => {
    const call = (...args: string[]) => succeeds('call', ...args, '--instanceId', instanceId)
    await call('CreateInstanceAccount', '--username', 'aaa', '--password', 'aaa-password', '--remark', 'of orders')
    await call('UpdateInstanceAccount', '--username', 'aaa', '--accountStatus', 'DISABLE')
    const ofOrders = ['--username', 'aaa', '--resourceType', 'Topic', '--resourceName', 'orders']
    await call('CreateInstanceAcl', ...ofOrders, '--actions', 'Pub', '--decision', 'Allow')
    await call('UpdateInstanceAcl', ...ofOrders, '--decision', 'Deny')
    expect(JSON.parse((await call('GetInstanceAcl', ...ofOrders, '-o', 'json')).stdout)).toMatchObject({
      data: { decision: 'Deny' },
    })
    expect((await call('ListInstanceAcl', '-o', 'table')).stdout).toMatch(/aaa .*orders/)
    expect((await call('ListInstanceAccount', '-o', 'table')).stdout).toMatch(/aaa /)
    const { stdout } = await succeeds('accounts', 'orders', '--show-password')
    expect(stdout).toMatch(
      /^USER .*\n\S{16} +\S{16} +DEFAULT +ENABLE\naaa +aaa-password +CUSTOMER +DISABLE +of orders\n$/,
    )
    await call('DeleteInstanceAcl', ...ofOrders)
    await call('DeleteInstanceAccount', '--username', 'aaa')
    expect((await succeeds('accounts', 'orders')).stdout).not.toContain('aaa')
  })

  it('says of an instance free of passwords that it asks for none', async () => {
    const free = JSON.parse(
      (await succeeds('create', 'instance', 'free', '--vpc-auth-free', '-o', 'json')).stdout,
    ) as InstanceShown
    expect(free.aclInfo).toMatchObject({ defaultVpcAuthFree: true })
    expect((await succeeds('get', 'instance', 'free')).stdout).toMatch(/^password +not asked for on TCP_VPC$/m)
    await succeeds('delete', 'instance', 'free')
  })

  it('makes a topic and a group that can be used at once', async () => {
    await succeeds('create', 'topic', instanceId, 'events', '--remark', 'what happens')
    await succeeds('create', 'group', instanceId, 'readers', '--retries', '3')
    const topic = JSON.parse((await succeeds('get', 'topic', instanceId, 'events', '-o', 'json')).stdout)
    expect(topic).toMatchObject({
      topicName: 'events',
      messageType: 'NORMAL',
      remark: 'what happens',
      status: 'RUNNING',
    })
    const group = JSON.parse((await succeeds('get', 'group', 'orders', 'readers', '-o', 'json')).stdout)
    expect(group).toMatchObject({
      consumerGroupId: 'readers',
      consumeRetryPolicy: { maxRetryTimes: 3 },
      status: 'RUNNING',
    })
  })

  it('changes what is named and nothing else', async () => {
    await succeeds('update', 'topic', 'orders', 'events', '--max-send-tps', '500')
    const topic = parseYaml((await succeeds('get', 'topic', 'orders', 'events', '-o', 'yaml')).stdout)
    expect(topic).toMatchObject({ remark: 'what happens', maxSendTps: 500 })
    const group = JSON.parse(
      (
        await succeeds(
          ...['update', 'group', 'orders', 'readers', '--retry-policy', 'FixedRetryPolicy', '--retry-interval', '30'],
          ...['-o', 'json'],
        )
      ).stdout,
    )
    expect(group.consumeRetryPolicy).toEqual({
      retryPolicy: 'FixedRetryPolicy',
      maxRetryTimes: 3,
      fixedIntervalRetryTime: 30,
    })
    await succeeds('update', 'group', 'orders', 'readers', '--retry-policy', 'DefaultRetryPolicy', '--retries', '5')
    const changed = await succeeds('get', 'group', 'orders', 'readers')
    expect(changed.stdout).toMatch(/^consumeRetryPolicy\.maxRetryTimes +5$/m)
    const instance = JSON.parse(
      (await succeeds('update', 'instance', 'orders', '--retention', '48', '--remark', 'two days', '-o', 'json'))
        .stdout,
    )
    expect(instance).toMatchObject({
      instanceName: 'orders',
      remark: 'two days',
      productInfo: { messageRetentionTime: 48 },
    })
    await fails(
      2,
      /--trace counts for serverless instances; the traces of rmq-\S+, cluster_ha, are always on/,
      ...['update', 'instance', 'orders', '--trace', 'false'],
    )
    const unused = /--retry-interval counts with --retry-policy FixedRetryPolicy, and the policy is DefaultRetryPolicy/
    await fails(2, unused, 'update', 'group', 'orders', 'readers', '--retry-interval', '30')
    await fails(2, unused, 'create', 'group', 'orders', 'other', '--retry-interval', '30')
    await fails(2, /Say what to change; "gantry update topic --help"/, 'update', 'topic', 'orders', 'events')
    await fails(
      2,
      /--vpc-auth-free takes true or false, not "yes"/,
      'update',
      'instance',
      'orders',
      '--vpc-auth-free=yes',
    )
  })

  it('takes the name of an instance for its id while only one has it', async () => {
    await fails(1, /No instance has the id or the name "nobody"/, 'list', 'topics', 'nobody')
    const made = await succeeds('create', 'instance', 'orders', '-o', 'json')
    const twin = JSON.parse(made.stdout) as InstanceShown
    expect(made.stderr).toMatch(
      /^2 instances have the name "orders"; commands take them by their ids: rmq-\S+, rmq-\S+\.\n$/,
    )
    await fails(1, /2 instances have the name "orders"; say which by its id: rmq-\S+, rmq-\S+\./, 'lag', 'orders', 'g')
    await succeeds('delete', 'instance', twin.instanceId)
  })

  it('lists in columns that line up, and as JSON', async () => {
    const second = JSON.parse((await succeeds('create', 'instance', '订单-队列', '-o', 'json')).stdout)
    const { stdout } = await succeeds('list', 'instances')
    const lines = stdout.trimEnd().split('\n')
    expect(lines).toHaveLength(3)
    const columns = ['NAME', 'STATUS', 'EDITION', 'TOPICS'].map((title) => lines[0]!.indexOf(title))
    for (const line of lines.slice(1)) {
      // Chinese characters are two columns wide.
      const wide = line.replace(/[\u4e00-\u9fff]/g, '##')
      for (const column of columns) expect(wide.slice(column - 2, column + 1)).toMatch(/^ {2}\S$/)
    }
    const json = JSON.parse((await succeeds('list', 'instances', '-o', 'json')).stdout)
    expect(json.map((each: any) => each.instanceName).sort()).toEqual(['orders', '订单-队列'])
    const filtered = await succeeds('list', 'instances', '--filter', 'ord')
    expect(filtered.stdout.trimEnd().split('\n')).toHaveLength(2)
    expect((await succeeds('list', 'topics', instanceId)).stdout).toMatch(
      /^TOPIC +TYPE +STATUS +CREATED UTC\+08:00 +REMARK\nevents {2}NORMAL/m,
    )
    expect((await succeeds('list', 'groups', instanceId)).stdout).toMatch(/\nreaders +RUNNING/)
    await succeeds('delete', 'instance', second.instanceId)
    const none = await succeeds('list', 'topics', instanceId, '--filter', 'x"y')
    expect([none.stdout, none.stderr]).toEqual([
      expect.stringMatching(/^TOPIC +TYPE .*\n$/),
      'No topics match "x\\"y".\n',
    ])
    expect((await succeeds('list', 'topics', instanceId, '--filter', 'x', '-o', 'json')).stderr).toBe('')
  })

  it('finds an instance whose name begins like an id', async () => {
    await succeeds('create', 'instance', 'rmq-mine')
    expect((await succeeds('get', 'instance', 'rmq-mine')).stdout).toMatch(/^name +rmq-mine$/m)
    await succeeds('delete', 'instance', 'rmq-mine')
  })

  it('tells of the broker process behind an instance', async () => {
    const pid = await brokerPid(home.home)
    expect((await succeeds('get', 'instance', instanceId)).stdout).toMatch(
      new RegExp(`broker process 1 +process ${pid}, version \\S+, 1 instance, up \\d+ s, 0 restarts\n`),
    )
    expect((await succeeds('list', 'processes')).stdout).toMatch(
      new RegExp(`^PROCESS +PID +INSTANCES +UP +RESTARTS +STATE\n1 +${pid} +1 +\\d+ s +0 +running\n$`),
    )
    expect(JSON.parse((await succeeds('list', 'processes', '-o', 'json')).stdout)).toEqual([
      {
        name: '1',
        pid,
        instances: [instanceId],
        uptimeMs: expect.any(Number),
        restarts: 0,
        lastEnd: null,
        failure: null,
      },
    ])
  })

  it('deletes, and says in the API’s words what is not there', async () => {
    await succeeds('delete', 'topic', instanceId, 'events')
    await succeeds('delete', 'group', instanceId, 'readers')
    await succeeds('delete', 'instance', instanceId)
    await fails(
      1,
      /GetInstance was refused: Instance\.NotFound\n {2}The instance cannot be found.*\n {2}request id [0-9A-F-]{36}\n {2}"gantry list instances" shows those that exist\.\n/,
      'get',
      'instance',
      instanceId,
    )
    await fails(1, /DeleteInstance was refused: Instance\.NotFound/, 'delete', 'instance', instanceId)
  })

  it('refuses what it cannot read before anything is made', async () => {
    await fails(2, /--retention takes a whole number, not "long"/, 'create', 'instance', 'x', '--retention', 'long')
    await fails(2, /--retries takes a whole number, not "many"/, 'create', 'group', 'rmq-x', 'g', '--retries', 'many')
    await fails(
      1,
      /CreateInstance was refused: Invalid.*\n.*seriesCode/,
      'create',
      'instance',
      'x',
      '--series',
      'golden',
    )
    expect((await succeeds('list', 'instances')).stdout.trimEnd().split('\n')).toHaveLength(1)
  })
})

describe('call', () => {
  it('takes path, query and body members of every kind', async () => {
    const body = {
      serviceCode: 'rmq',
      seriesCode: 'standard',
      subSeriesCode: 'cluster_ha',
      paymentType: 'PayAsYouGo',
      networkInfo: {
        vpcInfo: { vpcId: 'vpc-1', vSwitches: [{ vSwitchId: 'vsw-1' }] },
        internetInfo: { internetSpec: 'disable', flowOutType: 'uninvolved' },
      },
    }
    const made = await succeeds(
      'call',
      'CreateInstance',
      '--body',
      JSON.stringify(body),
      '--instanceName=by-call',
      '--productInfo.msgProcessSpec',
      'rmq.s2.2xlarge',
      '--productInfo.messageRetentionTime',
      '48',
      '--productInfo.autoScaling',
      'false',
      '--tags',
      '[{"key":"team","value":"a"}]',
      '--clientToken',
      'token of the test',
    )
    const instanceId = JSON.parse(made.stdout).data
    const got = JSON.parse((await succeeds('call', 'getinstance', '--instanceId', instanceId)).stdout).data
    expect(got).toMatchObject({
      instanceName: 'by-call',
      productInfo: { messageRetentionTime: 48 },
      tags: [{ key: 'team', value: 'a' }],
    })
    const listed = await succeeds(
      'call',
      'ListInstances',
      '--seriesCodes',
      'standard,professional',
      '--tags',
      '[{"key":"team"}]',
      '--pageSize',
      '10',
    )
    expect(JSON.parse(listed.stdout).data.list.map((each: any) => each.instanceId)).toEqual([instanceId])
    await succeeds('call', 'UpdateInstance', '--instanceId', instanceId, '--remark', '-5 is a text here')
    await succeeds('call', 'DeleteInstance', '--instanceId', instanceId)
  })

  it('tells a refusal once, with status 1; a script that asks for a form gets the reply', async () => {
    const args = ['call', 'GetTopic', '--instanceId', 'rmq-none', '--topicName', 't'] as const
    const forPeople = await on(...args)
    expect([forPeople.code, forPeople.stdout]).toEqual([1, ''])
    expect(forPeople.stderr).toMatch(
      /^gantry: GetTopic was refused: Instance\.NotFound\n {2}The instance cannot be found\..*\n {2}request id \S+\n {2}"gantry list instances" shows those that exist\.\n$/,
    )
    const forScripts = await on(...args, '-o', 'json')
    expect(forScripts.code).toBe(1)
    expect(JSON.parse(forScripts.stdout)).toMatchObject({ code: 'Instance.NotFound', success: false })
    expect(forScripts.stderr).toMatch(
      /^gantry: GetTopic was refused: Instance\.NotFound\n {2}"gantry list instances" .*\n$/,
    )
    await fails(1, /NotImplemented[\s\S]*does not carry it out yet/, 'call', 'ListMetricMeta')
  })

  it('takes the name of an instance, and says that a list is empty', async () => {
    await succeeds('create', 'instance', 'named')
    const { stdout, stderr } = await succeeds('call', 'ListTopics', '--instanceId', 'named', '-o', 'table')
    expect([stdout, stderr]).toEqual(['', 'The list is empty.\n'])
    await fails(1, /No instance has the id or the name "nobody"/, 'call', 'GetInstance', '--instanceId', 'nobody')
    await succeeds('call', 'DeleteInstance', '--instanceId', 'named')
  })

  it('knows every product of the catalogue', async () => {
    const available = await succeeds('call', 'QueryAvailableInstances', '--ProductCode', 'ons')
    expect(JSON.parse(available.stdout)).toMatchObject({ Code: 'Success', Data: { PageNum: 1 } })
    const table = await succeeds('call', '--product', 'bssopenapi', 'QueryAvailableInstances', '-o', 'table')
    expect(table.stdout).toMatch(/^PageNum +1$|^InstanceList|OwnerId/m)
    await fails(
      1,
      /SetRenewal was refused: \S+\n/,
      ...['call', 'SetRenewal', '--InstanceIDs', 'rmq-cn-0123456789a', '--RenewalStatus', 'ManualRenewal'],
    )
    const help = (await run(['call', 'SetRenewal', '--help'])).stdout
    expect(help).toMatch(/^SetRenewal\nPOST \/ of BssOpenApi, version 2017-12-14$/m)
    expect(help).toMatch(/bssapi:SetRenewal \(access level: update\) on\n {2}acs:bssapi:\*:ACCOUNT:\*/)
    const listed = JSON.parse((await run(['call', '--list', '--product', 'BssOpenApi', '-o', 'json'])).stdout)
    expect(listed.map(({ action }: { action: string }) => action)).toEqual(['QueryAvailableInstances', 'SetRenewal'])
  })

  it.each([
    [['call', 'CreateTopc'], /no operation CreateTopc\. Did you mean CreateTopic\?/],
    [['call', 'Topic'], /Did you mean .*GetTopic/],
    [['call', 'Frobnicate'], /"gantry call --list" shows all of them/],
    [['call', 'GetTopic', '--instanceId', 'rmq-1'], /GetTopic needs --topicName\. "gantry call GetTopic --help"/],
    [
      ['call', 'CreateInstance', '--serviceCode', 'rmq'],
      /CreateInstance needs --seriesCode, --subSeriesCode, --paymentType and --networkInfo\./,
    ],
    [['call', 'TagResources', '--tag', '[{}]'], /TagResources needs .*tag\[0\]\.key/],
    [['call', 'GetTopic', '--product', 'BssOpenApi'], /BssOpenApi has no operation GetTopic/],
    [['call', '--list', '--product', 'Vpc'], /--product takes RocketMQ, BssOpenApi, not "Vpc"/],
    [['call', 'GetTopic', '--product', 'Vpc'], /--product takes RocketMQ, BssOpenApi, not "Vpc"/],
    [
      ['call', 'GetTopic', '--instanceid', 'rmq-1'],
      /GetTopic has no parameter --instanceid\. Did you mean --instanceId\?/,
    ],
    [['call', 'CreateInstance', '--productInfo.retention', '1'], /no parameter --productInfo\.retention/],
    [['call', 'UpdateTopic', '--maxSendTps', 'fast'], /--maxSendTps takes a number, not "fast"/],
    [
      ['call', 'UpdateInstance', '--productInfo.autoScaling', 'yes'],
      /--productInfo\.autoScaling takes true or false, not "yes"/,
    ],
    [['call', 'CreateInstance', '--body', '{'], /--body takes JSON/],
    [['call', 'CreateInstance', '--body', '[]'], /--body takes a JSON object/],
    [['call', 'CreateInstance', '--networkInfo', 'none'], /--networkInfo takes JSON/],
    [['call', 'GetInstance', '--body', '{}'], /GetInstance takes no body/],
    [['call', 'GetInstance', 'rmq-1'], /"rmq-1" is not a parameter; write --name value/],
    [['call', 'CreateInstance', '--__proto__.x', '1'], /--__proto__\.x is not a parameter name/],
    [['call', 'CreateTopic', '--topicName'], /--topicName has no value; write --topicName VALUE/],
    [['call', 'CreateTopic', '--topicName', '--instanceId', 'rmq-1'], /--topicName has no value/],
    [['call', 'CreateTopic', '--instanceId', 'rmq-1', '--topicName', '-o', 'json'], /"json" is not a parameter/],
    [['call', 'CreateInstance', '--autoRenew'], /--autoRenew has no value/],
    [['call', 'GetTopic', '--topicName', 'a', '--topicName', 'b'], /--topicName is given twice; only lists/],
    [['call', 'GetTopic', '-o', 'xml'], /--output takes table, json, yaml, not "xml"/],
  ] as [string[], RegExp][])('%j is a wrong command line', async (args, says) => {
    await fails(2, says, ...args)
  })

  it('takes a value that begins with dashes behind an equals sign, and prints the data as a table', async () => {
    await succeeds('create', 'instance', 'dashes')
    await succeeds('create', 'topic', 'dashes', 't')
    const [{ instanceId }] = JSON.parse(
      (await succeeds('list', 'instances', '--filter', 'dashes', '-o', 'json')).stdout,
    ) as [InstanceShown]
    await succeeds('call', 'UpdateTopic', '--instanceId', instanceId, '--topicName', 't', '--remark=--x')
    const table = await succeeds('call', 'ListTopics', '--instanceId', instanceId, '-o', 'table')
    expect(table.stdout).toMatch(/^instanceId +topicName .*\n.* t .*--x/)
    await succeeds('delete', 'instance', instanceId)
  })

  it('lists all operations and marks those that are not carried out', async () => {
    const { stdout, stderr } = await succeeds('call', '--list')
    const lines = stdout.trimEnd().split('\n')
    expect(lines).toHaveLength(operations.length + 1)
    for (const line of lines) expect(line.length, line).toBeLessThanOrEqual(100)
    expect(stdout).toMatch(/^CreateInstance +yes +Create an instance$/m)
    expect(stdout).toMatch(/^SetRenewal +yes +Change how subscriptions renew \(BssOpenApi\)$/m)
    const marked = lines.filter((line) => / 501 /.test(line)).map((line) => line.split(' ')[0])
    expect(marked.sort()).toEqual(
      operations
        .filter(({ action, handlers }) => !Object.hasOwn(handlers, action))
        .map(({ action }) => action)
        .sort(),
    )
    expect(stderr).toMatch(/501: part of the API that this version does not carry out/)
    const json = JSON.parse((await succeeds('call', '--list', '-o', 'json')).stdout)
    expect(json).toContainEqual({
      action: 'CreateInstance',
      product: 'RocketMQ',
      method: 'POST',
      path: '/instances',
      summary: 'Create an instance',
      carriedOut: true,
    })
  })

  it('explains an operation; its example runs as a shell takes it', async () => {
    expect((await run(['call', '--help'])).stdout).toMatch(
      /gantry call --list[\s\S]*--productInfo\.messageRetentionTime/,
    )
    const { stdout } = await run(['call', 'CreateInstance', '--help'])
    expect((await run(['help', 'call', 'createinstance'])).stdout).toBe(stdout)
    for (const line of stdout.split('\n')) expect(line.length, line).toBeLessThanOrEqual(100)
    expect(stdout).toMatch(/^CreateInstance\nPOST \/instances$/m)
    expect(stdout).toMatch(/^\* --seriesCode +standard \| professional/m)
    expect(stdout).toMatch(/--productInfo\.messageRetentionTime\n +integer, 24 to 720\. Hours a message/)
    expect(stdout).toMatch(
      /rocketmq:CreateInstance \(access level: create\) on\n {2}acs:rocketmq:REGION:ACCOUNT:Instance\/\*/,
    )
    expect(stdout).toMatch(/InvalidMsgProcessSpec +400 The specification is unknown/)
    const example = /^Example\n([\s\S]*?)\n\n/m.exec(stdout)![1]!
    const made = await promisify(execFile)(
      'sh',
      ['-ec', `gantry() { "${process.execPath}" "${gantry}" "$@"; }\n${example}`],
      {
        env: cleanEnv({ GANTRY_HOME: home.home }),
      },
    )
    await succeeds('delete', 'instance', JSON.parse(made.stdout).data)
  })
})

describe('env', () => {
  it('can be evaluated by a shell and used there', async () => {
    const script = `eval "$(${process.execPath} ${gantry} env --home ${home.home})" && ${process.execPath} ${gantry} list instances && printenv`
    const { stdout } = await promisify(execFile)('sh', ['-ec', script], { env: cleanEnv() })
    expect(stdout).toMatch(/^INSTANCE /)
    const { ready } = server
    const endpoint = new URL(ready.apiUrl).host
    for (const line of [
      `ALIBABA_CLOUD_ACCESS_KEY_ID=${ready.accessKeyId}`,
      `ALIBABA_CLOUD_ACCESS_KEY_SECRET=${ready.accessKeySecret}`,
      `ALICLOUD_ACCESS_KEY=${ready.accessKeyId}`,
      `ALICLOUD_REGION=${ready.region}`,
      `ROCKETMQ_ENDPOINT=${endpoint}`,
      `ALIBABA_CLOUD_ENDPOINT_BSSOPENAPI=${endpoint}`,
      `GANTRY_HOME=${home.home}`,
    ]) {
      expect(stdout.split('\n')).toContain(line)
    }
  })
})

describe('demo', () => {
  it('sends and receives with a plain line for each step, and leaves nothing', async () => {
    const { stdout, stderr } = await succeeds('demo', '--messages', '20')
    expect(stdout).toMatch(/^20 messages sent and received through a new instance in .+\.\n$/)
    for (const step of [
      'CreateInstance',
      'CreateTopic',
      'CreateConsumerGroup',
      'send 20 messages  20 acknowledged',
      'receive and acknowledge them  20 received, each once',
      'demo-orders: one message group, in order  created → paid → packed → shipped → delivered',
      'demo-payments: one commit, one rollback  received: the one with commit',
      'demo-later: not before its time',
      'DeleteInstance',
    ]) {
      expect(stderr).toContain(`✓ ${step}`)
    }
    expect((await succeeds('list', 'instances')).stdout.trimEnd().split('\n')).toHaveLength(1)
  })

  it.each(['CreateInstance', 'CreateTopic', 'send'])(
    'takes its instance away when it is interrupted after %s',
    async (step) => {
      let interrupted = false
      const done = await run(['demo', '--messages', '1000', '--home', home.home], {
        onStderr(soFar, child) {
          if (interrupted || !soFar.includes(`✓ ${step}`)) return
          interrupted = true
          child.kill('SIGINT')
        },
      })
      expect(done.stderr).toMatch(/Interrupted\.[\s\S]*✓ waiting until it is gone/)
      expect(done.code).toBe(130)
      expect((await succeeds('list', 'instances')).stdout.trimEnd().split('\n')).toHaveLength(1)
    },
  )

  it('starts a server of its own with --start when none runs, and takes it away', async () => {
    const none = path.join(path.dirname(home.home), 'nobody')
    const done = await run(['demo', '--start', '--home', none])
    expect([done.code, done.stdout]).toEqual([0, expect.stringMatching(/^10 messages sent and received/)])
    expect(done.stderr).toMatch(/✓ start a server for the demo[\s\S]*✓ stop the server/)
    expect((await run(['demo', '--start', '--keep', '--home', none])).code).toBe(2)
  })

  it('refuses a count it cannot send', () =>
    fails(2, /--messages takes a whole number from 1 to 1000/, 'demo', '--messages', 'ten'))
})

describe('doctor', () => {
  it('finds nothing wrong with a healthy home', async () => {
    const { stdout } = await succeeds('doctor')
    expect(stdout).toMatch(/✓ server at http:\/\/127\.0\.0\.1:\d+ \(process \d+\) answers a signed call in \d+ ms/)
    expect(stdout).toMatch(/✓ broker process \d+/)
    // Whatever port this shell would start one on.
    expect(stdout).toContain(`✓ API port ${new URL(server.ready.apiUrl).port}: in use by this server\n`)
    expect(stdout).toMatch(/Nothing is wrong\.\n$/)
  })

  it('names each thing that is broken and how to mend it', async () => {
    const broken = await temporaryHome()
    try {
      const used = await broken.start({ env: { GANTRY_FIRST_INSTANCE_PORT: '24890' } })
      await used.stop()
      mkdirSync(path.join(broken.home, 'tls'), { recursive: true })
      for (const [file, content] of [
        ['account.json', '{'],
        ['secret.key', 'short'],
        ['gantry.db', 'nonsense, not a database'],
        ['tls/tls.crt', 'x'],
      ] as const) {
        writeFileSync(path.join(broken.home, file), content)
      }
      const found = await run(['doctor', '--home', broken.home])
      expect(found.code).toBe(1)
      expect(found.stdout).toMatch(/✗ account\.json: .*does not hold an account.*\n {2}Restore it/)
      expect(found.stdout).toMatch(/✗ secret\.key: has 5 bytes, not 32\n {2}Restore it/)
      expect(found.stdout).toMatch(/✗ gantry\.db: is not a SQLite database\n {2}Restore it/)
      expect(found.stdout).toMatch(/✗ tls\/tls\.crt: .+\n {2}Replace them, or move/)
      expect(found.stdout).toMatch(/4 things to mend\.\n$/)
    } finally {
      await broken.close()
    }
  })

  it.each([
    [
      'belongs to another database',
      (file: string) => writeFileSync(file, Buffer.alloc(32, 7)),
      /✗ secret\.key: The key file secret\.key of this home does not belong to this database, .*\n {2}Put the key file of the home that made the database here/,
    ],
    [
      'is gone',
      (file: string) => rmSync(file),
      /✗ secret\.key: The key file .* is gone, .*\n {2}Restore it from a copy/,
    ],
  ])('says that the key file %s, also after a kill, and changes nothing', async (_what, exchange, says) => {
    const exchanged = await temporaryHome()
    try {
      await (await exchanged.start({ env: { GANTRY_FIRST_INSTANCE_PORT: '24895' } })).kill()
      const files = (): object =>
        readdirSync(exchanged.home)
          .filter((name) => name.startsWith('gantry.db') && name !== 'gantry.db.lock')
          .map((name) => [name, readFileSync(path.join(exchanged.home, name), 'base64')])
      const before = files()
      expect((await run(['doctor', '--home', exchanged.home])).stdout).toMatch(/Nothing is wrong/)
      exchange(path.join(exchanged.home, 'secret.key'))
      const found = await run(['doctor', '--home', exchanged.home])
      expect([found.code, found.stdout]).toEqual([1, expect.stringMatching(says)])
      expect(found.stdout).toMatch(/^1 thing to mend\.$/m)
      expect(files()).toEqual(before)
    } finally {
      await exchanged.close()
    }
  })

  it('looks at the port for itself when the server died', async () => {
    const died = await temporaryHome()
    const other = createServer()
    try {
      const used = await died.start()
      await used.kill()
      await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve))
      const { port } = other.address() as AddressInfo
      const taken = await run(['doctor', '--home', died.home], { env: { GANTRY_PORT: `${port}` } })
      expect([taken.code, taken.stdout]).toEqual([
        1,
        expect.stringMatching(
          new RegExp(
            `did not stop cleanly[\\s\\S]*✗ API port ${port} is taken by another program\n {2}Stop that program`,
          ),
        ),
      ])
    } finally {
      other.close()
      await died.close()
    }
  })

  it('says that a home is a file, and that nothing is there yet', async () => {
    const file = path.join(path.dirname(home.home), 'file')
    writeFileSync(file, '')
    const asFile = await run(['doctor', '--home', file])
    expect([asFile.code, asFile.stdout]).toEqual([
      1,
      expect.stringMatching(/✗ home .* is not a folder\n {2}Move the file away/),
    ])
    const nothing = await run(['doctor', '--home', path.join(path.dirname(home.home), 'none')], {
      env: { GANTRY_PORT: '0' },
    })
    expect([nothing.code, nothing.stdout]).toEqual([
      0,
      expect.stringMatching(/does not exist yet; "gantry up" makes it/),
    ])
  })
})

describe('without a server', () => {
  it.each([[['list', 'instances']], [['env']], [['demo']], [['create', 'instance']], [['call', 'ListRegions']]])(
    '%j says how to start one',
    async (args) => {
      const none = path.join(path.dirname(home.home), 'nobody')
      const done = await run([...args, '--home', none])
      expect([done.code, done.stdout]).toEqual([3, ''])
      expect(done.stderr).toBe(
        `gantry: No Gantry server runs on ${none}. Start one with "gantry up", or name its home with --home.\n`,
      )
    },
  )

  it('says so when the server that was there was killed', async () => {
    const killed = await temporaryHome()
    try {
      await (await killed.start({ env: { GANTRY_FIRST_INSTANCE_PORT: '24895' } })).kill()
      const done = await run(['list', 'instances', '--home', killed.home])
      expect(done.code).toBe(3)
      expect(done.stderr).toMatch(
        /^gantry: Nobody listens on http:\/\/127\.0\.0\.1:\d+\. Start the server with "gantry up"\.\n$/,
      )
    } finally {
      await killed.close()
    }
  })

  it('refuses an address that is none', async () => {
    const done = await run(['list', 'instances', '--home', home.home], { env: { GANTRY_API_URL: 'localhost:7800' } })
    expect(done.code).toBe(2)
    expect(done.stderr).toMatch(/GANTRY_API_URL is "localhost:7800" but it must look like http:\/\/127\.0\.0\.1:7800/)
  })
})

describe('help', () => {
  it.each([
    [
      [],
      [
        ...['up', 'env', 'demo', 'stop', 'logs', 'doctor', 'create', 'list', 'get', 'update', 'delete', 'accounts'],
        ...['send', 'receive', 'messages', 'lag', 'call', 'completion', 'help', 'eval "$(gantry env)"'],
      ],
    ],
    [
      ['up'],
      [
        '--home',
        '--host',
        '--port',
        '--region',
        '--log-level',
        '--json',
        'GANTRY_DATABASE_URL',
        'gantry.yaml',
        'Examples:',
      ],
    ],
    [['env'], ['--home', 'Examples:', 'eval']],
    [['demo'], ['--messages', '--keep', 'Examples:']],
    [['create'], ['instance', 'topic', 'group', 'Examples:']],
    [
      ['create', 'instance'],
      ['--series', '--spec', '--retention', '--internet', '--vpc-auth-free', '--no-wait', '--output', 'Examples:'],
    ],
    [
      ['create', 'topic'],
      ['--type', '--remark', 'Examples:'],
    ],
    [
      ['create', 'group'],
      ['--order', '--retries', 'Examples:'],
    ],
    [['list'], ['instances', 'topics', 'groups', 'Examples:']],
    [
      ['list', 'instances'],
      ['--filter', '--output', 'Examples:'],
    ],
    [
      ['list', 'topics'],
      ['--filter', '--output', 'Examples:'],
    ],
    [
      ['list', 'groups'],
      ['--filter', '--output', 'Examples:'],
    ],
    [['get'], ['instance', 'topic', 'group', 'Examples:']],
    [
      ['get', 'instance'],
      ['--output', 'Examples:'],
    ],
    [['get', 'topic'], ['Examples:']],
    [['get', 'group'], ['Examples:']],
    [['delete'], ['instance', 'topic', 'group', 'Examples:']],
    [
      ['delete', 'instance'],
      ['--no-wait', 'Examples:'],
    ],
    [['delete', 'topic'], ['Examples:']],
    [['delete', 'group'], ['Examples:']],
    [['call'], ['--body', '--list', 'gantry call CreateTopic --help']],
    [['doctor'], ['Exit status 1', 'Examples:']],
    [['logs'], ['--instance', 'Examples:']],
    [['receive'], ['--lite-topic', '--peek', 'Examples:']],
    [['send'], ['--priority', 'Examples:']],
    [['lag'], ['CONSUMED UP TO', 'Examples:']],
  ] as [string[], string[]][])('of %j has its options and examples', async (command, words) => {
    const { code, stdout, stderr } = await run([...command, '--help'])
    expect([code, stderr]).toEqual([0, ''])
    for (const word of words) expect(stdout).toContain(word)
    for (const line of stdout.split('\n')) expect(line.length, line).toBeLessThanOrEqual(100)
  })

  it.each([
    [['get', 'instance'], /missing required argument 'instance'\nUsage: gantry get instance \[options\] <instance>/],
    [
      ['create', 'topic', 'rmq-1'],
      /missing required argument 'name'\nUsage: gantry create topic \[options\] <instance> <name>/,
    ],
    [['delete', 'group', 'rmq-1'], /missing required argument 'id'\nUsage: gantry delete group/],
    [['list', 'topics'], /missing required argument 'instance'/],
    [['lst'], /unknown command 'lst'\n\(Did you mean list\?\)/],
    [['list', 'topcs', 'rmq-1'], /unknown command 'topcs'/],
    [['up', '--prot', '1'], /unknown option '--prot'\n\(Did you mean --port\?\)/],
    [['up', '--port'], /option '--port <n>' argument missing/],
    [['list', 'instances', 'extra'], /too many arguments/],
  ] as [string[], RegExp][])('%j is answered with how the command is used, status 2', async (args, says) => {
    const done = await run(args)
    expect(done.stderr).toMatch(says)
    expect([done.code, done.stdout]).toEqual([2, ''])
    expect(done.stderr).toMatch(/--help/)
  })
})
