import { describe, expect, it } from 'vitest'
import type { Bar } from '../messages'
import { node, picture } from './fixtures'
import { bytes, moment, plural, seconds, utc } from './format'
import { cut } from './graph/Box'
import {
  curve,
  fitCamera,
  LEGIBLE,
  nameSize,
  nearest,
  neighbourIn,
  noteSize,
  opening,
  resized,
  reveal,
  visible,
  zoom,
} from './graph/geometry'
import { Links } from './graph/links'
import { foldsChains, needsLayout } from './graph/useFittingLayout'
import { combinedState, rowsOf } from './state/rows'
import { laneOf, mergeBars, tickLabel, ticks } from './Timeline'

describe('a number', () => {
  it.each([
    [0.04, '0.0 s'],
    [9.94, '9.9 s'],
    [12.4, '12 s'],
    [59.6, '1 min 0 s'],
    [185, '3 min 5 s'],
    [7440, '2 h 4 min'],
  ])('of %d seconds is written as %s', (duration, text) => expect(seconds(duration)).toBe(text))

  it.each([
    [12, '12 B'],
    [3400, '3.4 kB'],
    [999_600, '1.0 MB'],
    [120e6, '120 MB'],
  ])('of %d bytes is written as %s', (count, text) => expect(bytes(count)).toBe(text))

  it('has a singular or plural noun', () =>
    expect([plural(1, 'task'), plural(3, 'task')]).toEqual(['1 task', '3 tasks']))
})

describe('a point in time', () => {
  const at = Date.UTC(2026, 10, 29, 14, 2, 5) / 1000

  it('has a date, also on the same day', () => {
    expect(moment(at, at + 60)).toMatch(/29/)
    expect(moment(at, at + 60)).toMatch(/\d\d:02:05$/)
  })

  it('has a year if it is not in the current year', () => {
    expect(moment(at, at)).not.toMatch(/2026/)
    expect(moment(at, at + 400 * 86400)).toMatch(/2026/)
  })

  it('is also written in UTC', () => expect(utc(at)).toBe('2026-11-29 14:02:05 UTC'))
})

describe('the camera', () => {
  const view = { width: 600, height: 300 }

  it('centres a picture at a scale of at most 1', () => {
    expect(fitCamera({ width: 100, height: 50 }, view)).toEqual({ scale: 1, x: 250, y: 125 })
    const far = fitCamera({ width: 6000, height: 300 }, view)
    expect(far.scale * 6000).toBeLessThanOrEqual(600)
  })

  it('opens on the start of a picture that would be illegible as a whole', () => {
    const camera = opening({ width: 9000, height: 200 }, view)
    expect(camera.scale).toBeGreaterThan(0.6)
    expect(camera.x).toBe(14)
  })

  it('opens with the shape of a whole picture of many boxes, unless they would be specks', () => {
    const picture = { width: 2600, height: 900 }
    expect(opening(picture, view, undefined, 200)).toEqual(fitCamera(picture, view))
    expect(opening(picture, view, undefined, 20).scale).toBe(LEGIBLE)
    expect(opening({ width: 26_000, height: 900 }, view, undefined, 2000).scale).toBe(LEGIBLE)
    const wider = { width: 700, height: 300 }
    expect(resized(opening(picture, view, undefined, 200), picture, wider, undefined, 200)).toEqual(
      fitCamera(picture, wider),
    )
  })

  it('opens with the whole picture on a phone, or with its whole width, as long as its names have room', () => {
    const phone = { width: 400, height: 490 }
    const tall = { width: 400, height: 850 }
    expect(opening(tall, phone)).toEqual(fitCamera(tall, phone))
    expect(opening(tall, { width: 900, height: 490 }).scale).toBe(LEGIBLE)
    const { x, y, scale } = opening({ width: 600, height: 3000 }, phone, { x: 300, y: 20 })
    expect(scale).toBeCloseTo(0.62)
    expect([x, y]).toEqual([14, 14])
    expect(opening({ width: 900, height: 3000 }, phone).scale).toBe(LEGIBLE)
  })

  it('opens with the whole picture if its names have at least 11 pixels', () => {
    expect(opening({ width: 800, height: 300 }, view)).toEqual(fitCamera({ width: 800, height: 300 }, view))
  })

  it.each([0.04, 0.3, 0.5, 0.52, 0.6, 0.749, 0.84, 0.85, 0.9, 1, 2])(
    'draws text with at least 11 pixels, or none, at a scale of %d',
    (scale) => {
      const name = nameSize(scale) * scale
      expect(name === 0 || name >= 11).toBe(true)
      if (scale >= LEGIBLE) expect(noteSize(scale) * scale).toBeGreaterThanOrEqual(10.99)
    },
  )

  it('shows the whole picture in a smaller view, or keeps the selected box in view', () => {
    const small = { width: 500, height: 300 }
    expect(resized(fitCamera({ width: 640, height: 300 }, view), { width: 640, height: 300 }, small)).toEqual(
      fitCamera({ width: 640, height: 300 }, small),
    )
    const picture = { width: 1000, height: 300 }
    const { x, scale } = resized({ x: 0, y: 0, scale: 0.85 }, picture, small, { x: 900, y: 100 })
    expect(scale).toBe(0.85)
    expect(x + 900 * scale).toBeLessThan(500)
    expect(x + 900 * scale).toBeGreaterThan(0)
  })

  it('opens with the first box in view and no empty space beside a large picture', () => {
    const picture = { width: 9000, height: 4000 }
    const { x, y, scale } = opening(picture, view, { x: 8950, y: 20 })
    expect([x + 9000 * scale, y]).toEqual([600 - 14, 14])
    expect(opening(picture, view, { x: 4500, y: 2000 }).x).toBeLessThan(-2000)
  })

  it('keeps the point under the pointer while it zooms', () => {
    const before = { x: 10, y: 20, scale: 0.5 }
    const after = zoom(before, 2, 110, 70)
    const under = (camera: typeof before) => [(110 - camera.x) / camera.scale, (70 - camera.y) / camera.scale]
    expect(under(after)).toEqual(under(before))
  })

  it('limits the scale', () => {
    expect(zoom({ x: 0, y: 0, scale: 1 }, 100, 0, 0).scale).toBe(3)
    expect(zoom({ x: 0, y: 0, scale: 1 }, 1e-9, 0, 0).scale).toBe(0.04)
  })

  it('moves only if the box is out of view', () => {
    const camera = { x: 0, y: 0, scale: 1 }
    expect(reveal(camera, { x: 300, y: 150 }, view)).toEqual(camera)
    expect(reveal(camera, { x: 900, y: 150 }, view).x).toBeLessThan(-300)
  })

  it('prefers the box ahead to a nearer one aside for an arrow key', () => {
    const [here, ahead, aside] = [
      { id: 'here', x: 0, y: 0 },
      { id: 'ahead', x: 200, y: 10 },
      { id: 'aside', x: 50, y: 150 },
    ]
    expect(neighbourIn(here, [here, ahead, aside], { across: true, sign: 1 })?.id).toBe('ahead')
    expect(neighbourIn(here, [here, ahead, aside], { across: false, sign: 1 })?.id).toBe('aside')
    expect(neighbourIn(here, [here, ahead, aside], { across: true, sign: -1 })).toBeUndefined()
  })
})

