/**
 * Method and path → operation. Nothing else decides, the `x-acs-action` header least of all: the CLI and Terraform
 * send none (auth-and-wire §0).
 *
 * A tree of path segments; a literal segment wins over a place. Segments are decoded leniently, each by itself, so
 * an encoded slash stays inside its name. An empty segment fills a place and is then reported as missing.
 */
import { ApiError } from '../catalogue/errors.ts'
import type { Operation } from '../catalogue/operation.ts'
import { readPath } from '../iam/canonical.ts'
import type { ServedProduct } from '../resources/handler.ts'

export interface Route {
  readonly served: ServedProduct
  readonly operation: Operation
  /** Decoded segments by the names of their places. */
  readonly path: Readonly<Record<string, string>>
}

/** Throws 404 `InvalidApi.NotFound` or 403 `UnsupportedHTTPMethod`. */
export type Router = (method: string, rawPath: string) => Route

interface Node {
  readonly literals: Map<string, Node>
  place: Node | null
  readonly operations: Map<string, Leaf>
}

interface Leaf {
  readonly served: ServedProduct
  readonly operation: Operation
}

const METHODS = ['GET', 'POST', 'PATCH', 'DELETE']
const MAX_SEGMENTS = 32

export function createRouter(products: readonly ServedProduct[]): Router {
  const root = newNode()
  for (const served of products) for (const operation of served.product.operations) add(root, { served, operation })
  return (method, rawPath) => {
    if (!METHODS.includes(method)) {
      throw new ApiError(
        403,
        'UnsupportedHTTPMethod',
        `This http method is not supported. Use one of ${METHODS.join(', ')}.`,
      )
    }
    const segments = hasMoreThan(rawPath, '/', MAX_SEGMENTS) ? null : readPath(rawPath).slice(1)
    const found = segments === null ? null : walk(root, segments, 0, [], method)
    if (found === null) {
      throw new ApiError(404, 'InvalidApi.NotFound', 'Specified api is not found, please check your url and method.')
    }
    return { ...found.leaf, path: named(found.leaf.operation, found.places) }
  }
}

function hasMoreThan(text: string, character: string, most: number): boolean {
  let at = -1
  for (let seen = 0; seen <= most; seen++) {
    at = text.indexOf(character, at + 1)
    if (at < 0) return false
  }
  return true
}

function add(root: Node, leaf: Leaf): void {
  const { operation } = leaf
  let node = root
  for (const segment of operation.path.split('/').slice(1)) {
    const isPlace = segment.startsWith('{')
    let next = isPlace ? node.place : node.literals.get(segment)
    if (next === null || next === undefined) {
      next = newNode()
      if (isPlace) node.place = next
      else node.literals.set(segment, next)
    }
    node = next
  }
  if (node.operations.has(operation.method))
    throw new Error(`Two operations share ${operation.method} ${operation.path}.`)
  node.operations.set(operation.method, leaf)
}

function walk(
  node: Node,
  segments: readonly string[],
  at: number,
  places: readonly string[],
  method: string,
): { leaf: Leaf; places: readonly string[] } | null {
  if (at === segments.length) {
    const leaf = node.operations.get(method)
    return leaf === undefined ? null : { leaf, places }
  }
  const segment = segments[at]!
  const literal = node.literals.get(segment)
  const found = literal === undefined ? null : walk(literal, segments, at + 1, places, method)
  if (found !== null) return found
  return node.place === null ? null : walk(node.place, segments, at + 1, [...places, segment], method)
}

function named(operation: Operation, places: readonly string[]): Record<string, string> {
  const names = [...operation.path.matchAll(/\{(\w+)\}/g)].map((match) => match[1]!)
  return Object.fromEntries(names.map((name, index) => [name, places[index]!]))
}

function newNode(): Node {
  return { literals: new Map(), place: null, operations: new Map() }
}
