/**
 * What an account may do with a topic or a group: the default account everything, a custom account what its grants allow
 * (data-plane §7.2, product-facts §5.4). `decide` is the rule; `Authorizer` asks it once for each account, address,
 * action and resource, and remembers the answer until the grants change.
 */
import type { AccountSpec, GrantAction, GrantSpec } from '../model/instances.ts'
import { type AddressFilter, listedIn } from './address-filter.ts'

/** Something that a call does. */
export interface Use {
  readonly resourceType: GrantSpec['resourceType']
  readonly resourceName: string
  /** `any`: it is enough that one of the actions is allowed. */
  readonly action: GrantAction | 'any'
}

/** Who does it; the address is where the client is, as its connection says. */
export interface User {
  readonly username: string
  readonly address: string
}

/** `elsewhere`: a grant allows it, and does not count for the client's address. */
export type Verdict = 'allowed' | 'denied' | 'elsewhere' | 'not granted'

/**
 * A grant counts when its user, its resource, one of its actions and its addresses match. One that denies is stronger than all
 * that allow, however exactly each names the resource; without any, nothing is allowed.
 */
export function decide(grants: readonly GrantSpec[], question: User & Use): Verdict {
  const mine = new GrantsOfAccount()
  for (const grant of grants) if (grant.username === question.username) mine.add(grant)
  return mine.decide(question.address, question)
}

/** Topics that hold a group's messages: what is done with one concerns the group too. */
const derivedTopic = /^%(?:RETRY|DLQ)%/

/**
 * All that a use needs. A dead-letter or retry topic is used with the rights to its own name and with `Sub` on its group, so
 * that neither of the two alone leads to messages of topics that were not granted.
 */
export function needsOf(use: Use): readonly Use[] {
  if (use.resourceType !== 'Topic' || !use.resourceName.startsWith('%')) return [use]
  const prefix = derivedTopic.exec(use.resourceName)?.[0]
  if (prefix === undefined) return [use]
  return [use, { resourceType: 'Group', resourceName: use.resourceName.slice(prefix.length), action: 'Sub' }]
}

/** A grant with its addresses, made ready when they are first asked for. */
interface ReadyGrant {
  readonly grant: GrantSpec
  counts: AddressFilter | null
}

class GrantsOfAccount {
  /** By kind and name of the resource. */
  readonly #named = new Map<string, ReadyGrant[]>()
  /** Those that end with `*`, by kind and what stands before it: looked up, for there may be thousands. */
  readonly #beginnings = new Map<string, ReadyGrant[]>()
  /** How many characters stand before a `*`. */
  readonly #lengths = new Set<number>()