describe('a name', () => {
  const widthOf = (text: string) => text.length

  it.each([
    ['load_orders', 11, 'load_orders'],
    ['load_orders', 8, 'load…ers'],
    ['load_orders', 3, 'l…s'],
    ['load_orders', 1, 'l'],
  ])('%s in the width of %d characters is %s', (text, width, expected) =>
    expect(cut(text, width, widthOf)).toBe(expected),
  )
})

describe('the layout', () => {
  it('is requested if it would be drawn smaller, and again after a considerable change of the width', () => {
    const picture = { width: 800, height: 300 }
    expect(needsLayout(picture, { width: 900, height: 500 }, undefined)).toBe(false)
    expect(needsLayout(picture, { width: 500, height: 500 }, undefined)).toBe(true)
    expect(needsLayout(picture, { width: 520, height: 500 }, { width: 500, height: 500 })).toBe(false)
    expect(needsLayout(picture, { width: 900, height: 500 }, { width: 500, height: 500 })).toBe(true)
  })
})

describe('chains of tasks', () => {
  const many = { ...picture(Array.from({ length: 60 }, (_, n) => node(`t${n}`))), width: 3000, height: 900, chains: 2 }
  it.each([
    [many, { width: 900, height: 500 }, true],
    [many, { width: 4000, height: 2000 }, false],
    [{ ...many, chains: 0 }, { width: 900, height: 500 }, false],
    [{ ...many, nodes: [node('a')] }, { width: 900, height: 500 }, false],
  ])('are one box at first where names have no room', (drawn, view, folds) =>
    expect(foldsChains(drawn, view)).toBe(folds),
  )
})

describe('the line under the pointer', () => {
  const straight = { name: 'straight', curve: curve('M0,0C10,0 20,0 30,0C40,0 50,0 60,0') }
  const below = { name: 'below', curve: curve('M0,10C20,10 40,10 60,-10') }

  it('is the nearest line, also along the bend of its curve', () => {
    expect(straight.curve).toMatchObject({ left: 0, top: 0, right: 60, bottom: 0 })
    expect(nearest([straight, below], 10, 2, 7)?.name).toBe('straight')
    expect(nearest([straight, below], 10, 8, 7)?.name).toBe('below')
    expect(nearest([straight, below], 59, -9, 7)?.name).toBe('below')
  })

  it('is undefined if every line is out of reach', () => expect(nearest([straight, below], 30, 40, 7)).toBeUndefined())

  it('is undefined for an invalid path', () => expect(nearest([{ curve: curve('') }], 0, 0, 7)).toBeUndefined())
})

