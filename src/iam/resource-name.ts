/**
 * The ARN a RAM policy must name for a call, from the product's template for the kind of resource
 * (`ProductFacts.resources` in catalogue/product.ts). Pure.
 */

export interface ResourceOwner {
  readonly regionId: string
  readonly accountId: string
}

/**
 * `input` is the call's decoded input. A place `{a|b}` takes the first of its names that has a text there, and `*`,
 * which stands for all, when none has.
 */
export function resourceName(template: string, owner: ResourceOwner, input: Readonly<Record<string, unknown>>): string {
  return template.replace(/\{([\w|]+)\}/g, (_, place: string) => {
    if (place === 'regionId' || place === 'accountId') return owner[place]
    const names = place.split('|')
    return names.map((name) => (Object.hasOwn(input, name) ? input[name] : undefined)).find(isText) ?? '*'
  })
}

const isText = (value: unknown): value is string => typeof value === 'string' && value !== ''