  add(grant: GrantSpec): void {
    const { resourceType, resourceName } = grant
    const ready = { grant, counts: null }
    if (resourceName.endsWith('*')) {
      const beginning = resourceName.slice(0, -1)
      this.#lengths.add(beginning.length)
      addTo(this.#beginnings, keyOf(resourceType, beginning), ready)
    } else addTo(this.#named, keyOf(resourceType, resourceName), ready)
  }

  decide(address: string, use: Use): Verdict {
    if (use.action !== 'any') return this.#decide(address, use, use.action)
    const toSend = this.#decide(address, use, 'Pub')
    if (toSend === 'allowed') return toSend
    const toReceive = this.#decide(address, use, 'Sub')
    return toReceive === 'not granted' ? toSend : toReceive
  }

  #decide(address: string, use: Use, action: GrantAction): Verdict {
    let verdict: Verdict = 'not granted'
    const look = (ready: ReadyGrant): void => {
      const { grant } = ready
      if (verdict === 'denied' || !grant.actions.includes(action)) return
      const counts = countsAt(ready, address)
      if (counts && grant.decision === 'Deny') verdict = 'denied'
      else if (counts) verdict = 'allowed'
      else if (grant.decision === 'Allow' && verdict === 'not granted') verdict = 'elsewhere'
    }
    const { resourceType, resourceName } = use
    this.#named.get(keyOf(resourceType, resourceName))?.forEach(look)
    for (const length of this.#lengths)
      if (length <= resourceName.length)
        this.#beginnings.get(keyOf(resourceType, resourceName.slice(0, length)))?.forEach(look)
    return verdict
  }
}

const keyOf = (resourceType: Use['resourceType'], name: string): string => `${resourceType} ${name}`

function addTo(map: Map<string, ReadyGrant[]>, key: string, ready: ReadyGrant): void {
  const there = map.get(key)
  if (there === undefined) map.set(key, [ready])
  else there.push(ready)
}

function countsAt(ready: ReadyGrant, address: string): boolean {
  if (ready.grant.addresses.length === 0) return true
  ready.counts ??= listedIn(ready.grant.addresses)
  return ready.counts(address)
}

/** Answers that are remembered. Clients choose the names they ask for, so there must be an end to them. */
export const rememberedAnswers = 4096

export class Authorizer {
  /** Null for an account that may do everything. */
  readonly #accounts = new Map<string, CustomAccount | null>()
  #remembered = 0

  constructor(accounts: readonly Pick<AccountSpec, 'username' | 'kind'>[], grants: readonly GrantSpec[]) {
    for (const { username, kind } of accounts)
      this.#accounts.set(
        username,
        kind === 'default' ? null : { grants: new GrantsOfAccount(), answers: new Map<string, AnswersByName>() },
      )
    for (const grant of grants) this.#accounts.get(grant.username)?.grants.add(grant)
  }

  /** Answers that it holds, at most `rememberedAnswers`. */
  get remembered(): number {
    return this.#remembered
  }

  mayDoEverything(username: string): boolean {
    return this.#accounts.get(username) === null
  }

  /** Why the account may not do this, as a sentence for the client, without any secret; null when it may. */
  refusal(user: User, use: Use): string | null {
    const account = this.#accounts.get(user.username)
    if (account === null) return null
    if (account === undefined)
      return `The account ${JSON.stringify(user.username)} does not exist (ListInstanceAccount).`
    const slot = slotOf(use)
    const known = account.answers.get(user.address)?.get(use.resourceName)?.[slot]
    if (known !== undefined) return known
    const answer = refusalOf(account.grants, user, use)
    this.#remember(account, user.address, use.resourceName)[slot] = answer
    return answer
  }

  #remember(account: CustomAccount, address: string, resourceName: string): Answers {
    if (this.#remembered >= rememberedAnswers) this.#forgetAll()
    this.#remembered++
    const byName = account.answers.get(address) ?? new Map<string, Answers>()
    account.answers.set(address, byName)
    const answers = byName.get(resourceName) ?? []
    byName.set(resourceName, answers)
    return answers
  }

  #forgetAll(): void {
    for (const account of this.#accounts.values()) account?.answers.clear()
    this.#remembered = 0
  }
}

interface CustomAccount {
  readonly grants: GrantsOfAccount
  /** By the client's address: looking one up makes no new text, for each call asks. */
  readonly answers: Map<string, AnswersByName>
}

type AnswersByName = Map<string, Answers>
/** By `slotOf`. */
type Answers = Array<string | null>

const slotOf = ({ resourceType, action }: Use): number =>
  (resourceType === 'Topic' ? 0 : 3) + (action === 'Pub' ? 0 : action === 'Sub' ? 1 : 2)

function refusalOf(grants: GrantsOfAccount, user: User, use: Use): string | null {
  for (const need of needsOf(use)) {
    const verdict = grants.decide(user.address, need)
    if (verdict !== 'allowed') return sentence(user, need, verdict)
  }
  return null
}

function sentence({ username, address }: User, need: Use, verdict: Exclude<Verdict, 'allowed'>): string {
  const { resourceName } = need
  const shown = JSON.stringify(resourceName.length > 80 ? `${resourceName.slice(0, 80)}…` : resourceName)
  const action = need.action === 'any' ? 'Pub or Sub' : need.action
  const what = `${action} on ${need.resourceType.toLowerCase()} ${shown}`
  const account = `The account ${JSON.stringify(username)}`
  switch (verdict) {
    case 'denied':
      return `${account} may not do this: a grant denies it ${what}. Change or delete that grant (UpdateInstanceAcl, DeleteInstanceAcl).`
    case 'elsewhere':
      return `${account} may not do this from ${address}: its grant of ${what} counts for other addresses. Add this one to its ipWhitelists (UpdateInstanceAcl).`
    case 'not granted':
      return `${account} may not do this: it has no grant of ${what}. Make one (CreateInstanceAcl).`
  }
}