describe('a box with text', () => {
  const view = { width: 100, height: 100 }
  const box = { width: 20, height: 20 }

  it('is in view or close to it, at any scale', () => {
    const boxes = [
      { id: 'in', x: 50, y: 50, ...box },
      { id: 'beside', x: 140, y: 50, ...box },
      { id: 'far', x: 400, y: 50, ...box },
    ]
    const ids = (scale: number) => visible(boxes, { x: 0, y: 0, scale }, view).map(({ id }) => id)
    expect([ids(1), ids(3), ids(0.2)]).toEqual([['in', 'beside'], ['in'], ['in', 'beside', 'far']])
  })
})

describe('the links of a box', () => {
  const links = new Links([
    { source: 'a', target: 'b' },
    { source: 'a', target: 'c' },
    { source: 'b', target: 'd' },
    { source: 'c', target: 'd' },
    { source: 'd', target: 'e' },
  ])

  it('include all boxes upstream and downstream', () => {
    expect([...links.connected('b')].sort()).toEqual(['a', 'b', 'd', 'e'])
  })

  it('have the path with the longest duration', () => {
    const took: Record<string, number> = { a: 1, b: 5, c: 2, d: 1 }
    expect(links.criticalPath(['a', 'b', 'c', 'd', 'e'], (id) => took[id] ?? 0)).toEqual(['a', 'b', 'd'])
  })

  it('have no critical path before a run', () => expect(links.criticalPath(['a', 'b'], () => 0)).toEqual([]))

  it('may form a cycle', () => {
    const circle = new Links([
      { source: 'a', target: 'b' },
      { source: 'b', target: 'a' },
    ])
    expect(circle.connected('a').size).toBe(2)
  })
})

describe('the timeline', () => {
  it.each([
    [0.5, 0.1],
    [10, 2],
    [3000, 600],
  ])('divides %d seconds into steps of %d', (length, step) => expect(ticks(length)[1]).toBeCloseTo(step))

  it('has fewer steps where there is little room', () => {
    expect(ticks(240, 400)).toEqual([0, 60, 120, 180, 240])
    expect(ticks(240, 160)).toEqual([0, 120, 240])
    expect(ticks(240, 100)).toEqual([0])
  })

  it.each([
    [5, '5 s'],
    [30, '30 s'],
    [60, '1 min'],
    [90, '1 min 30 s'],
    [3600, '1 h'],
    [5400, '1 h 30 min'],
  ])('writes %d seconds on the axis as %s', (time, text) => expect(tickLabel(time)).toBe(text))

  it('draws overlapping bars below one another, and reuses free lanes', () => {
    const bar = { task: 'a', map_index: 0, try_number: 1, state: 'success' } as const
    const bars = [
      { ...bar, started: 0, ended: 4 },
      { ...bar, started: 1, ended: 2 },
      { ...bar, started: 3, ended: null },
      { ...bar, started: 5, ended: 6 },
    ]
    expect(laneOf(bars, 9)).toEqual([0, 1, 1, 0])
    expect(
      Math.max(
        ...laneOf(
          Array(50)
            .fill(bars[0])
            .map((each) => ({ ...each })),
          9,
        ),
      ),
    ).toBe(7)
  })

  it('shows the live state of the latest attempt, and the stored state of earlier ones', () => {
    const bar: Omit<Bar, 'try_number'> = { task: 'a', map_index: -1, state: 'failed', started: 0, ended: 1 }
    const rows = mergeBars(
      [
        { ...bar, try_number: 1 },
        { ...bar, try_number: 2, ended: null },
      ],
      [{ ...bar, try_number: 2, state: 'success', ended: 5 }],
    )
    expect(rows.get('a')?.map((each) => [each.try_number, each.ended])).toEqual([
      [1, 1],
      [2, 5],
    ])
  })
})

describe('the rows of the grid and the timeline', () => {
  it('have one for each task, and one for each folded group', () => {
    const drawn = picture([node('a'), { ...node('eu', 0, 0, ['eu.load', 'eu.clean']), group: true }, node('b')])
    expect(rowsOf(drawn)).toEqual([
      { id: 'a', members: ['a'] },
      { id: 'eu', members: ['eu.load', 'eu.clean'] },
      { id: 'b', members: ['b'] },
    ])
    expect(rowsOf(picture([node('a … c #0', 0, 0, ['a', 'b', 'c'])])).map((row) => row.id)).toEqual(['a', 'b', 'c'])
  })

  it('show the state with the highest precedence', () => {
    expect(combinedState(['success', 'failed', 'skipped'])).toBe('failed')
    expect(combinedState([])).toBe('none')
  })
})
