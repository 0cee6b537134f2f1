import { expect, it } from 'vitest'

import { layered } from './layout'

const layers = (...flows: [string, string][]) => {
  const ids = [...new Set(flows.flat())]
  const placed = layered(
    ids,
    flows.map(([source, target]) => ({ source, target })),
  )
  return Object.fromEntries(placed.map(({ id, layer }) => [id, layer]))
}

it('places an asset that nothing produces next to the first pipeline that reads it', () => {
  const found = layers(
    ['load', 'orders'],
    ['orders', 'report'],
    ['customers', 'report'],
    ['rates', 'load'],
    ['rates', 'report'],
  )
  expect(found).toEqual({ rates: 0, load: 1, orders: 2, customers: 2, report: 3 })
})

it('places the nodes of a circle', () => {
  expect(layers(['a', 'b'], ['b', 'a'], ['c', 'a'])).toEqual({ a: 1, b: 0, c: 0 })
})
