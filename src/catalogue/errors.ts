/**
 * Every refusal of the management API as a value: the vendor's code and HTTP status, the field, the
 * value, and what to do. Sources: api-semantics §17 (product codes) and auth-and-wire §1.6 (gateway
 * codes). Patterns `Missing{Name}` and `Invalid{Name}` are the vendor's.
 */
import type { Problem } from './problems.ts'

export class ApiError extends Error {
  override readonly name = 'ApiError'
  readonly code: string
  readonly httpStatus: number
  /** Vendor's `dynamicCode` (`InstanceId`) and `dynamicMessage` (`instanceId`): the parameter at fault. */
  readonly field: string | null
  /** Milliseconds after which a throttled caller may try again. */
  readonly retryAfterMs: number | null
  readonly accessDenied: AccessDeniedDetail | null

  constructor(
    httpStatus: number,
    code: string,
    message: string,
    more: {
      field?: string | null
      retryAfterMs?: number | null
      accessDenied?: AccessDeniedDetail | null
      cause?: unknown
    } = {},
  ) {
    super(message, more.cause === undefined ? undefined : { cause: more.cause })
    this.httpStatus = httpStatus
    this.code = code
    this.field = more.field ?? null
    this.retryAfterMs = more.retryAfterMs ?? null
    this.accessDenied = more.accessDenied ?? null
  }
}

export interface AccessDeniedDetail {
  readonly AuthAction: string
  readonly AuthPrincipalDisplayName: string
  readonly AuthPrincipalOwnerId: string
  readonly AuthPrincipalType: 'SubUser' | 'AssumedRoleUser' | 'Federated'
  readonly NoPermissionType: 'ImplicitDeny' | 'ExplicitDeny'
  readonly PolicyType: string
  readonly EncodedDiagnosticMessage: string
}

/** `instanceId` → `InstanceId`, `productInfo.msgProcessSpec` → `MsgProcessSpec`, `tags[0].key` → `Key`. */
export function dynamicCodeOf(field: string): string {
  const last =
    field
      .replace(/\[\d+\]/g, '')
      .split('.')
      .at(-1) ?? field
  return last.charAt(0).toUpperCase() + last.slice(1)
}

/** 400 `Missing{Name}`: the vendor's sentence, blank before the full stop included, then what to send. */
export function missing(field: string, hint = ''): ApiError {
  const text = `Parameter ${field} is mandatory for this action .${hint === '' ? '' : ` ${hint}`}`
  return new ApiError(400, `Missing${dynamicCodeOf(field)}`, text, { field })
}

/** 400 `Invalid{Name}`; `rule` says the value that came and what is accepted. */
export function invalid(field: string, rule: string): ApiError {
  return new ApiError(400, `Invalid${dynamicCodeOf(field)}`, `Parameter ${field} is invalid. ${rule}`, { field })
}

/** 400 `UnsupportedParameter`: what the operation does not take would have no effect. */
export function unsupported(field: string, rule: string): ApiError {
  return new ApiError(400, 'UnsupportedParameter', `The parameter ${field} is not supported. ${rule}`, { field })
}

/** The refusal of one fault of a request. */
export function refusalOf({ field, kind, rule }: Problem): ApiError {
  return { missing, invalid, unknown: unsupported }[kind](field, rule)
}

export const notImplemented = (action: string): ApiError =>
  new ApiError(
    501,
    'NotImplemented',
    `${action} is part of the API but this version of Gantry does not carry it out yet.`,
  )
