/** Who is calling, as the signature of the request proved it (authenticate.ts). */
export interface Principal {
  readonly kind: 'account' | 'user' | 'role'
  /** Main account id, digits. */
  readonly accountId: string
  /** Account id, RAM user id, or `roleId:session`. */
  readonly id: string
  readonly name: string
  readonly arn: string
  readonly accessKeyId: string
}
