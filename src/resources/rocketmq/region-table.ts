/**
 * The regions in which the vendor publishes an endpoint for this product, with the names of its console
 * and the zones we know of. A server answers for those it is told to (settings.regionIds); a region that
 * is not in the table is named by its id and has zones `-a`, `-b` and `-c`.
 */
export interface Region {
  readonly regionId: string
  readonly regionName: string
  readonly zoneIds: readonly string[]
}

export function regionOf(regionId: string): Region {
  const known = TABLE.find(([id]) => id === regionId)
  const [, regionName, letters] = known ?? [regionId, regionId, 'abc']
  // `cn-hangzhou-b`, but `ap-southeast-1a`.
  const separator = /\d$/.test(regionId) ? '' : '-'
  return { regionId, regionName, zoneIds: [...letters].map((letter) => `${regionId}${separator}${letter}`) }
}

export const publishedRegionIds = (): readonly string[] => TABLE.map(([regionId]) => regionId)

/** Region id, name, letters of its zones. */
const TABLE: ReadonlyArray<readonly [string, string, string]> = [
  ['cn-hangzhou', 'China (Hangzhou)', 'bfghijk'],
  ['cn-shanghai', 'China (Shanghai)', 'abefglmn'],
  ['cn-beijing', 'China (Beijing)', 'cdefghijkl'],
  ['cn-shenzhen', 'China (Shenzhen)', 'bcdef'],
  ['cn-qingdao', 'China (Qingdao)', 'bc'],
  ['cn-zhangjiakou', 'China (Zhangjiakou)', 'abc'],
  ['cn-zhengzhou-jva', 'China (Zhengzhou)', 'ab'],
  ['cn-huhehaote', 'China (Hohhot)', 'ab'],
  ['cn-wulanchabu', 'China (Ulanqab)', 'abc'],
  ['cn-nanjing', 'China (Nanjing)', 'a'],
  ['cn-fuzhou', 'China (Fuzhou)', 'a'],
  ['cn-heyuan', 'China (Heyuan)', 'ab'],
  ['cn-guangzhou', 'China (Guangzhou)', 'ab'],
  ['cn-chengdu', 'China (Chengdu)', 'ab'],
  ['cn-hongkong', 'China (Hong Kong)', 'bcd'],
  ['ap-northeast-1', 'Japan (Tokyo)', 'abc'],
  ['ap-northeast-2', 'South Korea (Seoul)', 'ab'],
  ['ap-southeast-1', 'Singapore', 'abc'],
  ['ap-southeast-2', 'Australia (Sydney)', 'ab'],
  ['ap-southeast-3', 'Malaysia (Kuala Lumpur)', 'abc'],
  ['ap-southeast-5', 'Indonesia (Jakarta)', 'abc'],
  ['ap-southeast-6', 'Philippines (Manila)', 'ab'],
  ['ap-southeast-7', 'Thailand (Bangkok)', 'ab'],
  ['us-east-1', 'US (Virginia)', 'ab'],
  ['us-west-1', 'US (Silicon Valley)', 'ab'],
  ['eu-west-1', 'UK (London)', 'ab'],
  ['eu-central-1', 'Germany (Frankfurt)', 'abc'],
  ['me-east-1', 'UAE (Dubai)', 'ab'],
  ['me-central-1', 'Saudi Arabia (Riyadh)', 'ab'],
  ['cn-hangzhou-finance', 'China (Hangzhou) Finance', 'hijk'],
  ['cn-shanghai-finance-1', 'China (Shanghai) Finance', 'fgkz'],
  ['cn-shenzhen-finance-1', 'China (Shenzhen) Finance', 'de'],
  ['cn-beijing-finance-1', 'China (Beijing) Finance', 'kl'],
]
